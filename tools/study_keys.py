"""The table of keys in ``docs/study-file.md``, made from the classes that read a study file.

``python -m tools.study_keys`` writes it; ``tests/study/test_documented_keys.py`` holds it to them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from harness.core.whole_files import write_whole
from harness.core.yaml_section import Section
from harness.study.json_schema import in_markdown
from harness.study.key_messages import all_keys
from harness.study.spec import StudySpec

__all__ = ["PAGE", "examples", "table"]

PAGE = Path(__file__).parents[1] / "docs" / "study-file.md"

TABLE = re.compile(r"^\| key \|.*?\n(?=\n|\Z)", re.MULTILINE | re.DOTALL)

PLAIN = {None: "null", True: "true", False: "false"}
"""Of Python's words those of YAML."""


def table() -> str:
    """Return a row for each key: its default, and what it is."""
    rows = ["| key | left out | what it is |", "|---|---|---|"]
    for key in all_keys():
        field = _field(key)
        choices = ", ".join(f"`{choice}`" for choice in _choices(field))
        words = f"One of {choices}. " if choices else ""
        rows.append(f"| `{key}` | {_default(field)} | {words}{in_markdown(_description(field))} |")
    return "\n".join(rows) + "\n"


def examples() -> list[str]:
    """Return the study files that the page shows."""
    return re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _field(key: str) -> Any:
    section: type[Section] = StudySpec
    *above, last = key.split(".")
    for name in above:
        section, *_ = _sections(section.model_fields[name].annotation)  # what a list holds has its keys, and a name
    return section.model_fields[last]


def _sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in _sections(part)]


def _choices(field: Any) -> list[str]:
    kinds = (field.annotation, *get_args(field.annotation))
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    return [PLAIN[choice] if isinstance(choice, bool) else str(choice) for choice in choices]


def _description(field: Any) -> str:
    return str(field.description or (_sections(field.annotation) or [Section])[0].__doc__)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return ""
    if value is None or isinstance(value, bool):
        return f"`{PLAIN[value]}`"
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value!r}`"


if __name__ == "__main__":
    write_whole(PAGE, TABLE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")))
