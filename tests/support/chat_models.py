"""Tiny models with a chat template: the layouts of markers of six families, in Jinja2 text of our own.

A layout is what stands where between the turns; the published templates say it in other words, and say more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.testing import tiny_model

__all__ = ["LAYOUTS", "Layout", "chat_model", "with_template"]

SMOLLM = """\
{%- if messages[0].role != 'system' -%}
<|im_start|>system
You are a small helper.<|im_end|>
{{ '' }}
{%- endif -%}
{%- for turn in messages -%}
{{ '<|im_start|>' ~ turn.role ~ '\\n' ~ turn.content ~ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""

LLAMA = """\
{%- macro turn(role, content) -%}
{{ '<|start_header_id|>' ~ role ~ '<|end_header_id|>\\n\\n' ~ content ~ '<|eot_id|>' }}
{%- endmacro -%}
{%- if date_string is not defined -%}
    {%- if strftime_now is defined -%}{%- set date_string = strftime_now('%d %b %Y') -%}
    {%- else -%}{%- set date_string = '01 Jan 2000' -%}{%- endif -%}
{%- endif -%}
{%- set said = namespace(system='') -%}
{{ bos_token }}
{%- for message in messages if message.role == 'system' -%}
    {%- set said.system = message.content | trim -%}
{%- endfor -%}
{{ turn('system', 'Today Date: ' ~ date_string ~ '\\n\\n' ~ said.system) }}
{%- for message in messages if message.role != 'system' -%}
{{ turn(message.role, message.content | trim) }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif -%}
"""

QWEN = """\
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {%- set thoughts, answer = '', message.content -%}
        {%- if '</think>' in answer -%}
            {%- set thoughts = answer.split('</think>')[0].split('<think>')[-1].strip('\\n') -%}
            {%- set answer = answer.split('</think>')[-1].lstrip('\\n') -%}
        {%- endif -%}
        {{ '<|im_start|>assistant\\n' }}
        {%- if loop.last or thoughts -%}{{ '<think>\\n' ~ thoughts ~ '\\n</think>\\n\\n' }}{%- endif -%}
        {{ answer ~ '<|im_end|>\\n' }}
    {%- else -%}
        {{ '<|im_start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|im_end|>\\n' }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and not enable_thinking -%}{{ '<think>\\n\\n</think>\\n\\n' }}{%- endif -%}
{%- endif -%}
"""

GEMMA = """\
{{ bos_token }}
{%- set rest = messages -%}
{%- set before = '' -%}
{%- if messages[0].role == 'system' -%}
    {%- set before = messages[0].content ~ '\\n\\n' -%}
    {%- set rest = messages[1:] -%}
{%- endif -%}
{%- for turn in rest -%}
    {%- if (turn.role == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('user and assistant must take turns') }}
    {%- endif -%}
    {{ '<start_of_turn>' ~ ('model' if turn.role == 'assistant' else turn.role) ~ '\\n' }}
    {{- (before if loop.first else '') ~ turn.content | trim ~ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
"""

MISTRAL = """\
{%- set system = namespace(said='') -%}
{%- for turn in messages if turn.role == 'system' -%}{%- set system.said = turn.content ~ '\\n\\n' -%}{%- endfor -%}
{{ bos_token }}
{%- for turn in messages if turn.role != 'system' -%}
    {%- if turn.role == 'user' -%}
        {{ '[INST] ' ~ (system.said if loop.revindex <= 2 else '') ~ turn.content ~ '[/INST]' }}
    {%- elif turn.role == 'assistant' -%}
        {%- generation -%}{{ ' ' ~ turn.content ~ eos_token }}{%- endgeneration -%}
    {%- else -%}
        {{ raise_exception('a turn is of the user or of the assistant, not of the ' ~ turn.role) }}
    {%- endif -%}
{%- endfor -%}
"""

PHI = """\
{%- for turn in messages -%}
    {%- if not turn.content -%}{%- continue -%}{%- endif -%}
    {{ '<|' ~ turn.role ~ '|>\\n' ~ turn.content ~ '<|end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- else -%}{{ eos_token }}{%- endif -%}
"""


class Layout(NamedTuple):
    """How a family's chats are laid out."""

    family: str
    """Of `harness.testing.FAMILIES`."""
    template: str
    special: tuple[str, ...]
    """Tokens of the markers."""
    end: str
    """That of a turn."""
    eos: str
    """What the tokenizer calls its end token: not always the same."""
    plain: tuple[str, ...] = ()
    """Tokens of markers that predictions show."""
    arguments: dict[str, object] = {}  # noqa: RUF012  # never changed
    tokenizer: Literal["byte-level", "sentencepiece-style"] = "byte-level"


CHATML = ("<|im_start|>", "<|im_end|>")
LAYOUTS = {
    "smollm2": Layout("llama", SMOLLM, CHATML, "<|im_end|>", "<|im_end|>"),
    "llama3": Layout("llama", LLAMA, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "<|eot_id|>", "</s>"),
    "qwen3": Layout(
        "qwen3", QWEN, CHATML, "<|im_end|>", "<|im_end|>", ("<think>", "</think>"), {"enable_thinking": False}
    ),
    "gemma3": Layout(
        "gemma3", GEMMA, ("<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", "</s>", tokenizer="sentencepiece-style"
    ),
    "mistral": Layout("mistral", MISTRAL, ("[INST]", "[/INST]"), "</s>", "</s>", tokenizer="sentencepiece-style"),
    "phi": Layout("phi", PHI, ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"), "<|end|>", "</s>"),
}
"""By the family whose layout it is."""


def chat_model(layout: str, folder: Path) -> Path:
    """Write a tiny model whose tokenizer has a family's markers and chat template; return its folder."""
    made = LAYOUTS[layout]
    tiny_model(made.family, folder, tokenizer=made.tokenizer, max_position_embeddings=512)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"extra_special_tokens": list(made.special), "eos_token": made.eos})
    tokenizer.add_tokens(list(made.plain))
    tokenizer.chat_template = made.template
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.generation_config.eos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def with_template(folder: Path, template: str | None) -> Path:
    """Give a model another chat template, or none; return its folder."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder
