"""Losses in a study file: which are known, what is refused of one's own, and what is part of a cell's identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.errors import StudyError
from harness.data.template import Template
from harness.study.cell_digests import cell_digests
from harness.study.grid import expand
from harness.study.load_study import read_study
from harness.study.own_losses import code_files, own_loss, refuse_loss
from harness.study.problems import Problems
from harness.study.spec import StudySpec, Training
from harness.study.training_keys import training_identity

LOSS = (
    "def mine(logits, labels, weights):\n    return (logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0])\n"
)
OTHERS = (
    "from torch.nn.functional import nll_loss as other\nmine_too: object = other\nlast = other\n\nclass Made: ...\n"
)


def study(folder: Path, **sections: Any) -> Path:
    file = folder / "study.yaml"
    folder.mkdir(exist_ok=True)
    content = {"name": "s", "task": "t", "prompts": ["p"], "tuning": ["none", "full"], **sections}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def told(folder: Path, loss: str) -> list[str]:
    problems = Problems(read_study(study(folder, training={"loss": loss})))
    refuse_loss(problems.file.resolved, problems)
    return [f"{problem}".partition("study.yaml:")[2] for problem in problems.problems]


def test_a_function_of_a_file_is_found_however_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "losses.py").write_text(LOSS + OTHERS, encoding="utf-8")
    for name in ("mine", "other", "mine_too", "last", "Made"):
        assert told(tmp_path, f"./losses.py:{name}") == []


REFUSED = {
    "gone": ("other.py:mine", "loss file 'other.py' does not exist; write it, or correct the path"),
    "misspelt": ("losses.py:mien", "loss file losses.py defines no 'mien'; did you mean 'mine'? Known: mine"),
    "no Python": ("bad.py:mine", "loss file bad.py is no Python: invalid syntax (<unknown>, line 1); correct it"),
    "not in UTF-8": ("odd.py:mine", "loss file odd.py is not in UTF-8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_without_running_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "losses.py").write_text(f"raise RuntimeError('it was run')\n{LOSS}", encoding="utf-8")
    (tmp_path / "bad.py").write_text("def mine(:\n", encoding="utf-8")
    (tmp_path / "odd.py").write_bytes(b"# \xff\n")
    loss, words = REFUSED[case]
    (problem,) = told(tmp_path, loss)
    assert words in problem


KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt": ({"loss": "focl"}, "training.loss is 'focl'; did you mean 'focal'? Known: cross_entropy, focal, mse"),
    "no function": ({"loss": "losses.py"}, "one of your own is a file and its function: losses.py:mine"),
    "no name": ({"loss": "losses.py:2x"}, "training.loss is 'losses.py:2x'"),
    "smoothed": (
        {"loss": "focal", "label_smoothing": 0.1},
        "training.label_smoothing 0.1 is of cross entropy alone, but training.loss is 'focal'; leave one of the two",
    ),
    "optimizer": ({"optimizer": "adam"}, "training.optimizer is 'adam'; it must be one of 'adamw', 'adafactor', 'sgd'"),
    "decay": ({"block_decay": 0}, "training.block_decay is 0; it must be greater than 0"),
    "growth": ({"block_decay": 1.1}, "training.block_decay is 1.1; it must be less than or equal to 1"),
}


@pytest.mark.parametrize("case", KEYS)
def test_wrong_values(tmp_path: Path, case: str) -> None:
    training, words = KEYS[case]
    with pytest.raises(StudyError) as caught:
        read_study(study(tmp_path, training=training))
    (problem,) = caught.value.problems
    assert words in problem.message


def test_a_loss_of_one_s_own_is_no_choice(tmp_path: Path) -> None:
    space = {"training.loss": ["focal", "losses.py:mine"]}
    with pytest.raises(StudyError, match="has 'losses.py:mine'; its choices are cross_entropy, focal, mse: a loss of"):
        read_study(study(tmp_path, search={"space": space}))


def test_a_study_without_these_keys_says_what_it_always_said() -> None:
    """What a digest was made of before there were any."""
    assert training_identity(Training()) == {
        "epochs": 3,
        "batch_size": 16,
        "accumulation": 1,
        "max_source_tokens": None,
        "max_target_tokens": None,
        "schedule": "linear",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "clip": 1.0,
        "patience": None,
        "keep": "last",
        "precision": "fp32",
    }


def digests(training: dict[str, Any], loss: str | None = None) -> dict[str, str]:
    content = {"name": "s", "task": "t", "prompts": ["p"], "tuning": ["none", "full"], "training": training}
    spec = StudySpec.model_validate(content)
    return cell_digests(expand(spec, [Template("p", "{{ source }}", "source")]), spec, {}, loss=loss)


def test_each_key_makes_another_cell_and_zero_shot_stays() -> None:
    settings: list[dict[str, Any]] = [
        {},
        *({"loss": "focal"}, {"loss": "mse"}, {"label_smoothing": 0.1}, {"block_decay": 0.9}),
        *({"optimizer": "sgd"}, {"optimizer": "adafactor"}),
    ]
    found = [digests(training) for training in settings]
    assert len({cells["p/full"] for cells in found}) == len(settings)
    assert len({cells["p/none"] for cells in found}) == 1


def test_one_s_own_is_known_by_its_text_and_name_and_not_by_its_place() -> None:
    here, there = (digests({"loss": f"{folder}losses.py:mine"}, "text") for folder in ("", "/other/place/"))
    edited, other = digests({"loss": "losses.py:mine"}, "another"), digests({"loss": "losses.py:other"}, "text")
    named = digests({"loss": "losses.py:focal"}, "text")
    assert here == there
    different = [here, edited, other, named, digests({}), digests({"loss": "focal"})]
    assert len({cells["p/full"] for cells in different}) == len(different)
    assert len({cells["p/none"] for cells in different}) == 1


def test_its_file_is_code_that_the_study_names(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "losses.py").write_text(LOSS, encoding="utf-8")
    file = read_study(study(folder, task="./task.py", training={"loss": "losses.py:mine"}))
    own = own_loss(file.resolved)
    assert own == (folder / "losses.py", "mine")
    assert own.text() == LOSS
    assert code_files(file.resolved) == [folder / "task.py", folder / "losses.py"]
    assert own_loss(read_study(study(folder)).study) is None


def test_where_it_is_extended_its_path_is_moved(tmp_path: Path) -> None:
    study(tmp_path / "base", training={"loss": "./losses.py:mine"})
    (tmp_path / "base" / "losses.py").write_text(LOSS, encoding="utf-8")
    own = tmp_path / "own.yaml"
    own.write_text("extends: base/study.yaml\nname: own\n", encoding="utf-8")
    file = read_study(own)
    assert file.study.training.loss == "base/losses.py:mine"
    assert own_loss(file.resolved) == (tmp_path / "base" / "losses.py", "mine")
