"""What commands print for programs: JSON alone on standard output, with the fields of docs/json.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.study_fixture import Done, Place, Places

PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

QUICK = ("prompts=[bare]", "tuning=[none, head]", "search.trials=1", "final.seeds=[11]", "training.epochs=1")


def named(section: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", SECTIONS[section]))


def keys(
    value: Any, *, free: tuple[str, ...] = ("levels", "splits", "metrics", "hyperparameters", "sides")
) -> Iterator[str]:
    """Yield the keys of a value but those below keys whose content is named by users."""
    for inner in value if isinstance(value, list) else ():
        yield from keys(inner, free=free)
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield key
        if key not in free:
            yield from keys(inner, free=free)


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert text.isascii()
    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Done]:
    """A small study that was run for a program."""
    place = Places(tmp_path_factory.mktemp("json"))()
    done = place.command("run", "study.yaml", *QUICK, "--json")
    assert done.status == 0, done.err
    return place, done


def test_run_prints_an_event_a_line(ran: tuple[Place, Done]) -> None:
    _, done = ran
    events = [strict(line) for line in done.out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert [kind for kind in kinds if kind != "epoch"] == ["started", "trial", "final", "final", "finished"]
    assert kinds.index("epoch") < kinds.index("trial")
    first = {"levels": {"prompt": "bare", "tuning": "head"}, "trials": 1, "finals": 1, "there": 0}
    assert events[0]["cells"]["bare/head"] == first
    assert set(keys([{**event, "cells": None} for event in events])) <= named("run") | {"cells"}
    assert "runs to do" in done.err
    result = events[-1]["result"]
    assert {cell["cell"] for cell in result["cells"]} == {"bare/none", "bare/head"}
    trial = next(event for event in events if event["event"] == "trial")
    assert trial["hyperparameters"].keys() == {"learning_rate"}
    finals = {event["cell"]: event for event in events if event["event"] == "final"}
    assert finals["bare/none"]["seed"] is None
    assert finals["bare/head"]["seed"] == 11
    for cell in result["cells"]:
        assert cell["validation"] == finals[cell["cell"]]["metrics"][f"validation/{result['metric']}"]
        assert cell["validation_sd"] is None, "one seed has none"


def test_a_second_run_has_nothing_to_do(ran: tuple[Place, Done]) -> None:
    place, done = ran
    again = place.command("run", "study.yaml", *QUICK, "--json")
    events = [strict(line) for line in again.out.splitlines()]
    assert [event["event"] for event in events] == ["started", "finished"]
    assert events[0]["cells"]["bare/head"] | {"levels": 0} == {"levels": 0, "trials": 0, "finals": 0, "there": 2}
    assert events[1]["result"] == strict(done.out.splitlines()[-1])["result"]


@pytest.mark.parametrize(
    ("section", "arguments"),
    [
        ("check", ("check", "study.yaml", *QUICK)),
        ("show", ("show", "study.yaml", *QUICK)),
        ("list and status", ("list",)),
        ("list and status", ("status", "tiny")),
        ("plan", ("plan", "study.yaml", *QUICK)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_the_fields_are_those_of_the_page(ran: tuple[Place, Done], section: str, arguments: tuple[str, ...]) -> None:
    shown = ran[0].command(*arguments, "--json")
    assert shown.status == 0, shown.err
    assert set(keys(strict(shown.out))) - named(section) == set()


def test_every_field_of_the_page_is_printed(ran: tuple[Place, Done]) -> None:
    place, _ = ran
    for section, command in {"check": "check", "show": "show", "plan": "plan"}.items():
        printed = set(keys(strict(place.command(command, "study.yaml", *QUICK, "--json").out), free=()))
        rows = re.findall(r"^\| (`.*?) \|", SECTIONS[section], re.MULTILINE)
        assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} <= printed


def test_status_counts_what_the_store_holds(ran: tuple[Place, Done]) -> None:
    place, _ = ran
    status = strict(place.command("status", "study.yaml", "--json").out)
    assert (status["state"], status["held_by"], status["runs"], status["cells_done"]) == ("finished", None, 3, 2)
    none, head = sorted(status["cells"], key=lambda cell: cell["trials"])
    assert (none["trials"], none["trials_wanted"], none["finals"], none["finals_wanted"]) == (0, 0, 1, 1)
    assert (head["trials"], head["trials_wanted"], head["finals"], head["finals_wanted"]) == (1, 1, 1, 1)
    (listed,) = strict(place.command("list", "--json").out)
    assert listed == {**status, "cells": 2}
    lasts = [run.info.end_time / 1000 for run in place.runs()]
    assert status["updated"] == pytest.approx(max(lasts), abs=0.01)


def test_compare_prints_what_it_would_write(ran: tuple[Place, Done]) -> None:
    place, _ = ran
    shown = place.command("compare", "tiny:bare/none", "tiny:bare/head", "--json", "--out", "c.json")
    assert strict(shown.out) == json.loads((place.folder / "c.json").read_text())


@pytest.mark.parametrize("command", ["check", "plan", "show", "run"])
def test_errors_stay_on_standard_error(ran: tuple[Place, Done], command: str) -> None:
    shown = ran[0].command(command, "study.yaml", "training.epochs=0", "--json")
    assert (shown.status, shown.out) == (2, "")
    assert "training.epochs is 0; it must be greater than or equal to 1" in shown.err
