"""Every key of a study file stands in docs/study-file.md, with its default and its choices."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from harness.core.yaml_section import Section
from harness.study.key_messages import all_keys
from harness.study.spec import StudySpec

ROOT = Path(__file__).parents[2]

ROWS = {
    row[1]: (row[2].strip(), row[3])
    for row in re.finditer(
        r"^\| `([\w.]+)` \| (.*?) ?\| (.+) \|$",
        (ROOT / "docs" / "study-file.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}


def sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in sections(part)]


def field_of(key: str) -> Any:
    section: type[Section] = StudySpec
    *above, last = key.split(".")
    for name in above:
        (section,) = sections(section.model_fields[name].annotation)
    return section.model_fields[last]


def test_no_row_is_of_a_key_that_is_gone() -> None:
    assert list(ROWS) == list(all_keys()), "in the order of the file"


@pytest.mark.parametrize("key", list(all_keys()))
def test_every_key_is_documented(key: str) -> None:
    default, words = ROWS[key]
    field = field_of(key)
    for choices in (one for one in (field.annotation, *get_args(field.annotation)) if get_origin(one) is Literal):
        assert all(f"`{choice}`" in words for choice in get_args(choices))
    if field.is_required():
        assert default == "required"
    elif isinstance(value := field.get_default(call_default_factory=True), Section):
        assert default == ""
    else:
        plain = {None: "null", True: "true", False: "false"}
        is_plain = value is None or isinstance(value, bool)
        written = plain[value] if is_plain else str(list(value)) if isinstance(value, tuple) else repr(value)
        assert default == f"`{written}`"
    assert len(words) > 10
