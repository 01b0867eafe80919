"""Chats: prompt and answer are, token by token, what the model's own chat template writes; the loss is on the answer.

The oracle is transformers' ``apply_chat_template``, on six families' layouts of markers.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from harness.core.errors import DataError, LongPrompt, ModelError, TemplateError
from harness.core.example import Example
from harness.data.chat import Chat, Message
from harness.data.chat_writing import is_dated
from harness.data.prompt_forms import restored
from harness.data.tokenization import Limits, Reader, Row, encode
from harness.models.load import Loaded, load
from harness.study.axes import Prompt
from harness.study.model_config import describe
from harness.study.tokenizer_without_model import light_reader
from harness.training.batching import loss_batches
from tests.support.chat_models import LAYOUTS, chat_model, with_template

EXAMPLE = Example("1", {"source": "A short note.", "other": "it"}, "It moved.")
DAY = {"date_string": "26 Jul 2024"}
"""Transformers would write today's date."""

NO_LIMIT = 100_000

GOLDEN = {
    "smollm2": (
        "<|im_start|> s y s te m Ċ B e Ġ b r i ef . <|im_end|> Ċ <|im_start|> u s er Ċ A Ġshort Ġnote . <|im_end|> Ċ "
        "<|im_start|> as s is t an t Ċ",
        "I t Ġmoved . <|im_end|>",
    ),
    "llama3": (
        "<s> <|start_header_id|> s y s te m <|end_header_id|> Ċ Ċ T o day Ġ D ate : Ġ 2 6 Ġ J u l Ġ 2 0 2 4 Ċ Ċ "
        "B e Ġ b r i ef . <|eot_id|> <|start_header_id|> u s er <|end_header_id|> Ċ Ċ A Ġshort Ġnote . <|eot_id|> "
        "<|start_header_id|> as s is t an t <|end_header_id|> Ċ Ċ",
        "I t Ġmoved . <|eot_id|>",
    ),
    "qwen3": (
        "<|im_start|> s y s te m Ċ B e Ġ b r i ef . <|im_end|> Ċ <|im_start|> u s er Ċ A Ġshort Ġnote . <|im_end|> Ċ "
        "<|im_start|> as s is t an t Ċ <think> Ċ Ċ </think> Ċ Ċ",
        "I t Ġmoved . <|im_end|>",
    ),
    "gemma3": (
        "<s> <start_of_turn> u s er <0x0A> B e ▁ b r i ef . <0x0A> <0x0A> A ▁short ▁note . <end_of_turn> <0x0A> "
        "<start_of_turn> m o d e l <0x0A>",
        "<0x49> t ▁mov e d. <end_of_turn>",
    ),
    "mistral": (
        "<s> [INST] ▁ B e ▁ b r i ef . <0x0A> <0x0A> A ▁short ▁note . [/INST]",
        "▁ <0x49> t ▁mov e d. </s>",
    ),
    "phi": (
        "<|system|> Ċ B e Ġ b r i ef . <|end|> Ċ <|user|> Ċ A Ġshort Ġnote . <|end|> Ċ <|assistant|> Ċ",
        "I t Ġmoved . <|end|>",
    ),
}
"""Of ``Be brief.``, ``A short note.`` and ``It moved.``: the prompt's tokens, and those that are trained."""


class Model(NamedTuple):
    """A layout's tiny model."""

    layout: str
    folder: Path
    loaded: Loaded
    light: Reader

    def chat(self, **keys: Any) -> Chat:
        return Chat("chat", **{"user": "{{ source }}", "template_args": LAYOUTS[self.layout].arguments, **keys})

    def applied(self, turns: list[dict[str, str]], **options: Any) -> list[int]:
        """Return what transformers makes of turns."""
        arguments = {**DAY, **LAYOUTS[self.layout].arguments, **options}
        ids: list[int] = self.loaded.tokenizer.apply_chat_template(turns, **arguments)["input_ids"]
        return ids

    def row(self, chat: Chat, example: Example = EXAMPLE, limit: int = NO_LIMIT) -> Row:
        row, _ = chat.tokenize(example, self.loaded, limit=limit)
        assert chat.tokenize(example, self.light, limit=limit)[0] == row
        return row


@pytest.fixture(scope="module", params=LAYOUTS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = chat_model(request.param, tmp_path_factory.mktemp(request.param))
    return Model(request.param, folder, load(str(folder)), light_reader(describe(str(folder))))


def test_a_chat_is_token_by_token_what_its_layout_says(model: Model) -> None:
    row = model.row(model.chat(system="Be brief."))
    prompt, target = (model.loaded.tokenizer.convert_ids_to_tokens(list(ids)) for ids in (row.prompt, row.target))
    assert (" ".join(prompt), " ".join(target)) == GOLDEN[model.layout]
    (batch,) = loss_batches([row], model.loaded, batch_size=1)
    (ids,), (labels,) = (batch.inputs[name].tolist() for name in ("input_ids", "labels"))
    assert ids[: len(row.prompt) + len(row.target)] == [*row.prompt, *row.target]
    trained = {place: label for place, label in enumerate(labels) if label >= 0}
    assert trained == dict(enumerate(row.target, start=len(row.prompt)))
    assert model.chat().ends(model.loaded) == (row.target[-1],)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=40)


@given(system=TEXT, source=TEXT, answer=TEXT.filter(str.strip), begins=st.none() | TEXT)
def test_whatever_is_said_prompt_and_target_are_the_conversation(
    model: Model, system: str, source: str, answer: str, begins: str | None
) -> None:
    fields = {"system": system, "source": source, "begins": begins}
    beginning = None if begins is None else "{{ begins }}"
    chat = model.chat(system="Be {{ system }}!", user="On {{ source }}?", assistant=beginning)
    row = model.row(chat, Example("1", fields, answer))
    turns = [{"role": "system", "content": f"Be {system}!"}, {"role": "user", "content": f"On {source}?"}]
    asked = model.applied(turns, add_generation_prompt=True)
    begun = (begins or "").lstrip().rstrip(" \t")
    if not begun:
        assert list(row.prompt) == asked
    said = f"{begun}{' ' if begun and not begun.endswith(chr(10)) else ''}{answer.strip()}"
    joined = [*row.prompt, *row.target]
    assert model.applied([*turns, {"role": "assistant", "content": said}])[: len(joined)] == joined
    assert len(row.prompt) >= len(asked)
    assert row.target[-1] == chat.ends(model.loaded)[0]
    assert row.target[-1] not in row.target[:-1]


def test_turns_of_a_whole_conversation_are_written_as_they_are(model: Model) -> None:
    turns = [("user", "A note."), ("assistant", "It moved."), ("user", "{{ source }}")]
    chat = model.chat(user=None, messages=[{"role": role, "content": text} for role, text in turns])
    row = model.row(chat)
    said = [{"role": role, "content": text.replace("{{ source }}", "A short note.")} for role, text in turns]
    assert list(row.prompt) == model.applied(said, add_generation_prompt=True)
    joined = [*row.prompt, *row.target]
    assert model.applied([*said, {"role": "assistant", "content": "It moved."}])[: len(joined)] == joined


@pytest.mark.parametrize("keep", ["start", "end"])
def test_the_field_alone_is_shortened_and_never_what_the_template_writes(model: Model, keep: str) -> None:
    words = [f"w{number}" for number in range(60)]
    chat = model.chat(system="Be brief.", shorten="source", keep=keep)
    example = Example("1", {"source": " ".join(words)}, "It moved.")
    least = len(model.row(chat, replace(example, fields={"source": ""})).prompt)
    for limit in (least, least + 7, least + 40, 400):
        row = model.row(chat, example, limit=limit)
        assert len(row.prompt) <= limit
        text = model.loaded.tokenizer.decode(row.prompt)
        kept = [word for word in words if f"{word} " in text.replace("<", " <").replace("[", " [")]
        assert kept == (words[: len(kept)] if keep == "start" else words[len(words) - len(kept) :])
        whole = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " ".join(kept)}]
        assert list(row.prompt) == model.applied(whole, add_generation_prompt=True)
        assert row.truncated == (len(kept) < len(words))
    with pytest.raises(
        LongPrompt, match=f"takes {least} tokens even with 'source' empty, over the limit of {least - 1}"
    ):
        model.row(chat, example, limit=least - 1)


def test_a_date_is_the_prompts_and_never_todays(model: Model) -> None:
    chat = model.chat()
    dated = model.layout == "llama3"
    assert is_dated(chat, model.loaded) == is_dated(chat, model.light) == dated
    other = replace(chat, date="1999-12-31")
    assert (model.row(chat) == model.row(other)) != dated
    assert ("26 Jul 2024" in chat.reads(EXAMPLE.fields, model.loaded)) == dated
    assert ("31 Dec 1999" in other.reads(EXAMPLE.fields, model.loaded)) == dated


def test_a_chat_is_restored_from_its_fields_and_is_one_however_it_is_written() -> None:
    short = Chat("c", system="S", user="{{ source }}", template_args={"enable_thinking": False}, assistant="So:")
    turns = ({"role": "system", "content": "S"}, {"role": "user", "content": "{{ source }}"})
    long = Chat("c", messages=turns, template_args={"enable_thinking": False}, assistant="So:")  # type: ignore[arg-type]
    assert short == long == restored(asdict(short))
    assert hash(short) == hash(long)
    assert short.turns == (Message("system", "S"), Message("user", "{{ source }}"))
    assert short != replace(short, template_args={}) != replace(short, date="1999-12-31")
    assert short.text == "system:\nS\n\nuser:\n{{ source }}\n\nassistant:\nSo:"
    assert short.render({"source": "x"}) == "system:\nS\n\nuser:\nx\n\nassistant:\nSo:"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"messages": [{"role": "assistant", "content": "x"}]}, "ends with a turn of the assistant, but a model ans"),
        ({"system": "S"}, "takes the turns of rows that are chats, and the rows have none; write what the user says"),
        ({"user": "{{ messages }}", "shorten": "messages"}, "shortens messages, which are turns and no text"),
        ({"messages": [{"role": "usr", "content": "x"}]}, "has a turn of 'usr'; did you mean 'user'"),
        ({"messages": [{"role": "user", "content": "x"}], "user": "y"}, "has messages and user; write all turns in"),
        ({"user": "Answer.\n{{ messages }}"}, "has text around {{ messages }} in a turn of the user, which would show"),
        (
            {"user": "{{ source }}", "date": "today"},
            "Invalid isoformat string: 'today'; date is a day such as 2024-07-26",
        ),
        (
            {"user": "{{ source }}", "template_args": {"tokenize": True}},
            "template_args sets tokenize, which the harness",
        ),
        ({"user": "{{ source }}", "template_args": {"tools": object()}}, "template_args holds plain values"),
        (
            {"user": "{{ source }}", "template_args": {"tools": ["search"]}},
            r"template_args.tools is \['search'\]; it must be a list of mappings",
        ),
        (
            {"user": "{{ source }}", "template_args": {"documents": {"title": "A"}}},
            "template_args.documents is {title: 'A'}; it must be a list of mappings",
        ),
        ({"user": "{{ source }}", "template_args": {"self": 1}}, "template_args sets self, which the harness"),
        ({"user": "{{ sorce }}"}, "field 'sorce' is undefined in its text; did you mean 'source'"),
        ({"user": "{{ source }}", "shorten": "other"}, "shorten names 'other', which its text does not use"),
        ({"user": "{{ source }}", "assistant": "{{ ", "system": ""}, "on line 1 of its text"),
    ],
    ids=[
        "last_turn",
        "no_turns",
        "shortened_turns",
        "role",
        "both",
        "text_around_turns",
        "date",
        "own_argument",
        "object",
        "tools",
        "documents",
        "own_self",
        "field",
        "shorten",
        "jinja",
    ],
)
def test_what_a_chat_may_not_be(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        Chat("chat", **keys).validate(["source", "other"])


@pytest.mark.parametrize(
    ("messages", "shown"),
    [("hi", "'hi'"), ([("user", "hi")], r"\['user', 'hi'\]"), ([{"role": "user"}], "{role: 'user'}"), (5, "5")],
    ids=["text", "pair", "no_content", "number"],
)
def test_what_is_no_turn_is_told(messages: Any, shown: str) -> None:
    with pytest.raises(TemplateError, match=f"prompt 'chat' has the turn {shown}; a turn is {{role: user, content"):
        Chat("chat", messages=messages)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BAD = {
    "no_generation_prompt": (
        CHATML.partition("{% if")[0],
        "it writes '<|im_start|>assistant\\\\n' in front of an answer",
    ),
    "thoughts_in_the_prompt": (
        CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"),
        "the whole conversation does not begin with the prompt: behind 'im_start|>assistant\\\\n' it has 'Yes",
    ),
    "upper_case": (CHATML.replace("m.content", "m.content | upper"), "it writes the answer 'Yes' as 'YES<"),
    "no_end": (CHATML.replace("<|im_end|>\n", "\n"), "behind an answer it ends it with '\\\\n', for which"),
    "nothing_behind": (
        "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>{% endif %}",
        "behind an answer it does not end it, so that no token ends the turn",
    ),
    "end_of_plain_text": (
        CHATML.replace("<|im_end|>", "###"),
        "ends it with '###\\\\n', for which the tokenizer has no",
    ),
    "ids_that_merge": (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}",
        "the tokenizer merges '.*assistant: ' and 'Y",
    ),
    "refusing": ("{{ raise_exception('no system here') }}", "the model's chat template refuses these turns: no system"),
    "broken": ("{% for %}", "refuses these turns: Expected an expression"),
    "drawn": ("{{ messages | random }}", "refuses these turns: No filter named 'random'"),
    "endless": ("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}", "takes the work of"),
    "none": (None, "is a chat, but the model's tokenizer has no chat template; name the model's instruction-tuned"),
}
"""Templates that no chat goes with, and why."""


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model("smollm2", tmp_path_factory.mktemp("chatml"))


@pytest.mark.parametrize("name", BAD)
def test_a_template_that_cannot_be_split_is_refused_with_the_reason(name: str, chatml: Path) -> None:
    template, reason = BAD[name]
    reader = light_reader(describe(str(with_template(chatml, template))))
    with pytest.raises(TemplateError, match=f"prompt 'chat' .*{reason}".replace("|", "[|]")):
        Chat("chat", user="{{ source }}").ends(reader)


def test_a_row_whose_answer_its_template_alters_is_refused(chatml: Path) -> None:
    template = CHATML.replace("m.content", "m.content.replace('never', 'ever')")
    reader = light_reader(describe(str(with_template(chatml, template))))
    rows = [replace(EXAMPLE, id=id, target=target) for id, target in (("1", "It moved."), ("2", "It never moved."))]
    chat, limits = Chat("chat", user="{{ source }}"), Limits(100, 100)
    assert len(encode(rows[:1], chat, reader, limits=limits).rows) == 1
    with pytest.raises(DataError, match="example '2': prompt 'chat' .* it writes the answer's turn 'It never moved"):
        encode(rows, chat, reader, limits=limits)


def test_a_template_of_several_is_the_one_that_transformers_takes(chatml: Path) -> None:
    tool = "{{ tools | tojson }}\n" + CHATML
    folder = with_template(chatml, {"default": CHATML, "tool_use": tool})  # type: ignore[arg-type]
    tokenizer, light = AutoTokenizer.from_pretrained(folder), light_reader(describe(str(folder)))
    tools = [{"type": "function", "function": {"name": "search", "description": "Finds <b>it</b>."}}]
    for arguments in ({}, {"tools": tools}):
        chat = Chat("chat", user="{{ source }}", template_args=arguments)
        asked = [{"role": "user", "content": "A short note."}]
        ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, **arguments)["input_ids"]
        assert list(chat.tokenize(EXAMPLE, light, limit=NO_LIMIT)[0].prompt) == ids


HELD = {"text": CHATML, "mapping": {"default": CHATML}, "list": [{"name": "default", "template": CHATML}]}
"""How a tokenizer's settings may hold its template."""


@pytest.mark.parametrize("held", HELD)
def test_a_template_may_stand_in_the_tokenizers_settings(held: str, chatml: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(with_template(chatml, None), tmp_path / "model")
    shutil.rmtree(folder / "additional_chat_templates", ignore_errors=True)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": HELD[held]}))
    light, loaded = light_reader(describe(str(folder))), load(str(folder))
    chat = Chat("chat", user="{{ source }}")
    assert chat.tokenize(EXAMPLE, light, limit=NO_LIMIT) == chat.tokenize(EXAMPLE, loaded, limit=NO_LIMIT)


def test_a_template_in_another_encoding_is_named(chatml: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(with_template(chatml, CHATML), tmp_path / "model")
    (folder / "chat_template.jinja").write_bytes("é".encode("latin-1"))
    with pytest.raises(ModelError, match=r"chat template .*chat_template\.jinja cannot be read: .*; write it again"):
        light_reader(describe(str(folder)))


def test_thinking_that_is_not_left_out_is_refused_with_what_leaves_it_out(tmp_path: Path) -> None:
    reader = light_reader(describe(str(chat_model("qwen3", tmp_path))))
    hint = "it writes '<think>.*' in front of an answer.*; try template_args: {enable_thinking: false}"
    with pytest.raises(TemplateError, match=hint):
        Chat("chat", user="{{ source }}").ends(reader)


def test_an_encoder_decoder_has_no_chat(tmp_path: Path) -> None:
    from harness.testing import tiny_model

    reader = light_reader(describe(str(with_template(tiny_model("t5", tmp_path), CHATML))))
    with pytest.raises(TemplateError, match="reads prompts with an encoder; write the prompt as text"):
        Chat("chat", user="{{ source }}").ends(reader)


def test_a_begin_token_stands_once_where_the_tokenizer_sets_one_too(model: Model) -> None:
    begin = model.loaded.tokenizer.bos_token_id
    row = model.row(model.chat())
    assert row.prompt.count(begin) == (model.layout in ("llama3", "gemma3", "mistral"))


OWN = [
    {"role": "system", "content": "The row's."},
    {"role": "user", "content": "Hi {{ there }}"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "Where is it?"},
]
"""The turns of a row: whatever they hold is no template."""


@pytest.mark.parametrize("system", [None, "Be brief."], ids=["of_the_row", "of_the_prompt"])
def test_a_chat_takes_the_turns_of_its_row(system: str | None, model: Model) -> None:
    turns = OWN if system is None else [{"role": "system", "content": system}, *OWN[1:]]
    row = model.row(model.chat(user=None, system=system), Example("1", {"messages": OWN}, "It moved."))
    assert list(row.prompt) == model.applied(turns, add_generation_prompt=True)
    joined = [*row.prompt, *row.target]
    assert model.applied([*turns, {"role": "assistant", "content": "It moved."}])[: len(joined)] == joined
    assert row.target[-1] == model.loaded.tokenizer.convert_tokens_to_ids(LAYOUTS[model.layout].end)


def test_a_long_chat_is_no_work_without_end_where_turns_are_counted(chatml: Path) -> None:
    counting = (
        "{%- for turn in messages[::-1] -%}{%- set place = messages | length - 1 - loop.index0 -%}{%- endfor -%}"
        "{%- for turn in messages -%}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n{% endfor -%}"
        "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
    )
    turns = [{"role": ("user", "assistant")[n % 2], "content": "words " * 170} for n in range(301)]
    loaded = load(str(with_template(chatml, counting)))
    text = Chat("own").reads({"messages": turns}, loaded)
    assert text == loaded.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)


@pytest.mark.parametrize("written", ["{{messages}}", "{{ messages }}\n", "{{-  messages -}}"])
def test_the_turns_of_a_row_are_told_by_whatever_spaces(written: str) -> None:
    assert Chat("own", user=written).filled({"messages": OWN}) == OWN


def test_a_row_without_turns_is_refused() -> None:
    with pytest.raises(TemplateError, match="takes the turns of rows that are chats, and the rows have none"):
        Chat("own", system="S").render({"source": "x", "messages": "text"})


@pytest.mark.parametrize(
    "written", [{"system": "S"}, {"assistant": "So:"}, {"template_args": {"a": 1}}, {"user": "{{ messages }}"}], ids=str
)
def test_a_chat_of_rows_is_told_by_any_key_of_a_chat(written: dict[str, Any]) -> None:
    form = Prompt.model_validate({"name": "own", **written}).form()
    assert isinstance(form, Chat)
    assert form.names() == {"messages"}
    assert restored(asdict(form)) == form


def test_demonstrations_of_chats_are_whole_conversations(model: Model) -> None:
    """What holds for the whole conversation, the row's own system turn, stands before them, and theirs nowhere."""
    shown = Example("2", {"messages": [{"role": "system", "content": "Another's."}, *OWN[1:]]}, "It left.")
    row = model.row(model.chat(user=None, shots=1), Example("1", {"messages": OWN}, "It moved.", shots=(shown,)))
    turns = [OWN[0], *OWN[1:], {"role": "assistant", "content": "It left."}, *OWN[1:]]
    assert list(row.prompt) == model.applied(turns, add_generation_prompt=True)
