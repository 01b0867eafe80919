"""The architecture as a check: a file imports only from lower layers or its own package; walls keep `check` light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "harness"

LAYERS = (
    "errors example progress provenance stats",
    "template readers metrics stores server",
    "factors encoding references duplicates evaluate_metric tracking verdicts",
    "study task overlap models ledger cleaning",
    "study_file sources cells settings search starter engine",
    "generality known costs",
    "check serving retention report",
    "bench inputs overview terminal compare ui kept_study",
    "session",
    "trials keeping promotion showing",
    "finals planning",
    "reference_runs storing reproduction",
    "runner model_commands",
    "cli",
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names.split()}
OUTSIDE = {"testing"}
"""For authors of tasks and metrics; nothing imports it, and it may import anything."""

LIGHT = (
    "errors example progress stats template readers metrics factors references duplicates study task encoding overlap "
    "study_file sources cells settings check overview"
)
HEAVY = {"torch", "transformers", "optuna", "mlflow", "evaluate", "datasets"}

FILES = sorted(path for path in ROOT.rglob("*.py") if "tasks" not in path.relative_to(ROOT).parts)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def unit(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"harness.{alias.name}" for alias in node.names} if node.module == "harness" else {node.module}
    return found


@pytest.mark.parametrize("path", [p for p in FILES if unit(p) not in {"__init__", *OUTSIDE}], ids=name_of)
def test_a_file_imports_from_lower_layers_only(path: Path) -> None:
    own = unit(path)
    for name in imports(path):
        if name.startswith("harness."):
            other = name.split(".")[1]
            assert other == own or LAYER[other] < LAYER[own], f"{own} (layer {LAYER[own]}) imports {other}"


def test_every_file_has_a_layer() -> None:
    assert {unit(path) for path in FILES} - {"__init__"} == LAYER.keys() | OUTSIDE


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("mlflow", ("tracking/", "serving/pyfunc.py")),
        ("optuna", ("search.py", "trials.py", "runner.py")),
    ],
)
def test_only_these_files_import(library: str, allowed: tuple[str, ...]) -> None:
    users = {str(p.relative_to(ROOT)) for p in FILES if any(n.split(".")[0] == library for n in imports(p))}
    assert all(user.startswith(allowed) for user in users)


def test_checking_a_study_loads_nothing_heavy() -> None:
    code = "; ".join(["import sys", *(f"import harness.{name}" for name in LIGHT.split()), "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "cli.py"], ids=name_of)
def test_all_names_what_is_public(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    ]
    public = {
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    if named:
        defined = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | public
        defined |= {
            alias.asname or alias.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for alias in n.names
        }
        assert public <= set(named[0]) <= defined
    else:
        assert path.name == "__init__.py" or not public or path.name == "pyfunc.py", "no __all__"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, node.name
