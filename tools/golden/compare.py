"""Hold two recordings against each other: ``python -m tools.golden.compare A B``; status 1 if they differ.

The file of renames is JSON, ``{"old name": "new name"}``: tags, params, metrics and artifacts that A has under the old
name and B, on purpose, under the new one.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NAMED = ("params", "tags", "metrics", "artifacts")
"""The parts of a run whose keys may be renamed."""
TEXTS = re.compile(r"mlflow\.(note\.content|loggedArtifacts|sharedViewState\..*)")
"""The tags whose values name tags, params, metrics and artifacts."""


def main() -> None:
    """Print every difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, help="a recording, the one with the old names")
    parser.add_argument("b", type=Path, help="another one")
    parser.add_argument("--renames", type=Path, help='JSON: {"old name": "new name"}')
    asked = parser.parse_args()
    renames = json.loads(asked.renames.read_text(encoding="utf-8")) if asked.renames else {}
    count = 0
    for line in differences(asked.a, asked.b, renames):
        count += 1
        print(line)
    print(f"{count} differences" if count else f"{asked.a} and {asked.b} are equal")
    raise SystemExit(1 if count else 0)


def differences(a: Path, b: Path, renames: Mapping[str, str]) -> Iterator[str]:
    """Yield every difference of two recordings, in words, with its place."""
    files = sorted({str(file.relative_to(each)) for each in (a, b) for file in each.glob("*/*") if file.is_file()})
    if not files:
        yield f"{a} and {b}: no recordings"
    for name in files:
        missing = [str(each) for each in (a, b) if not (each / name).is_file()]
        if missing:
            yield f"{name}: missing in {missing[0]}"
        else:
            yield from _in_file(name, a / name, b / name, renames)


def _in_file(name: str, a: Path, b: Path, renames: Mapping[str, str]) -> Iterator[str]:
    if a.suffix == ".csv":
        found = list(_unequal(_table(a), _table(b), name))
        yield from found
        if not found and a.read_bytes() != b.read_bytes():
            yield f"{name}: the same cells, but not the same bytes"
        return
    one, other = (json.loads(file.read_text(encoding="utf-8")) for file in (a, b))
    if a.name == "tree.json":
        one, other = _keyed(_renamed(one, renames)), _keyed(other)
    yield from _unequal(one, other, name)


def _table(file: Path) -> dict[str, Any]:
    """Return a table's rows by their first column, and their order."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    head, *body = rows
    return {"columns": head, "rows": [row[0] for row in body]} | {
        row[0]: dict(zip(head, row, strict=True)) for row in body
    }


def _keyed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree with its lists as mappings, so that one run too many is one difference."""
    runs = {f"{run['phase']}: {run['name']}": run for run in tree["runs"]}
    if len(runs) < len(tree["runs"]):
        runs["repeated names"] = sorted(f"{run['phase']}: {run['name']}" for run in tree["runs"])
    models = {model["name"]: model for model in tree["models"]}
    registered = {f"{each['name']} {each['version']}": each for each in tree["registered"]}
    return {**tree, "runs": runs, "models": models, "registered": registered}


def _renamed(part: Any, renames: Mapping[str, str]) -> Any:
    """Return a part of A's tree with B's names."""
    if isinstance(part, list):
        return [_renamed(each, renames) for each in part]
    if not isinstance(part, dict):
        return part
    found = {key: _renamed(each, renames) for key, each in part.items()}
    return found | {key: _renamed_keys(found[key], renames) for key in NAMED if isinstance(found.get(key), dict)}


def _renamed_keys(part: Mapping[str, Any], renames: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for key, value in part.items():
        if TEXTS.fullmatch(key):
            for old, new in renames.items():
                value = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _, new=new: new, value)
        found[renames.get(key, key)] = value
    return found


def _unequal(a: Any, b: Any, place: str) -> Iterator[str]:
    """Yield where two values differ, as deep as their types agree."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            if key not in a or key not in b:
                yield f"{place} > {key}: only in {'A' if key in a else 'B'}"
            else:
                yield from _unequal(a[key], b[key], f"{place} > {key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _unequal(one, other, f"{place} > {index}")
    elif json.dumps(a) != json.dumps(b):  # NaN is equal to itself, and 1 is not 1.0
        yield f"{place}: {json.dumps(a, ensure_ascii=False)} in A, {json.dumps(b, ensure_ascii=False)} in B"


if __name__ == "__main__":
    main()
