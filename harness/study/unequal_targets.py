"""Targets that no prediction can equal, since the tokenizer reads back another text than it was given."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from unicodedata import combining, normalize

from harness.core.example import Example, Prediction, Split
from harness.data.target_texts import decoded, said_by_heart, trimmed
from harness.data.tokenization import Reader, target_ids
from harness.metrics.base import Metric
from harness.study.problems import Problems, listed_rows
from harness.study.settings import stop_texts
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["Unequal", "refuse_hopeless", "refuse_stop_texts", "trimmed_targets", "unequal_targets"]

SAMPLE = 2000
"""The most rows of a split that are looked at, evenly spread over it."""

SHOWN = 2
"""The targets that are shown."""

NAMED = 10
"""The most characters, and the most special tokens, that are named."""

WIDTH = 40
"""Characters that are shown of a target, around its first difference."""

UNLIKELY = 99.0
"""Nats of a token that a silent model did not expect."""


class Unequal(NamedTuple):
    """What a tokenizer does to the targets of a study, where it does anything."""

    line: str
    """The share of targets, what changes, two examples, and what metrics lose by it."""
    hopeless: bool
    """Whether every target said by heart is worth no more, by any metric of the task, than silence."""


def trimmed_targets(
    examples: Mapping[Split, Sequence[Example]], end: str | None, problems: Problems
) -> tuple[dict[Split, list[Example]], list[str]]:
    """Return examples that are `trimmed`, and a line where that took something off.

    Args:
        examples: The splits at hand.
        end: The end token's text, if it is known.
        problems: Takes targets of which nothing is left.
    """
    after = {split: [trimmed(example, end) for example in part] for split, part in examples.items()}
    if empty := {split: ids for split, part in after.items() if (ids := [row.id for row in part if not row.target])}:
        rule = "without a target, or with one of nothing but white space or the end token"
        problems.add(f"{rule}: {listed_rows(empty)}; correct the rows, or leave them out", "data")
    count = sum(new is not old for split in examples for new, old in zip(after[split], examples[split], strict=True))
    what = f"white space or the end token's text {end!r}" if end else "white space"
    line = f"{count} targets or references have {what} at an end: it is taken off, as it is off predictions."
    return after, [line] if count else []


def refuse_stop_texts(
    study: StudySpec, task: Task, examples: Mapping[Split, Sequence[Example]], reader: Reader, problems: Problems
) -> None:
    """Add a problem for targets with a stop text in them: a prediction ends before it."""
    halves = reader.is_encoder_decoder
    each = (stop_texts(one, task, is_encoder_decoder=halves) for one in study.by_setting())
    for stop in dict.fromkeys(stop for texts in each for stop in texts):
        for split, rows in examples.items():
            example = next((example for example in rows if stop in example.target.strip()), None)
            if example:
                problems.add(
                    f"{split} example {example.id!r} has the stop text {stop!r} in its target; set generation.stop",
                    *(
                        ("generation", "stop")
                        if any(one.first_generation.stop for one in study.by_setting())
                        else ("data",)
                    ),
                )
                break


def refuse_hopeless(unequal: Unequal | None, study: StudySpec, problems: Problems) -> list[str]:
    """Return what to tell of targets; add a problem where learning them would show in nothing that is measured."""
    if unequal and unequal.hopeless and study.search.metric != "loss":
        problems.add(f"{unequal.line} Take a model whose tokenizer can write such targets, or other targets", "data")
    return [unequal.line] if unequal else []


def unequal_targets(
    examples: Mapping[Split, Sequence[Example]], reader: Reader, metrics: Sequence[Metric | str]
) -> Unequal | None:
    """Say which training targets, and which references of the other splits, no prediction can equal.

    Args:
        examples: The splits at hand, trimmed.
        reader: The model, or what stands for it; nothing is said of one without an end token.
        metrics: The task's. A Hub metric is still a name, and is not asked.

    Returns:
        ``None`` where predictions can equal them all.
    """
    if reader.tokenizer.eos_token is None:
        return None
    train = _spread(examples.get("train", ()))
    scored = [example for split, part in examples.items() if split != "train" for example in _spread(part)]
    texts = [*(example.target for example in train), *(text for example in scored for text in example.references)]
    answers = {text: said_by_heart(reader, text) for text in dict.fromkeys(texts)}
    changed = [text for text in texts if answers[text] != text]
    if not changed:
        return None
    best = _scores(metrics, scored, [_answer(example, answers) for example in scored])
    equal = _scores(metrics, scored, [example.references[0] for example in scored])
    silent = _scores(metrics, scored, [""] * len(scored), nll=UNLIKELY)
    worth = len(best) < len(metrics) or any(_differ(best[name], silent[name]) for name in best)
    different = {text: answers[text] for text in changed}
    share = f"{len(changed)} of {len(texts)} targets ({_share(len(changed), len(texts))})"
    sampled = f" (of at most {SAMPLE:,} rows a split)" if any(len(part) > SAMPLE for part in examples.values()) else ""
    line = (
        f"No prediction can equal {share}{sampled}: the model's tokenizer {_what(different, reader)}. "
        f"{_shown(different)}. {_costs(best, equal)}"
    )
    return Unequal(line.strip(), hopeless=len(changed) == len(texts) and not worth)


def _spread(rows: Sequence[Example]) -> Sequence[Example]:
    return [rows[number * len(rows) // SAMPLE] for number in range(SAMPLE)] if len(rows) > SAMPLE else rows


def _share(count: int, of: int) -> str:
    return "under 1%" if 100 * count < of else f"{math.floor(100 * count / of)}%"


def _what(different: Mapping[str, str], reader: Reader) -> str:
    """Return what becomes of texts: tokens that are banned or left out, characters that are lost or others."""
    tokens, characters, banned = Counter[str](), Counter[str](), Counter[int]()
    for text, answer in different.items():
        rest = text
        banned.update(reader.answers.banned.intersection(target_ids(reader, ":", text)))
        for token in reader.tokenizer.all_special_tokens:
            if token in rest:
                tokens[token] += 1
                rest = rest.replace(token, "")
        lost, added = Counter(rest) - Counter(answer), Counter(answer) - Counter(rest)
        characters.update(lost.keys() or added.keys())
    left_out = f"leaves out special tokens ({_some(tokens)})" if tokens else ""
    others = f"loses or changes characters ({_some(characters)})" if characters else ""
    if banned:
        texts = Counter(dict(zip(decoded(reader, [[number] for number in banned]), banned.values(), strict=True)))
        others = f"cannot say tokens that the model's generation settings ban ({_some(texts)})"
    return " and ".join(filter(None, (left_out, others))) or "moves their white space"


def _some(counts: Counter[str]) -> str:
    more = f" and {len(counts) - NAMED} more" if len(counts) > NAMED else ""
    return " ".join(_name(text) for text, _ in counts.most_common(NAMED)) + more


def _name(text: str) -> str:
    hidden = len(text) == 1 and not text.isascii() and (combining(text) or not text.isprintable())
    return f"U+{ord(text):04X}" if hidden else repr(text)


def _shown(different: Mapping[str, str]) -> str:
    """Return some texts and what is read back of them; in escapes where both look the same."""
    shown = []
    for text, answer in list(different.items())[:SHOWN]:
        start = max(0, len(os.path.commonprefix([text, answer])) - WIDTH // 2)
        write = ascii if normalize("NFKC", text) == normalize("NFKC", answer) else repr
        shown.append(f"{_cut(text, start, write)} becomes {_cut(answer, start, write)}")
    return ", ".join(shown)


def _cut(text: str, start: int, write: Callable[[str], str]) -> str:
    end = start + WIDTH
    return f"{'...' * (start > 0)}{write(text[start:end])}{'...' * (end < len(text))}"


def _answer(example: Example, answers: Mapping[str, str]) -> str:
    """Return a reference that can be said, else what comes of the first one."""
    return next((text for text in example.references if answers[text] == text), answers[example.references[0]])


def _costs(best: Mapping[str, float], equal: Mapping[str, float]) -> str:
    costs = [
        f"{name} {best[name]:.3g} instead of {equal[name]:.3g}" for name in best if _differ(best[name], equal[name])
    ]
    if costs:
        return f"A model that knew all by heart would score {', '.join(costs)}."
    return "To the task's metrics it is the same." if best else ""


def _differ(one: float, other: float) -> bool:
    return not math.isclose(one, other) and not (math.isnan(one) and math.isnan(other))


def _scores(
    metrics: Sequence[Metric | str], examples: Sequence[Example], answers: Sequence[str], *, nll: float = 0.0
) -> dict[str, float]:
    """Return what metrics of the house and the task give; those that fail on such answers are left out."""
    pairs = [(Prediction(e.id, text, nll, 1), e) for e, text in zip(examples, answers, strict=True)]
    scores = {}
    for metric in metrics:
        if isinstance(metric, Metric):
            with suppress(Exception):  # whatever a task's own metric raises, it will raise where it scores
                scores[metric.name] = metric.reduce([metric.statistics(*pair) for pair in pairs])
    return scores
