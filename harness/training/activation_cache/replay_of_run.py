"""Replay of one training run: its losses, the prompts it generates from; where there is none, why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from harness.core.errors import ModelError
from harness.data.tokenization import Row
from harness.models.apply_tuning import Trainable
from harness.models.frozen.capture import capture_points
from harness.models.frozen.replay import Trunk, first_trained, refusal
from harness.models.hooks import misfits_told
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.keys import RowsKey
from harness.training.evaluation import Decoding, prompts_of

__all__ = ["RunReplay", "starts_alike"]


def starts_alike(decoding: Decoding, other: Decoding) -> bool:
    """Return whether generation begins with the same call by two settings, on the same batches."""
    said = ("num_beams", "batch_size", "max_new_tokens")
    return all(getattr(decoding, name) == getattr(other, name) for name in said)


class RunReplay:
    """The replays of one training run after another; why something is not replayed is said once.

    Cuts are those of all tunings: what is recorded before anything trains is recorded for all of them. In place of a
    cache stands the reason why there is none.
    """

    def __init__(
        self, cache: ActivationCache | str, cuts: Sequence[int], decoding: Decoding, say: Callable[[str], None]
    ) -> None:
        self._cache, self._cuts, self._decoding, self._say = cache, cuts, decoding, say
        self._told: set[str] = set()
        self._cutting: dict[int, bool] = {}
        self._rows: Mapping[RowsKey, Sequence[Row]] = {}
        self.losses: dict[RowsKey, Trunk] = {}
        """The replays of rows for a loss; other rows run live."""
        self._prompts: dict[RowsKey, Trunk | None] = {}
        self._name = ""
        self.cut = 0
        """The first block that trains."""
        self.live: str | None = None
        """Why the last run computed its frozen part in every step, if it did."""
        self.read: str | None = None
        """Why it read its prompts whole, if it generated and did."""
        self.but = ""
        """What it computed although the rest was replayed."""

    def open(
        self,
        name: str,
        trainable: Trainable,
        rows: Mapping[RowsKey, Sequence[Row]],
        *,
        predicted: Sequence[RowsKey] = (),
        but: str = "",
    ) -> None:
        """Replay the frozen part from here on, unless it must run live.

        Args:
            name: The cell's, for messages.
            trainable: What the model, as it is now, trains.
            rows: Of training and validation.
            predicted: Those of which it is known by now that predictions will be made.
            but: What is left out of the rows, and why.
        """
        self._name, self._rows, self.live, self.read, self.but = name, rows, None, None, but
        if isinstance(self._cache, str):
            self.live = self._cache
            return
        model = self._cache.loaded.model
        self.cut, self.live = first_trained(model), refusal(model, trainable)
        for key, split in rows.items() if self.live is None else ():
            # One comparison tells whether the model is still the one that was recorded.
            trunk = self._cache.open(key, split, self.cut, cuts=self._cuts, again=not self.losses)
            if isinstance(trunk, str):
                self.close()
                self.live = trunk
                break
            self.losses[key] = trunk
        if self.live is not None:
            if self.cut:  # else nothing lies before what trains, as every user of `full` knows
                self._tell(f"{name}: the frozen part is computed in every step: {self.live}")
            return
        for key in predicted:
            self._open_prompts(key, self._cuts)

    def cuts_rows(self) -> bool:
        """Return whether what is recorded for the model as it is tuned now can be cut to less padding, if anything is.

        Only then can rows be recorded with longer ones, and be padded as they are without these.
        """
        if isinstance(self._cache, str):
            return True
        model = self._cache.loaded.model
        cut = first_trained(model)
        if cut and cut not in self._cutting:
            try:
                with misfits_told("the model takes no replay"):
                    points = capture_points(model, cut)
            except ModelError:  # nothing will be recorded, which is told when it is opened
                points = []
            self._cutting[cut] = all(point.along is not None for point in points)
        return self._cutting.get(cut, True)

    def of_prompts(self, key: RowsKey) -> Trunk | None:
        """Return the replay of the first call of generation from some rows, ``None`` where they are read whole.

        Opened by now at the latest: training leaves frozen blocks as they were.
        """
        if key in self.losses and key not in self._prompts:
            self._open_prompts(key, [self.cut])  # blocks behind this cut have trained
        return self._prompts.get(key)

    def close(self) -> None:
        """Let go of all."""
        self.losses, self._prompts = {}, {}
        if not isinstance(self._cache, str):
            self._cache.recordings.let_go()

    @property
    def tag(self) -> str:
        """How the last run computed its frozen part."""
        if self.live is not None:
            return f"live: {self.live}"
        but = self.but or (f"prompts are read whole: {self.read}" if self.read else "")
        return f"replayed, but {but}" if but else "replayed"

    def _open_prompts(self, key: RowsKey, cuts: Sequence[int]) -> None:
        assert not isinstance(self._cache, str)
        trunk: Trunk | str = "beams are left to generate"
        if self._decoding.num_beams == 1:
            rows = self._rows[key]
            prompts = prompts_of(rows, self._cache.loaded, self._decoding)
            trunk = self._cache.open_prefill(key, rows, prompts, self.cut, cuts=cuts)
        self._prompts[key] = None if isinstance(trunk, str) else trunk
        if isinstance(trunk, str):
            self.read = trunk
            self._tell(f"{self._name}: prompts are read whole in every run: {trunk}")

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._say(text)
