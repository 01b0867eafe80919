"""Cache keys: a digest of all that a recording's numbers depend on, so that equal keys mean equal numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
import transformers

from harness.core.example import digest
from harness.data.tokenization import Row
from harness.models.classification_head import classifies
from harness.models.content_digests import architecture_digest
from harness.models.frozen.kept_rows import Rows
from harness.models.languages import beginning
from harness.models.load import Loaded
from harness.study.spec import Precision
from harness.training.fast_matmul import is_installed

__all__ = ["RowsKey", "recording_keys"]

RowsKey = tuple[str, str]
"""What rows are known by as long as a study runs: a prompt's name, and a split."""

FORMAT = 1
"""To be raised when the same key would hold other numbers."""


def recording_keys(
    loaded: Loaded, precision: Precision, use: str, points: Iterable[str], rows: Sequence[Row], passes: Sequence[Rows]
) -> Mapping[str, str]:
    """Return the key of each capture point's recording, for the use ``loss`` or ``prefill``.

    Passes are the same rows as the model takes them: their padded sizes count.
    """
    model = loaded.model
    arithmetic = [str(model.dtype), precision, _kind(model.device), *(["onednn"] if is_installed(model) else [])]
    versions = [FORMAT, torch.__version__, transformers.__version__]
    starts = [beginning(model).start] if loaded.is_encoder_decoder and not classifies(model) else []
    common = [*versions, loaded.digest, architecture_digest(model), arithmetic, *starts]
    sizes = {index: batch.inputs["input_ids"].size(1) for batch in passes for index in batch.indices}
    split = digest(
        [
            [row.prompt, row.target, sizes[index], *([row.places] if row.places else [])]
            for index, row in enumerate(rows)
        ]
    )
    return {point: digest([common, use, point, split]) for point in points}


def _kind(device: torch.device) -> str:
    """Return what a device's arithmetic depends on: GPUs of one maker differ from model to model."""
    return f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
