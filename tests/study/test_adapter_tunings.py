"""Adapters in a study file: options, ids, files of PEFT's, what may train beside, and what a search draws of them."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.core.plain_yaml import yaml_text
from harness.data.context_left import context_beside
from harness.study.json_schema import study_schema
from harness.study.load_study import read_study
from harness.study.search_space import SearchSpace, tuned
from harness.study.settings import virtual_tokens
from harness.study.spec import StudySpec
from harness.study.tuning import Tuning, tuning_of
from harness.study.tuning_kinds import TUNING_KINDS
from harness.study.tuning_names import depth, in_words, parsed
from tests.support.study_fixture import Place, Places

NAMES = st.lists(st.sampled_from(["q_proj", "k_proj", "mlp.c_fc", "o"]), min_size=1, unique=True)
LORA = {
    "rank": st.integers(1, 64),
    "alpha": st.none() | st.integers(1, 64) | st.floats(0.5, 64),
    "dropout": st.sampled_from([0.0, 0.1, 0.25]),
    "targets": st.just("all-linear") | NAMES,
    "blocks": st.sampled_from(["all", "last-2", "first-1", "3-5", [0, 2, 5]]),
}
OPTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    **dict.fromkeys(["lora", "dora", "rslora"], LORA),
    "ia3": {"targets": NAMES, "feed_forward": NAMES, "blocks": LORA["blocks"]},
    "prompt_tuning": {
        "tokens": st.integers(1, 64),
        "init": st.sampled_from(["prompt", "random", 'Say it: briefly, in "French"!']),
    },
    "prefix_tuning": {"tokens": st.integers(1, 64)},
    "p_tuning": {"tokens": st.integers(1, 64)},
}
BESIDE = st.lists(st.sampled_from(["head", "norms", "embeddings"]), unique=True)


SCHEMA = {"$defs": study_schema()["$defs"], "properties": {"written": {"$ref": "#/$defs/Tuning"}}}


@st.composite
def written(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(OPTIONS)))
    options = {name: draw(values) for name, values in OPTIONS[kind].items() if draw(st.booleans())}
    beside = draw(BESIDE) if kind in ("lora", "dora", "rslora", "ia3") else []
    return {kind: options, **({"with": beside} if beside else {})}


def read(value: Any) -> Tuning:
    return Tuning.model_validate(tuning_of(value))


@given(written())
def test_it_goes_around_through_files_records_and_names(value: dict[str, Any]) -> None:
    tuning = read(value)
    assert read(yaml.safe_load(yaml_text(tuning.written()))) == tuning
    assert Tuning.model_validate_json(tuning.model_dump_json()) == tuning
    assert hash(Tuning.model_validate(tuning.model_dump())) == hash(tuning)
    known = parsed(tuning.name)
    assert known is not None
    assert known[:3] == (tuning.kind, tuning.blocks, tuning.leading)
    assert depth(tuning.name) == tuning.depth
    assert tuning.words.partition(" (")[0].partition(" together")[0] in in_words(tuning.name)
    assert tuning.words.partition(" together with ")[2] in in_words(tuning.name)
    assert all(option in tuning.words for option in (*json.loads(tuning.options or "{}"), *tuning.parts[1:]))
    jsonschema.validate({"written": tuning.written()}, SCHEMA)


@given(written(), written())
def test_two_have_one_name_only_if_they_are_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    left, right = read(one), read(other)
    assert (left.name == right.name) is (left == right)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("lora", "lora-8"),
        ({"lora": {"rank": 8, "alpha": 16}}, "lora-8"),
        (
            {"lora": {"rank": 8, "alpha": 16, "targets": "all-linear", "blocks": "last-2"}, "with": ["norms", "head"]},
            "lora-8-last-2-with-head-norms",
        ),
        ({"lora": {"rank": 8, "alpha": 32}}, "lora-8-alpha-32"),
        ({"lora": {"targets": ["q_proj", "v_proj"]}}, "lora-8-targets-q_proj_v_proj"),
        ({"dora": {"dropout": 0.1}}, "dora-8-dropout-0.1"),
        ("ia3", "ia3"),
        ({"ia3": {"blocks": "last-2"}}, "ia3-last-2"),
        ("prompt_tuning", "prompt_tuning-20"),
        ({"prompt_tuning": {"tokens": 20, "init": "prompt"}}, "prompt_tuning-20"),
        ({"prompt_tuning": {"init": "random"}}, "prompt_tuning-20-init-random"),
        ({"name": "wide", "lora": {"rank": 64}}, "wide"),
        ({"lora": {}, "with": "head"}, "lora-8-with-head"),
    ],
)
def test_ids(value: Any, name: str) -> None:
    assert read(value).name == name


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"lora": {"rnk": 8}}, "unknown key 'rnk' in tuning lora; did you mean 'rank'"),
        ({"lora": {"rank": 0}}, "rank"),
        ({"lora": {"rank": True}}, "it must be a number, not true or false"),
        ({"lora": {"dropout": 1.0}}, "dropout"),
        ({"lora": {"targets": []}}, r"targets is \[\]; list the ends of the names of layers: \[q_proj\]"),
        ({"lora": {"targets": "q_proj"}}, r"targets is 'q_proj'; list the ends of the names of layers: \[q_proj\]"),
        ({"ia3": {"feed_forward": 3}}, r"feed_forward is 3; list the ends of the names of layers: \[q_proj\]"),
        ({"lora": {"r": 8}}, "unknown key 'r' in tuning lora; here it is 'rank'"),
        ({"dora": {"use_rslora": True}}, r"that is a kind of its own: \{rslora: \{rank: 8\}\}"),
        ({"lora": {"rank": 8, "with": ["head"]}}, r"it stands beside the kind: \{lora: \{...\}, with: \[head\]\}"),
        ({"p_tuning": {"r": 8}}, "unknown key 'r' in tuning p_tuning; known: tokens"),
        ({"lora": 8}, "lora is 8; write lora, or {lora: {rank: 8}}"),
        ({"lora": {"blocks": 2}}, "blocks are 2; write all, first-2, last-2"),
        ({"prompt_tuning": {"blocks": "last-2"}}, "prompt_tuning comes before all blocks, and stands in none"),
        ({"head": None, "with": ["norms"]}, "with: names what trains beside an adapter, and head trains none"),
        ({"lora": {}, "with": []}, "with: is \\[\\]; name what trains beside the adapter"),
        ({"lora": {}, "with": ["heads"]}, "with: names 'heads'; beside an adapter may train head, norms, embeddings"),
        ({"prompt_tuning": {}, "with": ["head"]}, "prompt_tuning keeps nothing but its tokens"),
        ({"peft": {"peft_type": "PREFIX_TUNING"}, "with": ["head"]}, "peft keeps nothing but its tokens"),
        ({"peft": "a.json"}, "peft is 'a.json'; it is read where a study file names it"),
        ({"peft": {"r": 8}}, "peft_type"),
        ({"lor": {}}, "unknown tuning 'lor'; did you mean 'lora'"),
        ({"name": "lora-9", "lora": {"rank": 8}}, "tuning lora-8 is called 'lora-9', as one of kind lora is"),
    ],
)
def test_what_is_wrong_is_said(value: Any, says: str) -> None:
    with pytest.raises((ValueError, ValidationError), match=says):
        read(value)


def study(**keys: Any) -> StudySpec:
    return StudySpec.model_validate({"name": "s", "task": "t", "prompts": ["p"], **keys})


def test_a_search_draws_options_for_the_cells_that_have_them() -> None:
    made = study(
        tuning=["head", "lora", "dora"],
        search={"space": {"tuning": {"lora": {"rank": [4, 16]}}, "tuning.lora.alpha": {"low": 4, "high": 64}}},
    )
    head, lora, dora = made.tuning
    names = [SearchSpace.of(made, tuning).names for tuning in (head, lora, dora)]
    assert names == [("learning_rate",), ("learning_rate", "tuning.lora.rank", "tuning.lora.alpha"), ("learning_rate",)]
    drawn = tuned(lora, {"learning_rate": 1e-3, "tuning.lora.rank": 16, "tuning.lora.alpha": 5.0})
    assert drawn.name == "lora-16-alpha-5"
    assert tuned(head, {"learning_rate": 1e-3}) is head


@pytest.mark.parametrize(
    ("tuning", "space", "tokens"),
    [
        (["head", "lora"], {}, 0),
        (["head"], {"training.loss": ["cross_entropy", "focal"], "training.clip": [1.0, None]}, 0),
        (["head", "prefix_tuning", {"prompt_tuning": {"tokens": 7}}], {}, 20),
        (["prompt_tuning"], {"tuning.prompt_tuning.tokens": [5, 40]}, 40),
        (["prompt_tuning"], {"tuning.prompt_tuning.tokens": {"low": 2, "high": 12}}, 12),
        ([{"peft": {"peft_type": "P_TUNING", "num_virtual_tokens": 9}}], {}, 9),
    ],
)
def test_the_most_virtual_tokens_of_any_run(tuning: Any, space: Any, tokens: int) -> None:
    assert virtual_tokens(study(tuning=tuning, search={"space": space} if space else {})) == tokens


@pytest.mark.parametrize(
    ("tuning", "space", "says"),
    [
        (
            ["head"],
            {"tuning.lora.rank": [4, 8]},
            "search.space names tuning.lora.rank, but no tuning is lora; add {lora: {rank: 8}}",
        ),
        ([{"lora": {"rank": 4}}], {"tuning.lora.rank": [4, 8]}, "tuning.lora.rank, which tuning lora-4 says itself"),
        (["lora"], {"tuning.lora.rnk": [4, 8]}, "unknown name 'tuning.lora.rnk'; did you mean 'rank'"),
        (["lora"], {"tuning.lora.alfa": [4, 8]}, "unknown name 'tuning.lora.alfa'; did you mean 'alpha'"),
        (["lora"], {"tuning.lora.r": [4, 8]}, "unknown name 'tuning.lora.r'; here it is 'rank'"),
        (["prompt_tuning"], {"tuning.prompt_tuning.init": ["random"]}, "what can of prompt_tuning is tokens"),
        (["lora"], {"tuning.lora.rank": [4.5]}, "tuning.lora.rank"),
        (["lora"], {"tuning.lora.targets": [["q"]]}, "tuning.lora.targets"),
    ],
)
def test_a_search_over_what_is_not_there_is_refused(places: Places, tuning: Any, space: Any, says: str) -> None:
    place = places()
    told = place.command(
        "check",
        "study.yaml",
        "--set",
        f"tuning={json.dumps(tuning)}",
        "--set",
        f"search.space={json.dumps(space)}",
        "--set",
        "search.learning_rate=null",
    )
    assert told.status == 2
    assert says in " ".join(told.err.split()), told.err


def with_peft(place: Place, named: str) -> Any:
    place.edit("tuning: [none, head, {last_blocks: 1}]", f"tuning: [head, {{peft: {named}}}]")
    return place.command("check", "study.yaml")


def test_a_file_of_peft_is_read_beside_the_study(places: Places) -> None:
    place = places()
    (place.folder / "mine").mkdir()
    config = {
        "peft_type": "LOHA",
        "r": 4,
        "target_modules": ["c_fc"],
        "base_model_name_or_path": "gpt2",
        "task_type": None,
    }
    (place.folder / "mine" / "adapter_config.json").write_text(json.dumps(config))
    told = with_peft(place, "mine")
    assert told.status == 0, told.err
    found = read_study(place.study)
    assert found.study.tuning[1].settings.model_dump() == {"peft_type": "LOHA", "r": 4, "target_modules": ["c_fc"]}
    assert found.study.tuning[1].name.startswith("peft-loha-")
    assert "target_modules" in found.text, "what is stored of the study says all"


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "there is no file"), ("{", "cannot be read as PEFT's configuration"), ('{"r": 8}', "it has no peft_type")],
)
def test_a_file_that_is_none_of_peft_is_named(places: Places, content: str | None, says: str) -> None:
    place = places()
    if content is not None:
        (place.folder / "mine.json").write_text(content)
    told = with_peft(place, "mine.json")
    assert told.status == 2
    assert says in " ".join(told.err.split())
    assert "study.yaml:" in told.err


@pytest.mark.parametrize("tokens", [60, 200])
def test_what_virtual_tokens_leave_of_a_context_is_told_as_that(places: Places, tokens: int) -> None:
    option = ["--set", f"tuning=[{{prompt_tuning: {{tokens: {tokens}}}}}]", "--set", "training.max_target_tokens=100"]
    told = places().command("check", "study.yaml", *option)
    assert told.status == 2
    left = f"context of {max(0, 128 - tokens)} (128 without the {tokens} virtual tokens of a tuning"
    assert left in " ".join(told.err.split()), told.err


def test_what_is_left_is_a_number_in_copies_too() -> None:
    left = context_beside(128, 60)
    assert left == 68
    assert json.dumps(left) == "68"
    assert f"{copy.deepcopy(left)}" == f"{pickle.loads(pickle.dumps(left))}" == f"{left}"
    assert context_beside(128, 0) == 128
    assert context_beside(None, 60) is None


def test_a_base_of_another_kind_replaces_that_of_the_extended_file(places: Places) -> None:
    place = places()
    place.edit(
        "final: {seeds: [11, 12]}", "final: {seeds: [11, 12], baseline: {prompt: cue, tuning: {last_blocks: 1}}}"
    )
    own = place.folder / "own.yaml"
    own.write_text(
        "extends: study.yaml\ntuning: [head, {lora: {rank: 2}}]\nfinal: {baseline: {tuning: {lora: {rank: 2}}}}\n"
    )
    baseline = read_study(own).study.final.baseline
    assert baseline is not None
    assert baseline.levels == {"prompt": "cue", "tuning": "lora-2"}


@pytest.mark.parametrize(
    ("method", "as_kind"),
    [("PROMPT_TUNING", "prompt_tuning"), ("IA3", "ia3"), ("P_TUNING", "p_tuning"), ("LORA", "lora"), ("LOHA", "peft")],
)
def test_a_method_of_peft_searches_the_rates_of_the_kind_that_has_it(method: str, as_kind: str) -> None:
    rate = SearchSpace.of(study(tuning=["head"]), read({"peft": {"peft_type": method}})).find("learning_rate")
    assert rate is not None
    assert (rate.low, rate.high) == TUNING_KINDS[as_kind].rates


@pytest.mark.parametrize(("trials", "sampler", "is_told"), [(2, "gp", True), (3, "gp", False), (2, "random", False)])
def test_too_few_trials_to_see_a_range_are_told(places: Places, trials: int, sampler: str, is_told: bool) -> None:
    options = ("--set", f"search.trials={trials}", "--set", f"search.sampler={sampler}")
    told = places().command("check", "study.yaml", *options)
    assert told.status == 0
    assert ("some of the learning rates are never tried" in " ".join(told.out.split())) is is_told
