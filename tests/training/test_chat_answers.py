"""Answers to chats: those of plain transformers on the same ids, ended by the token that ends the assistant's turn."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from harness.core.example import Example
from harness.data.chat import Chat
from harness.data.readers import read_rows
from harness.data.tokenization import Limits, encode
from harness.models.load import Loaded, load
from harness.serving.generator import Generator
from harness.study.decoding_settings import Decoding
from harness.training.evaluation import generate, prompts_of
from tests.support.chat_models import LAYOUTS, chat_model
from tests.support.model_folders import folder_of

SHARED = Path(__file__).parents[2].parent / "shared"

SOURCES = ["A short note about the meeting.", "It moved to Tuesday", "the train left early, so the guests came late"]
DECODING = Decoding(12, batch_size=3)


def plainly(loaded: Loaded, chat: Chat, source: str, ends: list[int], tokens: int) -> str:
    """Return what transformers alone answers to a chat without a system's turn."""
    tokenizer, turns = loaded.tokenizer, [{"role": "user", "content": source}]
    arguments = {"date_string": "26 Jul 2024", **chat.template_args}
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", **arguments)
    with torch.no_grad():
        output = loaded.model.generate(
            **inputs, do_sample=False, max_new_tokens=tokens, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id
        )
    return _whole(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def _whole(said: str) -> str:
    """Return what was said without a character that the limit cut."""
    return said.rstrip("\ufffd").strip()


def answers(loaded: Loaded, chat: Chat, sources: list[str], decoding: Decoding, ends: tuple[int, ...]) -> list[str]:
    examples = [Example(str(number), {"source": source}, "-") for number, source in enumerate(sources)]
    rows = encode(examples, chat, loaded, limits=Limits(1000, 20)).rows
    return [_whole(said) for said in generate(loaded, prompts_of(rows, loaded, decoding), decoding, ends=ends)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_zero_shot_answers_are_those_of_plain_transformers(layout: str, tmp_path: Path) -> None:
    loaded = load(str(chat_model(layout, tmp_path)))
    chat = Chat("chat", user="{{ source }}", template_args=LAYOUTS[layout].arguments)
    ends = chat.ends(loaded)
    assert loaded.tokenizer.convert_ids_to_tokens(list(ends)) == [LAYOUTS[layout].end]
    own = [loaded.tokenizer.eos_token_id, *ends]
    plain = [plainly(loaded, chat, source, own, DECODING.max_new_tokens) for source in SOURCES]
    assert answers(loaded, chat, SOURCES, DECODING, ends) == plain
    assert any(plain)


def test_the_end_of_the_turn_ends_an_answer_here_and_in_a_stored_model(tmp_path: Path) -> None:
    """The model is made to end the turn wherever it would have said its third token."""
    loaded = load(str(chat_model("llama3", tmp_path / "model")))
    chat = Chat("chat", user="{{ source }}")
    (end,) = chat.ends(loaded)
    assert end != loaded.tokenizer.eos_token_id
    turns = [{"role": "user", "content": SOURCES[0]}]
    asked = loaded.tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", date_string="26 Jul 2024"
    )
    output = loaded.model.generate(**asked, do_sample=False, max_new_tokens=12, pad_token_id=0)
    said = output[0, asked["input_ids"].shape[1] :].tolist()
    third = next(token for token in said if said.index(token) >= 2)
    _swap(loaded, third, end)
    before = _whole(loaded.tokenizer.decode(said[: said.index(third)]))
    assert answers(loaded, chat, SOURCES[:1], DECODING, (end,)) == [before]
    assert len(answers(loaded, chat, SOURCES[:1], DECODING, ())[0]) > len(before)
    folder = folder_of(loaded, tmp_path / "stored", chat, source=100, ends=(end,))
    assert json.loads((folder / "harness.json").read_text())["ends"] == [end]
    assert Generator(folder)([{"source": SOURCES[0]}]) == [before]


def _swap(loaded: Loaded, one: int, other: int) -> None:
    """Have a model say one token wherever it would say another; what it reads is left as it is."""
    head = loaded.model.get_output_embeddings()
    weight = head.weight.detach().clone()
    weight[[one, other]] = weight[[other, one]]
    head.weight = torch.nn.Parameter(weight)


def test_a_recipe_of_before_there_were_chats_still_loads(tmp_path: Path) -> None:
    loaded = load(str(chat_model("smollm2", tmp_path / "model")))
    folder = folder_of(loaded, tmp_path / "stored", Chat("chat", user="{{ source }}"), ends=(7,))
    settings = json.loads((folder / "harness.json").read_text())
    settings["prompt"] = {"name": "bare", "text": "{{ source }}", "shorten": None, "keep": "start"}
    del settings["ends"]
    (folder / "harness.json").write_text(json.dumps(settings))
    recipe = Generator(folder).recipe
    assert (recipe.ends, recipe.prompt.name) == ((), "bare")
    assert "ends" not in replace(recipe, ends=()).as_json()


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/ is not there")
@pytest.mark.skipif(not find_spec("gguf"), reason="gguf, which reads the published file, is not installed")
def test_a_real_chat_model_answers_as_plain_transformers(tmp_path: Path) -> None:
    maker = SHARED / "models" / "make_smollm2.py"
    subprocess.run([sys.executable, str(maker), str(tmp_path / "smollm2")], check=True)
    loaded = load(str(tmp_path / "smollm2"))
    rows = [row for _, row in zip(range(20), read_rows(_data()), strict=False)]
    sources = [str(row["source"]) for row in rows]
    chat = Chat("chat", user="{{ source }}")
    ends = chat.ends(loaded)
    decoding = Decoding(16, batch_size=1)
    own = [loaded.tokenizer.eos_token_id, *ends]
    plain = [plainly(loaded, chat, source, own, decoding.max_new_tokens) for source in sources]
    assert answers(loaded, chat, sources, decoding, ends) == plain
    assert len(set(plain)) > 10


def _data() -> Path:
    return next(iter(sorted((SHARED / "data" / "scitldr_a").glob("test*"))))
