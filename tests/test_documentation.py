"""The documentation holds: the code in it runs as it stands there, and the files that it names are there."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from harness import testing
from harness.core.errors import DataError
from harness.core.example import Prediction
from harness.data import readers
from harness.metrics import get, registry
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.load import load
from harness.study import tuning_kinds
from harness.study.axes import Tuning
from harness.study.task import load_task
from harness.study.tuning_names import depth
from tests.support import family_facts
from tests.support.study_fixture import Places

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "AGENTS.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def blocks_of(page: str) -> dict[str, str]:
    """Return the Python code of a page by its opening comment, or by its first line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return {block.splitlines()[0].removeprefix("# "): block for block in found}


CODE = blocks_of("CONTRIBUTING.md")


@pytest.fixture
def run_in() -> Iterator[Callable[..., None]]:
    """``run_in(module, *tables)``: run a block as if it stood in a module, whose tables are put back afterwards."""
    with ExitStack() as stack:

        def run(module: ModuleType, *tables: str, **names: Any) -> None:
            for table in tables:
                stack.enter_context(mock.patch.dict(getattr(module, table)))
            path = module.__name__.replace(".", "/") + ".py"
            exec(compile(CODE[f"in {path}"], path, "exec"), vars(module) | names)

        yield run


def new_module(path: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Run a block that is a whole file, and let it be imported."""
    name = path.removesuffix(".py").replace("/", ".")
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(CODE[path], path, "exec"), vars(module))
    return module


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_files_that_a_page_names_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    text = text.partition("## Where the house differs")[0] if path.name == "ARCHITECTURE.md" else text
    own = {name.removeprefix("in ") for name in CODE}
    names = set(re.findall(r"`([a-z_]+/[\w./-]*(?:/|\.py|\.md|\.yaml|\.txt))`", text)) - own
    there = [ROOT / "harness", ROOT, *(ROOT / "harness").iterdir()]
    made = ("reports/", ".harness/", "data/", "prompts/")
    assert [n for n in names if not n.startswith(made) and not any((f / n).exists() for f in there)] == []


SUBJECTS = [
    {"mail": f"The train of day {n} is late, says Ada.", "subject": f"Day {n} is fine.", "sender": "Ada"}
    for n in range(9)
]


def test_a_task_passes_its_check(places: Places) -> None:
    place = places()
    (place.folder / "task.py").write_text(CODE["tasks/mail_subject.py"], encoding="utf-8")
    for split in ("train", "validation", "test"):
        lines = [json.dumps(row | {"mail": f"{split}: {row['mail']}"}) for row in SUBJECTS]
        (place.folder / "data" / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    done = place.command("check", "study.yaml", "--set", "prompts=[bare, cue]")
    assert done.status == 0, done.err
    task, _ = load_task("./task.py", place.folder)
    example = task.example(SUBJECTS[0], "0")
    for metric in task.metrics:
        metric = get(metric) if isinstance(metric, str) else metric
        assert metric.reduce([metric.statistics(Prediction("0", example.target, 1.0, 4), example)]) >= 0
        assert metric.signature()


def test_the_metric(run_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    metric = new_module("harness/metrics/numbers_kept.py", monkeypatch).NUMBERS_KEPT
    run_in(registry, "_METRICS", NUMBERS_KEPT=metric)
    tests = vars(new_module("tests/metrics/test_numbers_kept.py", monkeypatch))
    run = [test for name, test in tests.items() if name.startswith("test_")]
    for test in run:
        test()
    assert len(run) == 2


def test_the_data_format(run_in: Callable[..., None], tmp_path: Path) -> None:
    run_in(readers, "FORMATS")
    file = tmp_path / "train.yaml"
    file.write_text("- {source: ä, target: b}\n- {source: c, target: d}\n", encoding="utf-8")
    assert readers.read_rows(file) == [{"source": "ä", "target": "b"}, {"source": "c", "target": "d"}]
    for wrong, message in (("- {", "no valid YAML"), ("a: b\n", "no list of rows")):
        file.write_text(wrong, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            readers.read_rows(file)


def test_the_model_family(run_in: Callable[..., None], tmp_path: Path) -> None:
    run_in(testing, "_FAMILIES")
    run_in(family_facts, "FACTS", "LAST_TWO")
    model = load(str(testing.tiny_model("olmo2", tmp_path))).model
    facts = family_facts.FACTS["olmo2"]
    assert [block.name for block in blocks(model)] == list(facts.blocks)
    tunings = [Tuning(kind="head"), Tuning(kind="last_blocks", blocks=2), Tuning(kind="full")]
    for tuning in tunings:
        trainable = apply(model, tuning)
        assert set(trainable.names) == family_facts.expected("olmo2", tuning.name)
        reset(model, trainable)


def test_the_tuning_kind(run_in: Callable[..., None], tmp_path: Path) -> None:
    run_in(tuning_kinds, "TUNING_KINDS")
    model = load(str(testing.tiny_model("gpt2", tmp_path))).model
    tuning = Tuning(kind="outer_blocks", blocks=1)
    assert tuning.name == "outer_blocks-1"
    trainable = apply(model, tuning)
    assert set(trainable.names) == family_facts.FACTS["gpt2"].of("transformer.h.0", "transformer.h.2")
    assert depth("last_blocks-2") < depth(tuning.name) < depth("full")
