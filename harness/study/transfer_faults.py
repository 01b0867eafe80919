"""What `check` refuses of prompt transfer, which asks final models under other prompts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.label_words import answers_of
from harness.data.prompt_mixture import parts_of
from harness.data.tokenization import PromptForm
from harness.study.problems import Problems
from harness.study.spec import StudySpec

__all__ = ["refuse_transfer"]


def refuse_transfer(study: StudySpec, prompts: Sequence[PromptForm], problems: Problems) -> None:
    """See that there are final models, and other prompts to ask them under, all answered alike."""
    if not study.final.transfer:
        return
    kinds = dict[str, str]()
    for prompt in prompts:
        kinds.setdefault(answers_of(prompt), prompt.name)
    asks = "final.transfer asks every final model under the study's other prompts"
    if sum(not parts_of(prompt) for prompt in prompts) < 2:
        problems.add(f"{asks}, and there is one prompt; name another, or leave it out", "final", "transfer")
    elif not study.final.seeds:
        problems.add(f"{asks}, and final.seeds is empty; name a seed, or leave it out", "final", "transfer")
    elif not any(tuning.trains for tuning in study.tunings()):
        problems.add(f"{asks}, and no tuning trains one; name one that does, or leave it out", "final", "transfer")
    elif len(kinds) > 1:
        (kind, name), (other, further) = [*kinds.items()][:2]
        rule = f"prompt {name!r} has answers: {kind}, but {further!r} answers: {other}: one is trained otherwise"
        remedy = "say the same answers with all prompts, compare the kinds in a study each, or leave it out"
        problems.add(f"{asks}, and {rule}; {remedy}", "final", "transfer")
