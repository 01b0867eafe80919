"""How predictions are made: contradictions, what of a checkpoint's own settings holds, and where each comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationConfig

from harness.core.errors import ModelError, StudyError
from harness.study.checkpoint_generation import GENERATION_TOKENS, ROLES, SHAPES, refuse_malformed, unused
from harness.study.decoding_origins import Setting, decoding_settings
from harness.study.decoding_settings import Decoding
from harness.study.generation_keys import Generation
from harness.study.load_study import read_study
from harness.study.model_config import Description
from harness.study.settings import decoding_of
from harness.study.spec import StudySpec
from harness.study.task import load_task
from tests.support.study_fixture import Place, Places

STUDY = {"name": "a", "task": "summarization", "prompts": ["bare"], "tuning": ["full"]}


def read(tmp_path: Path, generation: dict[str, Any]) -> StudySpec:
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps({**STUDY, "generation": generation}))
    return read_study(file).study


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"temperature": 0.7}, "generation.temperature is 0.7; nothing is drawn: set generation.sample: true, or"),
        ({"top_p": 0.9, "num_beams": 2}, "generation.top_p is 0.9; nothing is drawn"),
        ({"seed": 3}, "generation.seed is 3; nothing is drawn"),
        ({"sample": True, "num_beams": 4}, "generation.num_beams is 4; generation.sample is true, and beams are"),
        ({"length_penalty": 2.0}, "generation.length_penalty is 2.0; only beams are weighed by their length"),
        ({"no_repeat_ngram_size": 1}, "generation.no_repeat_ngram_size is 1; no token could be said twice"),
        ({"sample": True, "top_p": 0}, "generation.top_p is 0; it must be greater than 0"),
        ({"sample": True, "top_p": 1.2}, "generation.top_p is 1.2; it must be less than or equal to 1"),
        ({"sample": True, "temperature": 0}, "generation.temperature is 0; it must be greater than or equal to 0.01"),
        ({"repetition_penalty": 0}, "generation.repetition_penalty is 0; it must be greater than or equal to 0.01"),
        ({"sample": "often"}, "generation.sample is 'often'; it must be true or false"),
        ({"do_sample": True}, "unknown key 'do_sample' in generation; here it is 'generation.sample'"),
        ({"top_k": 5}, "unknown key 'top_k' in generation; here it is 'generation.top_p'"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_one_message_each(
    tmp_path: Path, generation: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError) as caught:
        read(tmp_path, generation)
    (problem,) = caught.value.problems
    assert problem.message.startswith(message)


def test_what_is_written_is_what_decodes(tmp_path: Path) -> None:
    task, _ = load_task("summarization")
    plain = decoding_of(read(tmp_path, {}), task, is_encoder_decoder=True)
    assert plain == Decoding(task.max_target_tokens)
    written = {"max_new_tokens": 9, "min_new_tokens": 2, "repetition_penalty": 1.5, "no_repeat_ngram_size": 3}
    written |= {"sample": True, "temperature": 0.5, "top_p": 0.5, "seed": 7, "stop": ("x",), "batch_size": 3}
    assert decoding_of(read(tmp_path, written), task, is_encoder_decoder=True) == Decoding(**written)
    beams = {"num_beams": 2, "length_penalty": -1.0, "max_new_tokens": 4}
    assert decoding_of(read(tmp_path, beams), task, is_encoder_decoder=True) == Decoding(**beams)


def test_every_setting_of_decoding_is_a_key_and_each_key_a_setting() -> None:
    assert set(Generation.keys()) == set(Decoding._fields)
    assert {role.key for role in ROLES.values()} - {""} <= set(Generation.keys())


def test_every_setting_that_transformers_knows_has_a_role() -> None:
    known = {name for name in GenerationConfig().to_dict() if not name.startswith("_")}
    assert known - ROLES.keys() == set()
    assert set(GENERATION_TOKENS) | {"eos_token_id"} == {name for name, role in ROLES.items() if role.kind == "honored"}


@pytest.mark.parametrize("name", [name for name, role in ROLES.items() if role.kind == "set aside"])
def test_what_is_set_aside_is_told(name: str) -> None:
    """But not its neutral value."""
    drawn = Decoding(4, sample=True)
    beams = Decoding(4, num_beams=2)
    assert {name: 7} in (unused({name: 7}, drawn), unused({name: 7}, beams))
    assert not unused({name: ROLES[name].neutral}, drawn)
    assert not unused({name: None}, beams)


def test_what_the_study_asks_for_itself_is_not_told_as_unused() -> None:
    own = {"num_beams": 4, "length_penalty": 2.0, "do_sample": False, "max_length": 20, "use_cache": True}
    assert unused(own, Decoding(4)) == {"num_beams": 4, "length_penalty": 2.0}
    assert unused(own, Decoding(4, num_beams=4)) == {"length_penalty": 2.0}
    assert unused(own, Decoding(4, num_beams=4, length_penalty=2.0)) == {}
    sampled = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20}
    assert unused(sampled, Decoding(4)) == {"do_sample": True}
    drawn = Decoding(4, sample=True, temperature=0.6)
    assert unused(sampled, drawn) == {"top_p": 0.95, "top_k": 20}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bad_words_ids", [5]),
        ("bad_words_ids", [[]]),
        ("bad_words_ids", [[99]]),
        ("suppress_tokens", "5"),
        ("suppress_tokens", [True]),
        ("begin_suppress_tokens", 5),
        ("forced_bos_token_id", "en"),
        ("forced_bos_token_id", 50),
        ("decoder_start_token_id", 50),
        ("sequence_bias", {"5": 1.0}),
        ("sequence_bias", [[[60], 1.0]]),
        ("eos_token_id", "</s>"),
    ],
)
def test_settings_that_cannot_hold_are_refused(name: str, value: Any) -> None:
    description = Description("X", True, 2, None, None, (50, 50), {name: value})
    with pytest.raises(ModelError, match=rf"model m: its generation settings say {name} .*; correct|{name} with token"):
        refuse_malformed("m", description)


def test_more_settings_than_any_model_has_are_refused() -> None:
    many = {f"k{number}": number for number in range(1000)}
    refuse_malformed("m", Description("X", True, 2, None, None, (50, 50), many))
    with pytest.raises(ModelError, match=r"model m: it has 1,001 generation settings, and no model has more"):
        refuse_malformed("m", Description("X", True, 2, None, None, (50, 50), {**many, "k": 1}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bad_words_ids", [[5], [6, 7]]),
        ("suppress_tokens", []),
        ("begin_suppress_tokens", [5]),
        ("forced_bos_token_id", 49),
        ("sequence_bias", [[[5], -1.5]]),
        ("eos_token_id", [1, 2]),
    ],
)
def test_settings_that_hold_are_taken(name: str, value: Any) -> None:
    """As transformers itself takes them."""
    assert name in SHAPES
    refuse_malformed("m", Description("X", True, 2, None, None, (50, 50), {name: value}))
    GenerationConfig(**{name: value})


def test_where_each_setting_comes_from(tmp_path: Path) -> None:
    task, _ = load_task("summarization")
    own = {"num_beams": 4, "suppress_tokens": [5], "top_k": 20, "watermarking_config": {"a": 1}, "do_sample": True}
    own |= {"eos_token_id": 2, "max_length": 20, "their_own": 3, "use_cache": True}
    description = Description("X", False, 2, None, None, (50, 50), own)
    study = read(tmp_path, {"sample": True, "temperature": 0.5, "repetition_penalty": 1.0})
    found = {setting.name: setting for setting in decoding_settings(study, task, description)}
    assert found["max_new_tokens"] == Setting("max_new_tokens", task.max_target_tokens, "task")
    assert found["num_beams"] == Setting("num_beams", 1, "default", 4)
    assert found["sample"] == Setting("sample", True, "study")
    assert found["temperature"] == Setting("temperature", 0.5, "study")
    assert found["repetition_penalty"] == Setting("repetition_penalty", 1.0, "study")
    assert found["top_p"] == Setting("top_p", 1.0, "default")
    assert found["suppress_tokens"] == Setting("suppress_tokens", [5], "checkpoint")
    assert found["eos_token_id"] == Setting("eos_token_id", 2, "checkpoint")
    assert found["top_k"] == Setting("top_k", None, "default", 20)
    assert found["watermarking_config"] == Setting("watermarking_config", None, "default", {"a": 1})
    assert found["their_own"] == Setting("their_own", None, "default", 3)
    assert "use_cache" not in found
    assert "max_length" not in found


def settings_of(place: Place, **changes: object) -> None:
    file = place.folder / "model" / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_check_refuses_and_show_tells(places: Places) -> None:
    place = places("gpt2", store=False)
    done = place.command("check", "study.yaml", "generation.min_new_tokens=7")
    assert done.status == 2
    assert "generation.min_new_tokens is 7; a prediction has at most 6 tokens: lower it" in " ".join(done.err.split())
    settings_of(place, repetition_penalty=1.3, suppress_tokens=[5], top_k=9)
    shown = place.command("show", "study.yaml", "generation.no_repeat_ngram_size=3")
    lines = [re.sub("[│┃]", " ", line).split() for line in shown.out.splitlines()]
    assert ["no_repeat_ngram_size", "3", "study"] in lines
    assert ["repetition_penalty", "1.0", "default", "1.3"] in lines
    assert ["suppress_tokens", "[5]", "checkpoint"] in lines
    assert ["stop", '["\\n"]', "task"] in lines
    found = json.loads(place.command("show", "study.yaml", "--json").out)["generation"]
    assert {"setting": "repetition_penalty", "value": 1.0, "source": "default", "checkpoint": 1.3} in found
    settings_of(place, suppress_tokens=["x"])
    refused = place.command("check", "study.yaml")
    assert refused.status == 2
    assert "its generation settings say suppress_tokens ['x']; it must be a list of ids" in " ".join(
        refused.err.split()
    )
