"""What a study extends: merged key by key, from its own place, and told where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from harness.core.errors import StudyError
from harness.core.plain_yaml import yaml_value
from harness.study.load_study import read_study
from harness.study.study_tree import dumped, read_tree

BASE = """\
# The base asks something else.
name: base
task: ./task.py
model: {name: model}
data: {path: data, train: 20}
prompts: [bare, cue]
tuning: [head, full]
training: {epochs: 2, batch_size: 4}
search:
  trials: 3
  storage: sqlite:///search.db
"""

OWN = """\
# Does a longer training help?
extends: {base}
name: longer
tuning: [full]
training:
  epochs: 5
"""


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def said(file: Path, *overrides: str) -> list[str]:
    with pytest.raises(StudyError) as caught:
        read_study(file, overrides)
    return [str(problem) for problem in caught.value.problems]


def test_mappings_merge_and_all_else_replaces(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    read = read_study(write(tmp_path, "own.yaml", OWN.format(base="base.yaml")))
    study = read.study
    assert (study.name, study.training.epochs, study.training.batch_size) == ("longer", 5, 4)
    assert [tuning.name for tuning in study.tuning] == ["full"]
    assert [prompt.name for prompt in study.prompts] == ["bare", "cue"]
    assert (study.task, study.data.path, study.search.storage) == ("./task.py", "data", "sqlite:///search.db")
    assert read.question == "Does a longer training help?"
    assert study.extends is None
    assert "extends" not in study.model_dump()


def test_what_is_stored_says_the_same_without_the_base(tmp_path: Path) -> None:
    write(tmp_path, "shared/base.yaml", BASE)
    write(tmp_path, "shared/task.py", "x")
    write(tmp_path, "shared/model/config.json", "x")
    read = read_study(write(tmp_path, "own/own.yaml", OWN.format(base="../shared/base.yaml")), ["training.epochs=9"])
    assert read.study.task == "../shared/task.py"
    assert read.study.model.name == "../shared/model"
    assert read.study.data.path == "../shared/data"
    assert read.study.search.storage == "sqlite:///../shared/search.db"
    again = read_study(write(tmp_path, "elsewhere/stored.yaml", read.text), read.overrides, folder=read.folder)
    assert again.study == read.study
    assert again.question == read.question
    assert "extends" not in read.text


def test_a_name_in_a_base_stays_one_where_nothing_is_called_so(tmp_path: Path) -> None:
    write(
        tmp_path,
        "shared/base.yaml",
        BASE.replace("./task.py", "summarization").replace("{name: model}", "{name: org/x}"),
    )
    read = read_study(write(tmp_path, "own/own.yaml", OWN.format(base="../shared/base.yaml")))
    assert (read.study.task, read.study.model.name) == ("summarization", "org/x")


def test_what_the_command_line_sets_starts_in_the_working_folder(tmp_path: Path) -> None:
    write(tmp_path, "shared/base.yaml", BASE)
    own = write(tmp_path, "own/own.yaml", OWN.format(base="../shared/base.yaml"))
    assert read_study(own, ["data.path=mine"]).study.data.path == "mine"


def test_several_levels_each_from_its_own_folder(tmp_path: Path) -> None:
    write(tmp_path, "a/base.yaml", BASE)
    write(tmp_path, "a/b/middle.yaml", "extends: ../base.yaml\ndata: {path: rows}\nsearch: {trials: 7}\n")
    read = read_study(write(tmp_path, "c/own.yaml", OWN.format(base="../a/b/middle.yaml")))
    assert (read.study.data.path, read.study.data.train, read.study.task) == ("../a/b/rows", 20, "../a/task.py")
    assert read.study.search.trials == 7
    assert read_tree(tmp_path / "c" / "own.yaml").files[1:] == (
        tmp_path / "c/../a/b/middle.yaml",
        tmp_path / "c/../a/b/../base.yaml",
    )


def test_a_problem_names_the_file_and_line_where_a_value_stands(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", BASE.replace("trials: 3", "trials: no").replace("train: 20", "train: 0"))
    own = write(tmp_path, "own.yaml", OWN.format(base="base.yaml").replace("epochs: 5", "epochs: many"))
    first, second, third = said(own)
    assert first.startswith(f"{own}:6: training.epochs is 'many'")
    assert second.startswith(f"{base}:5: data.train is 0")
    assert third.startswith(f"{base}:10: search.trials is false")
    (replaced,) = said(own, "training.epochs=1", "data.train=5", "search.trials=no")
    assert replaced.startswith("override search.trials=no: search.trials is false")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"own.yaml": "extends: none.yaml\n"}, "own.yaml:1: extends is 'none.yaml'; there is no such file: "),
        ({"own.yaml": "extends: own.yaml\n"}, "own.yaml:1: extends is 'own.yaml'; that leads back to itself: "),
        (
            {"own.yaml": "name: a\nextends: b.yaml\n", "b.yaml": "extends: ./own.yaml\n"},
            "b.yaml:1: extends is './own.yaml'; that leads back to itself: ",
        ),
        ({"own.yaml": "extends: [a.yaml]\n"}, "extends is ['a.yaml']; it must be the path of one study file"),
        (
            {"own.yaml": "extends: ~no-one/a.yaml\n"},
            "extends is '~no-one/a.yaml'; '~no-one/a.yaml' is no path of a file",
        ),
        ({"own.yaml": 'extends: "a\\0b"\n'}, "is no path of a file or folder: embedded null byte; correct it"),
        (
            {"own.yaml": f"extends: {'a' * 300}.yaml\n"},
            "is no path of a file or folder: File name too long; correct it",
        ),
        ({"own.yaml": "extends:\n"}, "extends is null; it must be the path of one study file"),
        ({"own.yaml": "extends: b.yaml\n", "b.yaml": "- 1\n"}, "b.yaml: a study file must hold keys and values"),
        ({"own.yaml": "extends: b.yaml\n", "b.yaml": "a: [\n"}, "no valid YAML"),
        (
            {"own.yaml": "extends: 1.yaml\n", **{f"{n}.yaml": f"extends: {n + 1}.yaml\n" for n in range(1, 20)}},
            "at most 8 files may extend one another",
        ),
    ],
    ids=["missing", "itself", "circle", "list", "user", "nul", "length", "null", "no-mapping", "no-yaml", "long"],
)
def test_what_cannot_be_extended(files: dict[str, str], words: str, tmp_path: Path) -> None:
    for name, text in files.items():
        write(tmp_path, name, text)
    (problem,) = said(tmp_path / "own.yaml")
    assert words in problem


def test_a_link_to_itself_cannot_be_extended(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (problem,) = said(write(tmp_path, "own.yaml", "extends: loop.yaml\n"))
    assert "own.yaml:1: extends is 'loop.yaml'" in problem
    assert "Too many levels of symbolic links; correct it" in problem


def test_the_chain_is_told(tmp_path: Path) -> None:
    for name, text in {"a": "b", "b": "c", "c": "a"}.items():
        write(tmp_path, f"{name}.yaml", f"extends: {text}.yaml\n")
    (problem,) = said(tmp_path / "a.yaml")
    chain = " extends ".join(str(tmp_path / f"{name}.yaml") for name in "abca")
    assert chain in problem


def test_only_a_file_extends(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    (problem,) = said(tmp_path / "base.yaml", "extends=other.yaml")
    assert "extends is read in study files alone" in problem


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3),
    max_leaves=8,
)


@example({"a": "one\x85two\u2028three\r\n four\n"})
@given(st.dictionaries(st.text(min_size=1, max_size=8), PLAIN, min_size=1, max_size=3))
def test_whatever_is_dumped_is_read_back(values: dict[str, Any]) -> None:
    assert yaml_value(dumped(values, ["# a question"])) == values


@given(
    base=st.dictionaries(st.sampled_from("abcd"), PLAIN, max_size=4),
    own=st.dictionaries(st.sampled_from("abcd"), PLAIN, max_size=4),
)
def test_merging_against_a_plain_definition(base: dict[str, Any], own: dict[str, Any], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("merge")
    write(folder, "base.yaml", yaml.safe_dump(base | {"z": 1}))
    tree = read_tree(write(folder, "own.yaml", yaml.safe_dump(own | {"extends": "base.yaml"})))

    def expected(one: Any, other: Any) -> Any:
        if isinstance(one, dict) and isinstance(other, dict):
            both = {key: expected(one[key], other[key]) for key in one.keys() & other.keys()}
            return {**one, **other, **both}
        return other

    assert tree.values == expected(base | {"z": 1}, own)
