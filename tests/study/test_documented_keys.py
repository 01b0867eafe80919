"""Every key of a study file stands in docs/study-file.md, with its default, its choices and an example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.study.key_messages import all_keys
from harness.study.load_study import read_study
from tools.study_keys import PAGE, examples, table

TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = examples()


def keys_of(node: Any, above: str = "") -> Iterator[str]:
    """Yield the keys of a study's tree as `all_keys` calls them: entries of a list by the list's key."""
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{above}{key}"
        for inner in value if isinstance(value, list) else [value]:
            yield from keys_of(inner, f"{above}{key}.")


def test_the_table_is_what_the_study_file_s_classes_say() -> None:
    assert table() in TEXT, "python -m tools.study_keys"
    assert TEXT.count("| key | left out |") == 1


@pytest.mark.parametrize("row", table().splitlines()[2:], ids=lambda row: row.split("`")[1])
def test_every_key_is_described(row: str) -> None:
    _, _, _, words, _ = re.split(r" ?(?<!\\)\| ?", row)
    assert len(words) > 10
    assert "``" not in words
    assert "None" not in words


def test_every_key_has_an_example() -> None:
    shown = {key for example in EXAMPLES for key in keys_of(yaml.safe_load(example))}
    assert [key for key in all_keys() if key not in shown] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: yaml.safe_load(text)["name"])
def test_the_examples_are_read(example: str, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(EXAMPLES[-1], encoding="utf-8")
    file = tmp_path / "study.yaml"
    file.write_text(example, encoding="utf-8")
    assert read_study(file).study.name == yaml.safe_load(example)["name"]
