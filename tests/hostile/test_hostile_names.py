"""Names that are paths: of studies, models, tasks, runs and files, in study files and on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.hostile_commands import Yard, cases, see
from tests.support.study_fixture import Place, Places

NAMES = {
    "the folder above": "..",
    "beside it": "../reports",
    "far above": "../../../../../../../../tmp",
    "here": ".",
    "an absolute path": "/",
    "another absolute path": "/etc",
    "a home": "~",
    "somebody's home": "~root",
    "nobody's home": "~nobody-there/x",
    "nothing": "",
    "a space": " ",
    "slashes": "//",
    "a path of two": "a/b",
    "a path back": "a/../..",
    "a backslash": "..\\..\\x",
    "hidden": ".recordings",
    "hidden journals": ".journals",
    "the lock": ".lock",
    "an option": "--fresh",
    "a dash": "-",
    "a pattern": "*",
    "any sign": "?",
    "a group": "[a-z]*",
    "a variable": "$HOME",
    "a command": "$(touch ../pwned)",
    "a pipe": "|touch ../pwned",
    "a URL": "http://127.0.0.1:9/x",
    "a file URL": "file:///etc/passwd",
    "a database": "sqlite:////tmp/x.db",
    "a model's URL": "models:/../../x",
    "a run's URL": "runs:/0/../../x",
    "a prompt's URL": "prompts:/x/1",
    "many signs": "a" * 300,
    "a path of many signs": "a" * 5000,
    "a deep path": "a/" * 2000,
    "a null byte": "a\0b",
    "a line": "a\nb",
    "a quote": "a'b\"c",
    "SQL": "x'; drop table runs; --",
    "dots": "...",
    "a dot at the end": "a.",
    "a device": "/dev/zero",
    "standard input": "/dev/stdin",
    "a process": "/proc/self/mem",
    "ids": "0" * 32,
    "few digits": "0" * 8,
    "all of Unicode": "\U0010ffff\ud7ff\ue000",
    "another width": "．．／",
}

KEYS = (
    *("name", "task", "model.name", "model.revision", "data.path", "data.hub", "data.config", "data.group"),
    *("generality.text", "generality.tasks", "final.registered_as", "final.prompt_alias", "search.metric"),
    *("prompts", "tuning", "model.source_language"),
)
"""Keys of a study file that name something. ``search.storage`` is a database's address, wherever that is."""

SMALL = ("--set", "search.trials=1", "--set", "final.seeds=[11]", "--set", "prompts=[bare]")

COMMANDS: dict[str, tuple[str, ...]] = {
    "clean": ("clean", "{}"),
    "check": ("check", "{}"),
    "report": ("report", "{}"),
    "compare": ("compare", "{}", "tiny:{}"),
    "a cell compared": ("compare", "tiny:{}", "tiny:bare/{}"),
    "reproduce": ("reproduce", "{}"),
    "predict": ("predict", "{}", "--input", "rows.jsonl", "--output", "reports/x"),
    "rows": ("predict", "tiny", "--input", "{}", "--output", "reports/x"),
    "cells": ("run", "study.yaml", *SMALL, "--cells", "{}"),  # a pattern may mean all cells
    "a comparison's file": ("compare", "tiny", "tiny", "--out", "{}/x/y"),
    "a study's file": ("run", "{}.yaml"),
}


@pytest.fixture(scope="module")
def trained(places: Places) -> Place:
    """A study that was run, with a stored model."""
    place = places()
    place.run(*SMALL)
    return place


@pytest.mark.parametrize("case", cases(NAMES))
def test_a_name_in_a_study_file(case: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    for key in KEYS:
        value = json.dumps([NAMES[case]] if key in ("prompts", "tuning", "generality.tasks") else NAMES[case])
        see(yard.run("check", "study.yaml", "--set", f"{key}={value}"))


@pytest.mark.parametrize("command", cases(COMMANDS))
def test_a_name_on_the_command_line(command: str, trained: Place, tmp_path: Path) -> None:
    for case, name in NAMES.items():
        if "\0" in name:
            continue  # no argument can hold it
        folder = tmp_path / case.replace("/", "-")
        folder.mkdir()
        yard = Yard(folder, trained)
        see(yard.run(*(argument.format(name) for argument in COMMANDS[command])))
        shutil.rmtree(folder)
