"""A dozen odd families on the whole way from check to predict: as plain transformers has them, or refused before."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.families.family_walk import walk
from benchmarks.families.random_family import Family, families
from tests.support.first_of_kind import first_of_kind

ODD = (
    "BertLMHeadModel: as published",  # sees ahead
    "BigBirdPegasusForConditionalGeneration",  # gives up its sparse attention for good after a short row
    "Ernie4_5_MoeForCausalLM",  # constants inside its blocks
    "Gemma3nForCausalLM",  # four streams in the first axis, where rows are elsewhere
    "JambaForCausalLM",  # states in place of keys and values
    "LEDForConditionalGeneration: short decoder",  # fewer positions for targets than for prompts
    "M2M100ForConditionalGeneration",  # makes no decoder input of labels
    "MBartForConditionalGeneration: begins with a language",
    "Phi3ForCausalLM: long rope",  # other positions for long rows, padding included
    "RwkvForCausalLM",  # reads padding
    "SwitchTransformersForConditionalGeneration",  # routes tokens
    "VoxtralRealtimeForConditionalGeneration",  # cannot be called on a text
    "ZambaForCausalLM",  # blocks that share their weights
)
BY_NAME = {family.name: family for family in families()}


@pytest.mark.parametrize("family", first_of_kind([BY_NAME[name] for name in ODD]), ids=lambda family: family.model_type)
def test_an_odd_family_is_right_or_refused(family: Family, tmp_path: Path) -> None:
    outcome = walk(family, tmp_path, tunings=("head", {"last_blocks": 1}), replays=(True,))
    assert outcome.ended in ("equal", "refused"), (outcome.stage, outcome.sentence, outcome.faults)
    assert outcome.ended == "equal" or outcome.sentence
