"""What `check` refuses of prompt transfer, which asks final models under other prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.data.label_words import answers_of
from harness.data.prompt_mixture import parts_of
from harness.data.tokenization import PromptForm
from harness.study.problems import Problems
from harness.study.spec import StudySpec

__all__ = ["refuse_transfer"]


def refuse_transfer(study: StudySpec, prompts: Sequence[PromptForm], problems: Problems) -> None:
    """See that there are final models, and other prompts, answered alike, to ask them under."""
    if not study.final.transfer:
        return
    asks = "final.transfer asks every final model under the study's other prompts"
    ways = Counter(answers_of(prompt) for prompt in prompts if not parts_of(prompt))
    if ways.total() < 2:
        problems.add(f"{asks}, and there is one prompt; name another, or leave it out", "final", "transfer")
    elif max(ways.values()) < 2:
        why = "and no two of them are answered alike; name another, or leave it out"
        problems.add(f"{asks}, {why}", "final", "transfer")
    elif not study.final.seeds:
        problems.add(f"{asks}, and final.seeds is empty; name a seed, or leave it out", "final", "transfer")
    elif not any(tuning.trains for tuning in study.tunings()):
        problems.add(f"{asks}, and no tuning trains one; name one that does, or leave it out", "final", "transfer")
