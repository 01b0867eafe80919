"""The files that programs read hold exactly the keys and columns that docs/files.md lists."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.study_fixture import Place, Places

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
METRICS = ["chrf", "perplexity", "length_ratio", "loss"]
"""Of the tiny study's task, and the loss."""
GENERAL = ["perplexity", "perplexity_before"]
"""What ``generality`` measures by a text alone."""


@pytest.fixture(scope="module")
def reports(places: Places) -> Path:
    """The report of a study with whatever has columns of its own: reference rows, generality."""
    place: Place = places()
    task = place.folder / "task.py"
    text = task.read_text(encoding="utf-8")
    task.write_text(text.replace("    stop=", '    references=["lead_words"],\n    stop='), encoding="utf-8")
    (place.folder / "plain.txt").write_text("The room is booked, and the meeting moved.\n" * 3, encoding="utf-8")
    place.run("--set", "search.trials=1", "--set", "generality={text: plain.txt}")
    return place.folder / "reports" / "tiny"


def tables(section: str) -> list[list[str]]:
    """Return what the first columns of a section's tables name, table by table."""
    (text,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|---"):
            found.append([])
        elif line.startswith("| `"):
            found[-1] += re.findall("`([^`]+)`", line.split("|")[1])
    return found


def columns(file: Path) -> set[str]:
    with file.open(encoding="utf-8", newline="") as lines:
        return set(next(csv.reader(lines)))


def filled(names: list[str]) -> set[str]:
    """Return the listed columns with the study's own names put in."""
    values = {"<metric>": METRICS, "<name>": GENERAL, "<objective>": [METRICS[0]]}
    filled = set()
    for name in names:
        (place,) = re.findall("<.*>", name) or [""]
        filled |= {name.replace(place, value) for value in values[place]} if place else {name}
    return filled


@pytest.mark.parametrize("name", ["results.csv", "costs.csv", "expected_best.csv"])
def test_tables_have_exactly_these_columns(name: str, reports: Path) -> None:
    (names,) = tables(name)
    assert columns(reports / name) == filled(names)


def test_reference_rows_have_these_columns_where_they_need_no_model(reports: Path) -> None:
    (names,) = tables("references.csv")
    without = {f"{split}_{metric}" for split in ("validation", "test") for metric in ("perplexity", "loss")}
    assert columns(reports / "references.csv") == filled(names) - without


def test_verdicts_have_exactly_these_keys(reports: Path) -> None:
    verdicts: dict[str, Any] = json.loads((reports / "verdicts.json").read_text(encoding="utf-8"))
    keys, of_recommendation, of_comparisons = tables("verdicts.json")
    assert verdicts.keys() == set(keys)
    assert verdicts["format"] == 2
    assert verdicts["recommendation"].keys() == set(of_recommendation)
    assert any("8 test examples" in caution for caution in verdicts["cautions"])
    assert verdicts["effects"].keys() == {"prompt", "tuning", "interaction"}
    for comparison in verdicts["comparisons"]:
        assert comparison.keys() == set(of_comparisons)
    for effects in verdicts["effects"].values():
        assert effects
        for comparison in effects:
            assert comparison.keys() == set(of_comparisons) - {"family"}


def test_a_study_without_final_runs_claims_nothing(places: Places) -> None:
    place = places()
    place.run("--set", "search.trials=1", "--set", "final.seeds=[]", "--set", "tuning=[none, head]")
    verdicts = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text(encoding="utf-8"))
    assert verdicts.keys() == {"format", "answer", "recommendation", "cautions", "comparisons"}
    assert verdicts["recommendation"] is None
