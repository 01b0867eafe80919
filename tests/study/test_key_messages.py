"""What is said of a wrong key or value: the key that was meant, with its section; words of YAML, none of Python's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.errors import StudyError
from harness.study.key_messages import all_keys
from harness.study.load_study import read_study
from tests.support.study_trees import VALUES, put

KEYS = list(all_keys())
INNER = [key for key in KEYS if "." in key and key.rpartition(".")[2] not in KEYS]
"""Keys within sections whose names are no sections themselves."""

JARGON = re.compile(
    r"tuple|dict|model_type|"
    r"instance|input should|string|integer|boolean|union|NoneType|None\b|True\b|False\b|after valid"
    r"ation|pydantic|literal|parse|mapping\(|\[key\]|Section|object at"
)
OWN = re.compile(r" is (null|true|false|'.*'|\[.*\]|\{.*\}|-?[\d.]+|inf); ")


def said(tree: dict[str, Any], folder: Path, *overrides: str) -> list[str]:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        read_study(file, overrides)
    except StudyError as error:
        return [problem.message for problem in error.problems]
    return []


def test_no_wrong_value_of_any_key_is_answered_in_words_of_the_library(tmp_path: Path) -> None:
    refused = 0
    for key in KEYS:
        for value in VALUES:
            for message in said(put(key, value), tmp_path):
                refused += 1
                assert not JARGON.search(message), message
                if message.startswith(f"{key.replace('prompts.', 'prompts.0.')} is "):
                    assert OWN.search(message), message
                assert "; " in message, "the rule and the remedy"
    assert refused > 1_000


@pytest.mark.parametrize("key", [key for key in KEYS if key != "extends"])
def test_a_wrong_value_of_a_key_gives_one_message_that_names_it(key: str, tmp_path: Path) -> None:
    refused = 0
    name = key.rpartition(".")[2]
    for value in VALUES:
        messages = said(put(key, value), tmp_path)
        if len(messages) == 1:
            refused += 1
            assert re.search(rf"\b{name}\b", messages[0]), (value, messages)
        else:  # each entry of a list, each key of a section, is told of by itself
            assert isinstance(value, list | dict) or not messages, (value, messages)
    assert refused > 1


@pytest.mark.parametrize("key", INNER)
def test_a_key_in_the_wrong_place_is_answered_with_its_section(key: str, tmp_path: Path) -> None:
    name = key.rpartition(".")[2]
    for message in (
        *said(put(name, 1), tmp_path),
        *said(put(f"engine.{name}" if not key.startswith("engine") else f"model.{name}", 1), tmp_path),
        *said(put("name", "a"), tmp_path, f"{name}=1"),
    ):
        assert re.match(rf"unknown key '{name}' in .*(did you mean|Or|or) .*'{key}'", message), message
        assert JARGON.search(message) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("trials", "did you mean 'search.trials'?"),
        ("learning_rate", "did you mean 'search.learning_rate'?"),
        ("learningrate", "did you mean 'search.learning_rate'?"),
        ("seeds", "did you mean 'final.seeds'?"),
        ("batch_size", "did you mean 'training.batch_size' or 'generation.batch_size'?"),
        ("batchsize", "did you mean 'training.batch_size' or 'generation.batch_size'?"),
        ("trainig", "did you mean 'training'?"),
        ("training.learning_rate", "did you mean 'search.learning_rate'?"),
        ("search.epochs", "did you mean 'training.epochs'?"),
        ("search.learning_rate.trials", "did you mean 'search.trials'?"),
        ("prompts.max_source_tokens", "did you mean 'training.max_source_tokens'?"),
    ],
)
def test_misplaced_and_misspelt_keys(written: str, meant: str, tmp_path: Path) -> None:
    (message,) = said(put(written, 1), tmp_path)
    assert meant in message


def test_a_truth_value_is_no_number(tmp_path: Path) -> None:
    (message,) = said(put("training.epochs", True), tmp_path)
    assert message == "training.epochs is true; it must be a number, not true or false"


def test_a_key_that_yaml_reads_as_no_text_is_to_be_quoted(tmp_path: Path) -> None:
    labels = {0: ["a"], True: ["b"], None: ["c"]}  # of which YAML makes 0, yes and null
    told = "key true of data.labels is no text; quote it: YAML reads yes, no, on and off as true and false"
    assert set(said(put("data.labels", labels), tmp_path)) == {
        "key 0 of data.labels is no text; quote it",
        told,
        "key null of data.labels is no text; quote it",
    }
    assert "quote it" in said(put("data.columns", {"source": "a", 1: "b"}), tmp_path)[0]


def test_the_name_of_a_tuning_is_told_by_its_key(tmp_path: Path) -> None:
    for name in ("a/b", 3, "x" * 300):
        (message,) = said(put("tuning", [{"name": name, "lora": {"rank": 2}}]), tmp_path)
        assert message.startswith("tuning.0.name is "), message
