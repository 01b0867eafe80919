"""The JSON schema of a study file: what it takes is what the harness reads, and every key is explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.errors import StudyError
from harness.core.plain_yaml import yaml_value
from harness.study.json_schema import study_schema
from harness.study.key_messages import all_keys
from harness.study.load_study import read_study
from tests.support.schema_check import fits
from tests.support.study_trees import VALUES, put
from tools.study_keys import examples

ROOT = Path(__file__).parents[2]
SCHEMA = study_schema()
STUDIES = sorted((ROOT / "experiments").rglob("*.yaml"))


def is_read(tree: dict[str, Any], folder: Path) -> bool:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        read_study(file)
    except StudyError:
        return False
    return True


def parts(schema: Any, key: str) -> Iterator[dict[str, Any]]:
    """Yield what the schema says of a dotted key, in each of the forms that lead there."""
    if "$ref" in schema:
        yield from parts(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], key)
    for one in schema.get("anyOf", ()):
        yield from parts(one, key)
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from parts(schema[word], key)
    first, _, rest = key.partition(".")
    if first in schema.get("properties", {}):
        inner = schema["properties"][first]
        yield from parts(inner, rest) if rest else [inner]


def test_it_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA, allow_nan=False)) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("key", list(all_keys()))
def test_every_key_is_explained(key: str) -> None:
    found = list(parts(SCHEMA, key))
    assert found
    for part in found:
        section = SCHEMA["$defs"].get(part.get("$ref", "").removeprefix("#/$defs/"), {})
        words = part.get("description") or section["description"]
        assert len(words) > 10
        assert "``" not in words


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_studies_that_are_there_fit(file: Path) -> None:
    assert fits(yaml.safe_load(file.read_text(encoding="utf-8")), SCHEMA, SCHEMA)


def test_the_examples_of_the_documentation_fit() -> None:
    for example in examples():
        assert fits(yaml_value(example), SCHEMA, SCHEMA)  # a date is a text, as for editors
    assert not fits({"name": "a", "task": "b", "prompts": ["c"]}, SCHEMA, SCHEMA)


@pytest.mark.parametrize("key", list(all_keys()))
def test_whatever_is_read_fits(key: str, tmp_path: Path) -> None:
    for value in VALUES:
        tree = put(key, value)
        if is_read(tree, tmp_path):
            assert fits(tree, SCHEMA, SCHEMA), value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainig", {}),
        ("training.epochs", 0),
        ("training.epochs", "many"),
        ("training.warmup", 1.0),
        ("training.clip", 0),
        ("engine.memory_mib", 0),
        ("search.sampler", "best"),
        ("search.ranges", {"head": {"low": 1.0}}),
        ("final.seeds", [-1]),
        ("final.baseline.modle", "x"),
        ("tuning", ["last_blocks"]),
        ("tuning", [{"last_blocks": 0}]),
        ("tuning", [{"last_blocks": 1, "head": 1}]),
        ("prompts", []),
        ("prompts", [{"name": "a", "txt": "b"}]),
        ("prompts", [{"name": "a/b"}]),
        ("data.splits", {"trian": "a.csv"}),
        ("generality", "all"),
        ("name", "a/b"),
    ],
)
def test_what_an_editor_marks(key: str, value: object, tmp_path: Path) -> None:
    tree = put(key, value)
    assert not fits(tree, SCHEMA, SCHEMA)
    assert not is_read(tree, tmp_path)
