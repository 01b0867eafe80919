"""What page and Markdown both show of a study, by the names that their templates use."""

from __future__ import annotations

from itertools import chain
from typing import Any

from harness.report import plain_tables
from harness.report.calibration_tables import calibration_facts
from harness.report.charts.gallery import Gallery
from harness.report.curve_tables import curve_table, worth_table
from harness.report.label_tables import labels_of_first
from harness.report.number_format import study_places
from harness.report.ranked_table import ranked_table
from harness.report.samples import first_examples, samples
from harness.report.study_facts import best_model, kept_off, prompt_texts, study_facts, study_file
from harness.report.templates import paragraphs
from harness.report.text.axis_words import axis_words
from harness.report.text.cautions import caption_on_test, cautions
from harness.report.text.effects import effect_families, effects_at_a_glance, feature_families
from harness.report.text.findings import Findings
from harness.report.text.glossary import glossary
from harness.report.text.headline import MARKED, examples_to_see, untested
from harness.report.text.search_sentences import searches
from harness.report.text.transfer_table import transfer_facts
from harness.results.asked_once import asked_once
from harness.results.collect import Results
from harness.results.unlike_losses import loss_unit, unlike_losses
from harness.study.axes import featured

__all__ = ["report_facts"]

GLANCE = (
    "Share: how much of the differences between cells on test goes with an axis alone, or with a pair beyond both; an "
    "analysis of variance of the cells' mean scores, chance included. Behind it stands the surest of the comparisons "
    "below; its p-value, adjusted over all of them, says whether the axis or pair does anything at all."
)
"""How to read the table of all effects."""

OF_TRAINED = (
    "Training rows do not move zero-shot cells: shares are of the other cells, and so are the effects of what says "
    "which rows are trained on."
)
"""The same, where one run of the untrained model stands for several cells."""


def report_facts(results: Results, findings: Findings, charts: Gallery) -> dict[str, Any]:
    """Return the facts."""
    verdicts, better = findings.verdicts, "higher is better" if results.maximize else "lower is better"
    untestable, curves = untested(verdicts), verdicts.curves if verdicts else None
    families = [] if untestable else effect_families(verdicts)
    features = {} if untestable else feature_families(verdicts)
    rows = [row for family in chain(families, *features.values()) for row in family.rows]
    prompts = featured(results.settings.get("prompts", ()))
    once = [axis_words(axis).one for axis in asked_once(results)]
    return {
        "results": results,
        "findings": findings,
        "verdicts": verdicts,
        "cautions": cautions(results, findings),
        "test_access": caption_on_test(results),
        "ranked": ranked_table(results, findings),
        "to_see": examples_to_see(verdicts) if verdicts else "",
        "families": families,
        "glance_note": f"{GLANCE} {OF_TRAINED}" if once else GLANCE,
        "glance": [] if untestable else effects_at_a_glance(verdicts),
        "features": [(p.name, plain_tables.wordings(p), features[p.name]) for p in prompts if p.name in features],
        "transfer": transfer_facts(results, findings),
        "calibration": calibration_facts(results, findings),
        "effects_of_models": not all(row.difference.covers_seeds for row in rows),
        "charts": charts,
        "curves": curve_table(curves, study_places(results)),
        "unlike": unlike_losses(results.cells, results.answers),
        "loss_unit": loss_unit(results.cells, results.answers),
        "worth": worth_table(curves, study_places(results)),
        "searches": [_items(block) for block in searches(results).split("\n\n")],
        "cost_sentences": plain_tables.cost_sentences(results),
        "forecast": plain_tables.forecast(results),
        "scores": plain_tables.all_scores(results),
        "labels": labels_of_first(results, findings),
        "facts_of_study": study_facts(results),
        "study_file": study_file(results),
        "model": best_model(results),
        "costs": plain_tables.costs(results),
        "generality": plain_tables.generality(results),
        "glossary": glossary(results, findings),
        "samples": samples(results, findings),
        "kept_off": kept_off(results),
        "first": first_examples(results, findings),
        "prompts": prompt_texts(results),
        "better": better,
        "ranking_note": " ".join(
            paragraphs(
                "text/ranking_note.md.j2",
                results=results,
                verdicts=verdicts,
                better=better,
                marked=MARKED,
                once=once,
                no_finals=not all(cell.finals for cell in results.cells),
            )
        ),
        "to_references": [row.turned for row in verdicts.to_references] if verdicts and not untestable else [],
        "untested": untestable,
    }


def _items(block: str) -> str | list[str]:
    """Return a paragraph, or the items of what is a list."""
    return block.removeprefix("- ").split("\n- ") if block.startswith("- ") else block
