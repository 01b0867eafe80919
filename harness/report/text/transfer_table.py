"""Prompt transfer in tables and words: what tuned models score under prompts that they were not trained with."""

from __future__ import annotations

from typing import Any, NamedTuple

from harness.report.number_format import UNDEFINED, difference, interval, score, study_places
from harness.report.plain_tables import PlainTable
from harness.report.templates import paragraphs
from harness.report.text.findings import Findings
from harness.report.text.headline import finite
from harness.results.collect import Results
from harness.results.prompt_transfer import PromptTransfer, TransferRow, prompt_transfer
from harness.stats import Estimate, mean
from harness.stats.transfer_estimates import Transferred

__all__ = ["TransferFacts", "transfer_facts", "transfer_json"]

OWN = "●"
"""Marks the prompt that a cell trained with."""


UNKNOWN: dict[str, None] = dict.fromkeys(Transferred._fields)
"""What is estimated of a cell whose predictions cannot be compared by example."""


class TransferFacts(NamedTuple):
    """What a report shows of it."""

    found: PromptTransfer
    table: PlainTable
    sentences: tuple[str, ...]
    caption: str


def transfer_facts(results: Results, findings: Findings) -> TransferFacts | None:
    """Return them; ``None`` where no model was asked under another prompt than its own."""
    found = findings.transfer or prompt_transfer(results, None)
    if found is None:
        return None
    caption = paragraphs("text/transfer_caption.md.j2", own=OWN, lead=results.lead, maximize=results.maximize)
    return TransferFacts(found, _table(found, study_places(results)), _sentences(found, results), " ".join(caption))


def _table(found: PromptTransfer, decimals: int) -> PlainTable:
    has_gains = any(row.kept and row.kept.gain for row in found.rows)
    gains = ["gain, own prompt", "95% interval", "gain, others", "95% interval"] if has_gains else []
    header = ["trained", *(f"asked: {name}" for name in found.prompts), "others − own", "95% interval", *gains]
    return PlainTable(header, [_line(row, found.prompts, decimals, has_gains=has_gains) for row in found.rows])


def _line(row: TransferRow, prompts: tuple[str, ...], decimals: int, *, has_gains: bool) -> list[str]:
    scores = [score(row.scores[name], decimals) + (f" {OWN}" if name == row.prompt else "") for name in prompts]
    estimates: list[Estimate | None] = [*row.kept] if row.kept else [None] * len(UNKNOWN)
    shown = estimates if has_gains else estimates[:1]
    return [row.cell, *scores, *(text for one in shown for text in _estimate(one, decimals))]


def _estimate(estimate: Estimate | None, decimals: int) -> list[str]:
    if estimate is None:
        return [UNDEFINED, UNDEFINED]
    return [difference(estimate.value, decimals), interval(estimate, decimals, signed=True)]


def _sentences(found: PromptTransfer, results: Results) -> tuple[str, ...]:
    """Return what the table says in words, over all of its cells."""
    known = [row for row in found.rows if row.kept]
    gains = [
        (row.kept.gain.value, row.kept.gain_elsewhere.value)
        for row in known
        if row.kept and row.kept.gain and row.kept.gain_elsewhere
    ]
    facts: dict[str, Any] = {
        "known": len(known),
        "loses": [row.cell for row in known if row.kept and _is_worse(row.kept.change, results)],
        "gained": len(gains),
        "own": mean([own for own, _ in gains]) if gains else 0.0,
        "elsewhere": mean([elsewhere for _, elsewhere in gains]) if gains else 0.0,
    }
    return tuple(paragraphs("text/transfer.md.j2", **facts, lead=results.lead, decimals=study_places(results)))


def _is_worse(change: Estimate, results: Results) -> bool:
    """Return whether the interval leaves out that models do as well under other prompts."""
    return change.high < 0 if results.maximize else change.low > 0


def transfer_json(found: PromptTransfer | None) -> list[dict[str, Any]]:
    """Return the same for programs, a row per cell; what is undefined is null."""
    return [
        {
            "cell": row.cell,
            "prompt": row.prompt,
            "scores": {name: finite(value) for name, value in row.scores.items()},
            **{name: _ends(one) for name, one in (row.kept._asdict() if row.kept else UNKNOWN).items()},
        }
        for row in (found.rows if found else ())
    ]


def _ends(estimate: Estimate | None) -> dict[str, float | None] | None:
    return estimate and {name: finite(getattr(estimate, name)) for name in ("value", "low", "high")}
