"""What one training run replays: its losses, and the prompts it generates from; where it does not, why."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.data.tokenization import Row
from harness.models.frozen.replay import Trunk, first_trained, refusal
from harness.models.tuning import Trainable
from harness.training.activation_cache.cache import ActivationCache
from harness.training.evaluation import Decoding, prompts_of

__all__ = ["RunReplay"]


class RunReplay:
    """The replays of one training run after another.

    Args:
        trunks: What is recorded; ``None`` where replay is off.
        cuts: Of all tunings: what is recorded before anything trains is recorded for all of them.
        say: Told, once, why something is not replayed.
    """

    def __init__(self, trunks: ActivationCache | None, cuts: Sequence[int], say: Callable[[str], None]) -> None:
        self._trunks, self._cuts, self._say = trunks, cuts, say
        self._said: set[str] = set()
        self._losses: dict[int, Trunk] = {}  # by the identity of rows
        self._prompts: dict[int, Trunk | None] = {}
        self._name = ""
        self.cut = 0
        """The first block that trains."""
        self.live: str | None = None
        """Why the last run computed its frozen part in every step, if it did."""
        self.read: str | None = None
        """Why it read its prompts whole, if it generated and did."""

    def open(
        self,
        name: str,
        trainable: Trainable,
        train: Sequence[Row],
        validation: Sequence[Row],
        decoding: Decoding | None,
    ) -> None:
        """Replay the frozen part from here on, unless it must run live.

        Args:
            name: The cell's, for messages.
            trainable: What the model, as it is now, trains.
            train: Rows of training.
            validation: Rows of validation.
            decoding: How predictions are made, where it is known by now that some will be.
        """
        self._name, self.live, self.read = name, "engine.replay is off", None
        if self._trunks is None:
            return
        model = self._trunks.loaded.model
        self.cut, self.live = first_trained(model), refusal(model, trainable)
        if self.live is not None:
            if self.cut:  # else nothing lies before what trains, as every user of `full` knows
                self._tell_live()
            return
        for rows in (train, validation):
            found = self._trunks.open(rows, self.cut, cuts=self._cuts)
            if isinstance(found, str):
                self.close()
                self.live = found
                self._tell_live()
                return
            self._losses[id(rows)] = found
        if decoding:
            self._open_prompts(validation, decoding, self._cuts)

    def of_losses(self, rows: Sequence[Row]) -> Trunk | None:
        """Return the replay of some rows for a loss, ``None`` where they run live."""
        return self._losses.get(id(rows))

    def of_prompts(self, rows: Sequence[Row], decoding: Decoding) -> Trunk | None:
        """Return the replay of the first call of generation from some rows, ``None`` where they are read whole.

        Opened by now at the latest: what it records are frozen blocks, which training leaves as they were.
        """
        if id(rows) in self._losses and id(rows) not in self._prompts:
            self._open_prompts(rows, decoding, [self.cut])  # blocks behind this cut have trained
        return self._prompts.get(id(rows))

    def close(self) -> None:
        """Let go of all."""
        self._losses, self._prompts = {}, {}
        if self._trunks is not None:
            self._trunks.close()

    @property
    def tag(self) -> str:
        """How the last run computed its frozen part."""
        if self.live is not None:
            return f"live: {self.live}"
        return f"replayed, but prompts are read whole: {self.read}" if self.read else "replayed"

    def _open_prompts(self, rows: Sequence[Row], decoding: Decoding, cuts: Sequence[int]) -> None:
        assert self._trunks is not None
        found: Trunk | str = "beams are left to generate"
        if decoding.num_beams == 1:
            prompts = prompts_of(rows, self._trunks.loaded, decoding)
            found = self._trunks.open_prefill(rows, prompts, self.cut, cuts=cuts)
        self._prompts[id(rows)] = None if isinstance(found, str) else found
        if isinstance(found, str):
            self.read = found
            self._tell(f"{self._name}: prompts are read whole in every run: {found}")

    def _tell_live(self) -> None:
        self._tell(f"{self._name}: the frozen part is computed in every step: {self.live}")

    def _tell(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)
