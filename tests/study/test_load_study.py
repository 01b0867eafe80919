"""Reading study files: positions, overrides, hints, and every valid study surviving the way through YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.errors import Problem, StudyError
from harness.study.load_study import StudyFile, read_study
from harness.study.spec import StudySpec

MINIMAL = "name: s\ntask: summarization\nprompts: [bare]\ntuning: [full]\n"


def read(text: str, *overrides: str, folder: Path) -> StudyFile:
    file = folder / "study.yaml"
    file.write_text(text, encoding="utf-8")
    return read_study(file, overrides)


def problems(text: str, *overrides: str, folder: Path) -> list[str]:
    with pytest.raises(StudyError) as caught:
        read(text, *overrides, folder=folder)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def read_or_problems(text: str, *overrides: str, folder: Path) -> tuple[Problem, ...]:
    try:
        read(text, *overrides, folder=folder)
    except StudyError as error:
        return error.problems
    return ()


def test_a_minimal_study_gets_the_documented_defaults(tmp_path: Path) -> None:
    study = read(MINIMAL, folder=tmp_path).study
    assert [tuning.name for tuning in study.tunings()] == ["none", "full"]
    assert (study.model.name, study.model.dtype) == ("embedded", "float32")
    assert study.training.model_dump() == {
        "epochs": 3,
        "steps": None,
        "evaluate_every": None,
        "batch_size": 16,
        "accumulation": 1,
        "max_source_tokens": None,
        "max_target_tokens": None,
        "block_tokens": None,
        "scored_tokens": None,
        "schedule": "linear",
        "warmup": 0.0,
        "weight_decay": 0.0,
        "clip": 1.0,
        "patience": None,
        "keep": "last",
        "optimizer": "adamw",
        "block_decay": 1.0,
        "loss": "cross_entropy",
        "label_smoothing": 0.0,
        "precision": "fp32",
        "device": "auto",
        "gradient_checkpointing": "auto",
        "checkpoint": {"every": "auto", "keep": 2},
    }
    assert (study.search.sampler, study.search.trials, study.search.storage) == ("gp", 8, "sqlite:///optuna.db")
    assert (study.data.train, study.data.validation, study.data.test) == (None, None, None)


def test_keys_know_their_lines(tmp_path: Path) -> None:
    text = "# why?\n\nname: s\ntask: t\nprompts:\n  - bare\n  - name: x\n    text: y\ntuning: [none,\n  head]\n"
    file = read(text, folder=tmp_path)
    lines = {
        ("name",): 3,
        ("prompts",): 5,
        ("prompts", 0): 6,
        ("prompts", 1, "text"): 8,
        ("prompts", 1, "keep"): 7,
        ("tuning", 1): 10,
    }
    for keys, number in lines.items():
        assert file.place(*keys) == f"{tmp_path / 'study.yaml'}:{number}"
    assert file.place("search", "trials") == str(tmp_path / "study.yaml")
    assert file.question == "why?"


@pytest.mark.parametrize(
    ("opening", "question"),
    [("", ""), ("# one\n# two\n\n# three\n", "one two"), ("#one\n#\n#two\n", "one two"), ("\ufeff# bom\n", "bom")],
)
def test_the_question_is_the_opening_comment(opening: str, question: str, tmp_path: Path) -> None:
    assert read(opening + MINIMAL, folder=tmp_path).question == question


def test_overrides_win_and_are_kept(tmp_path: Path) -> None:
    overrides = ("search.trials=3", "search.learning_rate.low=1e-4", "training={epochs: 1}", "data.path=a=b", "name=o")
    file = read(MINIMAL + "search: {trials: 9, seed: 4}\n", *overrides, folder=tmp_path)
    assert (file.study.search.trials, file.study.search.seed) == (3, 4)
    assert file.study.search.learning_rate is not None
    assert file.study.search.learning_rate.low == 1e-4
    assert (file.study.training.epochs, file.study.data.path, file.study.name) == (1, "a=b", "o")
    assert file.overrides == overrides
    assert file.place("search", "trials") == "override search.trials=3"
    assert file.place("training", "epochs") == "override training={epochs: 1}"
    assert file.place("search").endswith(
        "study.yaml:5 with override search.trials=3 with override search.learning_rate.low=1e-4"
    )


def test_later_overrides_win(tmp_path: Path) -> None:
    assert read(MINIMAL, "search.trials=3", "search.trials=4", folder=tmp_path).study.search.trials == 4


@pytest.mark.parametrize(
    ("section", "misspelt", "meant"),
    [
        ("model", "reversion", "revision"),
        ("data", "trian", "train"),
        ("training", "epoch", "epochs"),
        ("generation", "num_beam", "num_beams"),
        ("search", "sample", "sampler"),
        ("final", "seed", "seeds"),
    ],
)
def test_misspelt_keys_are_answered(section: str, misspelt: str, meant: str, tmp_path: Path) -> None:
    (problem,) = problems(MINIMAL + f"{section}:\n  {misspelt}: 1\n", folder=tmp_path)
    assert problem.startswith(f"study.yaml:6: unknown key '{misspelt}' in {section}; did you mean '{meant}'?")


def test_deep_keys_are_answered(tmp_path: Path) -> None:
    text = MINIMAL.replace("[bare]", "[{name: a, txt: b}]") + "search: {learning_rate: {lo: 1}}\n"
    text += "final: {baseline: {promt: a, tuning: full}}\n"
    found = problems(text, folder=tmp_path)
    assert found[0].startswith("study.yaml:3: unknown key 'txt' in prompts.0; did you mean 'text'?")
    assert found[1].startswith("study.yaml:5: unknown key 'lo' in search.learning_rate; did you mean 'low'?")
    assert any("did you mean 'prompt'?" in problem for problem in found)


def test_all_problems_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "name: ' '\ntask: t\nprompts: []\ntuning: [ful, {last_blocks: x}]\nsearch:\n  trials: -1\n  seed: a\n"
    found = problems(text, folder=tmp_path)
    numbers = [int(problem.split(":")[1]) for problem in found]
    assert numbers == sorted(numbers)
    assert set(numbers) == {1, 3, 4, 6, 7}


names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,12}\Z")
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
tunings = st.sampled_from(["none", "head", "full"]) | st.builds(lambda k: {"last_blocks": k}, st.integers(1, 30))
prompts = names | st.fixed_dictionaries(
    {"name": names, "text": texts}, optional={"keep": st.sampled_from(["start", "end"])}
)


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.floats(1e-8, 1e-2))
    optional = {
        "model": st.fixed_dictionaries({}, optional={"name": texts.filter(bool), "dtype": st.just("bfloat16")}),
        "data": st.fixed_dictionaries(
            {}, optional={"path": texts, "train": st.integers(1, 2**63 - 1), "columns": st.dictionaries(texts, texts)}
        ),
        "training": st.fixed_dictionaries(
            {"epochs": st.integers(2, 99)},
            optional={"warmup": st.floats(0, 0.99), "clip": st.none(), "patience": st.just(1), "keep": st.just("best")},
        ),
        "generality": st.fixed_dictionaries({}, optional={"text": st.none() | texts, "examples": st.integers(1, 9**9)}),
        "generation": st.fixed_dictionaries({}, optional={"stop": st.lists(texts, max_size=3)}),
        "search": st.fixed_dictionaries(
            {"learning_rate": st.just({"low": low, "high": low * draw(st.floats(1.5, 1e6))})},
            optional={
                "sampler": st.sampled_from(["grid", "random", "tpe", "gp"]),
                "metric": st.just("loss") | st.none(),
            },
        ),
        "final": st.fixed_dictionaries({}, optional={"seeds": st.lists(st.integers(0, 99), unique=True, max_size=5)}),
    }
    return draw(
        st.fixed_dictionaries(
            {
                "name": names,
                "task": texts,
                "prompts": st.lists(
                    prompts, min_size=1, max_size=4, unique_by=lambda p: p if isinstance(p, str) else p["name"]
                ),
                "tuning": st.lists(tunings, min_size=1, max_size=4, unique_by=str),
            },
            optional=optional,
        )
    )


@given(tree=studies(), flow=st.booleans())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_valid_studies_survive_yaml(tree: dict[str, Any], flow: bool, tmp_path: Path) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True, default_flow_style=flow, sort_keys=False)
    study = read(text, folder=tmp_path).study
    assert study == StudySpec.model_validate(tree)
    again = yaml.safe_dump(study.model_dump(mode="json"), allow_unicode=True)
    tunings_as_fields = [tuning.name for tuning in study.tuning]
    assert tunings_as_fields == [t if isinstance(t, str) else f"last_blocks-{t['last_blocks']}" for t in tree["tuning"]]
    assert yaml.safe_load(again) == study.model_dump(mode="json")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(), inner, max_size=3),
    max_leaves=6,
)
KEYS = sorted(StudySpec.model_fields)


@given(tree=st.dictionaries(st.sampled_from(KEYS), junk, max_size=6), key=st.sampled_from(KEYS))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_there_problems_have_a_place(tree: dict[str, Any], key: str, tmp_path: Path) -> None:
    text = yaml.safe_dump({**yaml.safe_load(MINIMAL), **tree}, allow_unicode=True)
    for problem in read_or_problems(text, folder=tmp_path):
        assert problem.place.startswith(str(tmp_path / "study.yaml"))
        assert problem.message


@given(text=st.text(max_size=60))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_study_or_a_study_error(text: str, tmp_path: Path) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    with pytest.raises(StudyError):
        read(text, folder=tmp_path)


@given(override=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_override_is_applied_or_named(override: str, tmp_path: Path) -> None:
    for problem in read_or_problems(MINIMAL, override, folder=tmp_path):
        assert "override" in problem.place
