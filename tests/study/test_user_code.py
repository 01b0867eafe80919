"""A task file's code can do what it likes: no command ends well for it, ends silently, or ends up in another folder."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from harness.core.errors import DataError, TaskError
from harness.core.user_code import module_in, user_code
from harness.study.task import load_task
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import TASK, Done, Place, Places

ENDINGS = ["sys.exit(0)", "raise GeneratorExit", "1 / 0"]
PARTS = ("example", "statistics", "reduce", "signature", "top")

OWN = """
import os, sys
from harness import Example, Metric, Template
import numpy as np


def example(row, id):
    {example}
    return Example(row.get("id", id), {{"source": row["source"]}}, row["target"])


def statistics(prediction, example):
    {statistics}
    return np.array([-prediction.nll])


def reduce(found):
    {reduce}
    return float(np.mean(found))


def signature():
    {signature}
    return "calm|version:1"


{top}
"""


def own_task(place: Place, **parts: str) -> None:
    """Write a task with a metric and an example function of its own, and a statement in some of its functions."""
    code = OWN.format(**{name: parts.get(name, "pass") for name in PARTS})
    metric = 'Metric("calm", True, statistics, reduce, signature)'
    task = TASK.replace('metrics=["chrf",', f'example=example, metrics=["chrf", {metric},')
    (place.folder / "task.py").write_text(code + task, encoding="utf-8")


@pytest.fixture
def place(places: Places) -> Place:
    return places(store=False)


def refused(place: Place, *arguments: str) -> Done:
    done = place.command(*arguments)
    assert done.status == 2, done
    assert "ready to run" not in done.out
    return done


DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass


@dataclass
class Settings:
    share: float = 0.5


"""


def test_a_file_may_have_dataclasses_whose_annotations_are_read_later(tmp_path: Path) -> None:
    file = tmp_path / "with_settings.py"
    file.write_text(f"{DATACLASS}{TASK}\nsettings = Settings(0.25)\n")
    assert load_task(str(file))[0].metrics
    module = module_in(file, "task")
    assert module.settings.share == 0.25
    assert sys.modules["harness_task_with_settings"] is module


def test_a_file_that_fails_leaves_no_module_behind(tmp_path: Path) -> None:
    file = tmp_path / "failing.py"
    file.write_text("1 / 0")
    with pytest.raises(TaskError, match="loss file .*failing.py cannot be loaded: it raised ZeroDivisionError"):
        module_in(file, "loss")
    assert "harness_loss_failing" not in sys.modules


def test_a_task_of_ones_own_is_ready(place: Place) -> None:
    own_task(place)
    assert place.command("check", "study.yaml").status == 0


@pytest.mark.parametrize("part", first_of_kind(PARTS))
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_is_told_with_where_it_stands(ending: str, part: str, place: Place) -> None:
    own_task(place, **{part: ending})
    said = refused(place, "check", "study.yaml").err
    kind = next(name for name in ("SystemExit", "GeneratorExit", "ZeroDivisionError") if name[:7] in said)
    assert {"top": "task file", "example": "example()"}.get(part, "metric 'calm'") in said
    assert f"raised {kind}" in said


def test_what_is_no_score_is_refused(place: Place) -> None:
    own_task(place, reduce="return 'high'")
    assert "metric 'calm'" in refused(place, "check", "study.yaml").err


@pytest.mark.parametrize("part", ["top", "example", "statistics"])
def test_the_working_folder_and_the_arguments_stay(part: str, place: Place) -> None:
    own_task(place, **{part: "os.chdir('/'); sys.argv[:] = ['other']"})
    before = place.files()
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert place.files() == before


@pytest.mark.parametrize("ending", first_of_kind(["sys.exit(0)", "raise SystemExit(3)", "1 / 0", "return np.ones(2)"]))
def test_an_ending_in_the_middle_of_a_run_is_told(ending: str, places: Places) -> None:
    """Only where nothing tries it before: on a row of the test split, which a search never sees."""
    place = places()
    own_task(place, statistics=f"if example.id.startswith('test-3'): {ending}")
    small = ("--set", "prompts=[bare]", "--set", "tuning=[none]", "--set", "final.seeds=[11]")
    said = refused(place, "run", "study.yaml", *small).err
    part = "reduce" if ending.startswith("return") else "statistics"
    told = " ".join(said.split())
    where = r"(, for example 'test-3.*',|, given .* for its first row,)?"
    assert re.search(rf"{part} of metric 'calm'{where} raised \w+: .*correct (it|one of the two)", told), told
    assert "Traceback" not in said
    place.clean()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("f1@5", "a metric is called 'f1@5'"),
        ("", "a metric is called ''"),
        ("a//b", "a metric is called 'a//b'"),
        ("../up", "a metric is called '../up'"),
        ("loss", "'loss' is taken"),
        ("x" * 300, "up to 100"),
        ("chrf", "two metrics are called 'chrf'"),
    ],
)
def test_a_metric_whose_name_no_store_takes_is_refused(name: str, said: str, place: Place) -> None:
    own_task(place)
    file = place.folder / "task.py"
    file.write_text(file.read_text().replace('Metric("calm"', f'Metric("{name}"'), encoding="utf-8")
    with pytest.raises(TaskError, match=re.escape(said)):
        load_task(str(file))


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("data=None", "data is null; it must be a folder, from the task's file; '' for a task whose studies all name"),
        ("data=3", "data is 3; it must be a folder"),
        ("data='data', example=None", "example is null; it must be a function of a row and an id, or be left out"),
        ("data='data', references=None", "references is null; it must be a list of texts, or be left out"),
        ("data='data', references='lead'", "references is 'lead'; it must be a list of texts"),
        ("data='data', references=[3]", "references is [3]; it must be a list of texts"),
        ("data='data', stop='end'", "stop is 'end'; it must be a list of texts"),
        ("data='data', stop=None", "stop is null; it must be a list of texts"),
    ],
)
def test_a_field_of_another_kind_is_refused(field: str, said: str, tmp_path: Path) -> None:
    source = TASK.replace('data="data"', field)
    file = tmp_path / "task.py"
    file.write_text(source.replace('    stop=["\\n"],\n', "") if "stop" in field else source, encoding="utf-8")
    with pytest.raises(TaskError, match=re.escape(said)):
        load_task(str(file))


@pytest.mark.parametrize("value", ["0", "True", "2.5", "'12'", "10**9", "float('nan')", "None"])
def test_a_limit_that_is_no_count_is_refused(value: str, place: Place) -> None:
    file = place.folder / "task.py"
    file.write_text(TASK.replace("max_target_tokens=12", f"max_target_tokens={value}"), encoding="utf-8")
    with pytest.raises(TaskError, match="max_target_tokens is .*; it must be a whole number from 1 to 1,000,000"):
        load_task(str(file))


@pytest.mark.parametrize("value", ["''", "'x' * 101", "None", "7"])
def test_a_task_whose_name_is_none_is_refused(value: str, place: Place) -> None:
    file = place.folder / "task.py"
    file.write_text(TASK.replace('name="tiny_task"', f"name={value}"), encoding="utf-8")
    with pytest.raises(TaskError, match="it must be a text of up to 100 characters"):
        load_task(str(file))


def test_ctrl_c_stays_what_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), user_code("it", "correct it"):
        raise KeyboardInterrupt


def test_what_the_harness_raised_passes() -> None:
    with pytest.raises(DataError, match="^column is missing$"), user_code("it", "correct it"):
        raise DataError("column is missing")


def test_all_is_put_back_after_an_error(tmp_path: Path) -> None:
    folder, arguments = os.getcwd(), [*sys.argv]

    def moves_and_ends() -> None:
        os.chdir(tmp_path)
        sys.argv.append("more")
        sys.exit(0)

    with pytest.raises(TaskError, match=r"^it raised SystemExit: 0; correct it$"), user_code("it", "correct it"):
        moves_and_ends()
    assert (os.getcwd(), sys.argv) == (folder, arguments)


def test_an_ending_anywhere_else_is_told_with_its_line(place: Place) -> None:
    """A prompt of a form that is the task's own."""
    quits = "import sys\nfrom harness import Template\n\nclass Quits(Template):\n"
    quits += "    def names(self):\n        sys.exit(0)\n\n"
    file = place.folder / "task.py"
    file.write_text(quits + TASK.replace('Template("bare"', 'Quits("bare"'), encoding="utf-8")
    said = " ".join(refused(place, "check", "study.yaml").err.split())
    assert "task.py:6 ended the command by sys.exit(0); raise an error there instead" in said


NO_TEXT = {
    "another encoding": ("task.py", b"# -*- coding: latin-1 -*-\n# d\xe9j\xe0 vu\n" + TASK.encode(), "not in UTF-8"),
    "no Python": ("task.txt", TASK.encode(), "must end in .py"),
    "compiled": ("task.pyc", bytes(range(256)), "must end in .py"),
    "a large one": ("task.py", TASK.encode() + b"#" * 2**24, "larger than 8 MiB"),
}


@pytest.mark.parametrize("case", NO_TEXT)
def test_a_task_file_is_a_text_that_a_store_can_keep(case: str, places: Places) -> None:
    name, content, reason = NO_TEXT[case]
    place = places()
    (place.folder / "task.py").unlink()
    (place.folder / name).write_bytes(content)
    done = place.command("check", "study.yaml", "--set", f"task=./{name}")
    assert done.status == 2
    assert reason in done.err
    assert name in done.err
