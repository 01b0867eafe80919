"""A model folder that knows its prompt: written after a final run, loaded to answer plain source texts.

The folder is what ``from_pretrained`` reads, with ``harness.json`` beside the weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from harness.batching import prompt_batches
from harness.encoding import Limits, encode
from harness.evaluation import Decoding, generate
from harness.example import Example
from harness.models.load import Loaded, load
from harness.template import Template

__all__ = ["Generator", "save_model"]

SETTINGS = "harness.json"


def save_model(folder: Path, prompt: Template, loaded: Loaded, *, limits: Limits, decoding: Decoding) -> None:
    """Write weights (safetensors), tokenizer, prompt and generation settings into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    settings = {"dtype": dtype, "prompt": asdict(prompt), "limits": limits._asdict(), "decoding": decoding._asdict()}
    (folder / SETTINGS).write_text(json.dumps(settings, ensure_ascii=False, indent=2), encoding="utf-8")


class Generator:
    """Answers source texts as the study's final run did.

    Args:
        folder: What `save_model` wrote.
    """

    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        self.prompt = Template(**settings["prompt"])
        self._limits = Limits(**settings["limits"])
        decoding = settings["decoding"]
        self._decoding = Decoding(**{**decoding, "stop": tuple(decoding["stop"])})
        self._loaded = load(str(folder), dtype=settings["dtype"])

    def __call__(self, sources: Sequence[str]) -> list[str]:
        """Return one text per source text.

        Raises:
            DataError: A prompt cannot be made to fit.
            TemplateError: The prompt uses a field other than ``source``.
        """
        examples = [Example(id=str(i), fields={"source": text}, target="-") for i, text in enumerate(sources)]
        rows = encode(examples, self.prompt, self._loaded, limits=self._limits).rows
        decoding = self._decoding
        batches = prompt_batches(rows, self._loaded, batch_size=decoding.batch_size, room=decoding.max_new_tokens)
        return generate(self._loaded, batches, decoding)
