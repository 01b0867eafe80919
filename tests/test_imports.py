"""The architecture as a check: a package imports only from those before it, and the light ones load nothing heavy."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import harness
from harness.runner.study import Sections
from harness.study.spec import StudySpec

ROOT = Path(__file__).parents[1] / "harness"

PACKAGES = [
    "core",
    "metrics",
    "stats",
    "data",
    "tracking",
    "study",
    "models",
    "training",
    "serving",
    "results",
    "report",
    "runner",
    "cli",
]
"""In the order of a study; each imports only from those before it, for types too."""
LIGHT = ["core", "metrics", "stats", "data", "study"]
BESIDE = {"__init__.py", "__main__.py", "testing.py", "py.typed"}
HEAVY = {"torch", "transformers", "optuna", "mlflow", "evaluate", "datasets"}

FILES = sorted(path for path in ROOT.rglob("*.py") if "tasks" not in path.relative_to(ROOT).parts)
TESTS = Path(__file__).parent
OF_PACKAGES = [path for path in FILES if path.parent != ROOT]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"harness.{alias.name}" for alias in node.names} if node.module == "harness" else {node.module}
    return found


def test_there_are_these_packages_and_nothing_else() -> None:
    there = {path.name for path in ROOT.iterdir() if path.name not in {"__pycache__", "tasks"}}
    assert there == {*PACKAGES, *BESIDE}


@pytest.mark.parametrize("path", OF_PACKAGES, ids=name_of)
def test_a_package_imports_only_from_those_before_it(path: Path) -> None:
    own = PACKAGES.index(path.relative_to(ROOT).parts[0])
    for name in imports(path):
        if name.startswith("harness."):
            assert name.split(".")[1] in PACKAGES[: own + 1], f"{PACKAGES[own]} imports {name}"


def test_no_file_name_occurs_twice() -> None:
    code = [
        path for folder in ("harness", "tests", "tools", "benchmarks") for path in ROOT.parent.glob(f"{folder}/**/*.py")
    ]
    names = Counter(path.name for path in code if path.name not in {"__init__.py", "conftest.py", "task.py"})
    assert [name for name, times in names.items() if times > 1] == []
    tasks = [path.parent.name for path in code if path.name == "task.py" and path.parent.parent.name != "studies"]
    assert sorted(tasks) == ["old_store", "study"], "task.py is also what users call theirs, and the golden studies do"


def test_tests_mirror_the_packages() -> None:
    mirrored = [path.parent.name for path in TESTS.glob("*/test_*.py")]
    assert set(mirrored) <= {*PACKAGES, "hostile", "seams", "tools"}
    assert {path.name for path in TESTS.glob("test_*.py")} == {
        "test_documentation.py",
        "test_imports.py",
        "test_pages.py",
        "test_wheel.py",
    }


def test_no_test_module_imports_from_another() -> None:
    borrowed = {
        (path.name, name)
        for path in TESTS.rglob("*.py")
        for name in imports(path)
        if name.startswith("tests.") and name.split(".")[1] != "support"
    }
    assert borrowed == set(), "what tests share lies in tests/support/"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("mlflow", ("tracking/mlflow/", "tracking/server_outage/", "serving/pyfunc.py")),
        ("optuna", ("runner/search/", "runner/run_study.py")),
    ],
)
def test_only_these_files_import(library: str, allowed: tuple[str, ...]) -> None:
    users = {name_of(path) for path in FILES if any(name.split(".")[0] == library for name in imports(path))}
    assert [user for user in users if not user.startswith(allowed)] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_private_parts_of_libraries_are_used_in_compat_files_alone(path: Path) -> None:
    if path.stem.endswith("_compat"):
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr not in {"_replace", "_asdict", "_fields", "_exit"}:
            is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            assert is_own or not re.match("_[a-z]", node.attr), ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith(("harness", "__")):
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            assert not [name for name in names if name.startswith("_")], ast.unparse(node)


def test_the_light_packages_load_nothing_heavy() -> None:
    modules = [
        ".".join(("harness", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in OF_PACKAGES
        if path.relative_to(ROOT).parts[0] in LIGHT
    ]
    code = "; ".join(["import sys", *(f"import {name}" for name in modules), "print(*sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & {name.split(".")[0] for name in done.stdout.split()} == set()


def test_importing_the_harness_loads_nothing_heavy_and_shows_all_names() -> None:
    code = "import sys, harness; print(*sys.modules); print(*dir(harness)); print(*map(repr, harness.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, shown, _ = done.stdout.splitlines()
    assert {*HEAVY, "pandas", "numpy"} & {name.split(".")[0] for name in modules.split()} == set()
    assert shown.split() == sorted(harness.__all__)


@pytest.mark.parametrize("name", harness.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    public = getattr(harness, name)
    assert public.__doc__
    if name != "__version__":
        assert public.__name__ == name


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert harness.__version__ == project["version"]


def test_keywords_of_a_study_are_the_keys_of_a_study_file() -> None:
    assert {*Sections.__annotations__} == {*StudySpec.keys()} - {"extends"}  # one file extends another


@pytest.mark.parametrize("old", ["task", "template", "example", "errors", "metrics.base", "serving.generator"])
def test_what_users_wrote_still_imports(old: str) -> None:
    module = importlib.import_module(f"harness.{old}")
    assert sys.modules[module.__name__] is module
    assert module.__spec__ is not None
    assert module.__spec__.name == module.__name__


def test_old_and_new_names_are_the_same_classes() -> None:
    from harness.example import Example as OldExample
    from harness.task import Task as OldTask
    from harness.template import Template as OldTemplate

    from harness import Example, Metric, Task, Template
    from harness.metrics.base import Metric as OldMetric

    assert (Example, Metric, Task, Template) == (OldExample, OldMetric, OldTask, OldTemplate)


@pytest.mark.parametrize("path", [p for p in FILES if p.name not in {"main.py", "__main__.py"}], ids=name_of)
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
