"""To add a metric, write it in a file here and name it in `registry`; what one is, `base`.

Statistics per example, a reduction, a direction and a signature. `evaluate_hub` is the door to Hugging Face.
"""

from __future__ import annotations

from harness.metrics.base import Metric, Statistic
from harness.metrics.diversity import distinct
from harness.metrics.registry import get, names
from harness.metrics.rouge import rouge
from harness.metrics.sacrebleu import bleu, chrf, ter

__all__ = ["Metric", "Statistic", "bleu", "chrf", "distinct", "get", "names", "rouge", "ter"]
