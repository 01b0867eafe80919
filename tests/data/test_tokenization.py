"""The seam between prompt and target, what is cut or dropped, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, Row, encode
from harness.models.load import Loaded

PROMPTS = (
    "{{ source }}\nSummary:",
    "{{ source }}\nSummary: ",
    "{{ source }}\n\nAnswer\n",
    "{{ source }}",
    "{{ source }}\nTL;DR:\n\n  ",
)
SOURCES = ("The train left early", "Could you send me the report?", "a note: 12 boxes")
TARGETS = (
    "nothing happened today",
    "Yes, it is on its way.",
    "Le train est parti",
    "12 boxes, 3 keys",
    "(no) äöü – 你好",
)
LIMITS = Limits(source=96, target=30)
TOKENIZERS = ("byte-level", "sentencepiece-style")


def examples(sources: Sequence[str] = SOURCES, targets: Sequence[str] = TARGETS) -> list[Example]:
    pairs = [(source, target) for source in sources for target in targets]
    return [Example(str(i), {"source": source}, target) for i, (source, target) in enumerate(pairs)]


def check_seam(loaded: Loaded, template: str) -> list[Row]:
    """Check target ids against the target's text, and their first one against tokenizing the joined text."""
    tokenizer, pairs = loaded.tokenizer, examples()
    encoded = encode(pairs, Template("t", template), loaded, limits=Limits(200, 60))
    for row, text, example in zip(encoded.rows, encoded.texts, pairs, strict=True):
        assert row.target[-1] == tokenizer.eos_token_id
        assert tokenizer.eos_token_id not in row.target[:-1]
        assert tokenizer.decode(row.target, skip_special_tokens=True).strip() == example.target
        joined = tokenizer(text + ("" if text.endswith("\n") else " ") + example.target)["input_ids"]
        assert (*joined, tokenizer.eos_token_id) == row.prompt + row.target
    return encoded.rows


@pytest.mark.parametrize("template", PROMPTS)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_the_seam_is_the_one_of_the_joined_text(
    tiny: Callable[..., Loaded], family: str, tokenizer: str, template: str
) -> None:
    check_seam(tiny(family, tokenizer=tokenizer), template)


@pytest.mark.parametrize("template", PROMPTS)
@pytest.mark.parametrize("name", ["stories260K", "mix-llama-5m"])
def test_the_seam_of_real_tokenizers(pretrained: Callable[[str], Loaded], name: str, template: str) -> None:
    check_seam(pretrained(name), template)


@pytest.mark.parametrize("family", ["llama", "opt", "gpt2"])
def test_spaces_at_the_end_of_a_prompt_change_nothing(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = tiny(family)
    plain, spaced = (encode(examples(), Template("t", text), loaded, limits=LIMITS) for text in PROMPTS[:2])
    assert plain.rows == spaced.rows
    assert plain.texts == spaced.texts


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@settings(max_examples=60, deadline=None)
@given(target=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_any_target_survives(tiny: Callable[..., Loaded], tokenizer: str, target: str) -> None:
    loaded = tiny("llama", tokenizer=tokenizer)
    for template in ("x:", "x\n"):
        (row,) = encode([Example("a", {}, target)], Template("t", template), loaded, limits=Limits(60, 120, 0)).rows
        kept = loaded.tokenizer.decode(row.target[:-1]).strip()
        assert kept == target.strip()


@pytest.mark.parametrize("family", ["t5", "bart", "marian"])
def test_an_encoder_decoder_gets_two_tokenized_halves(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = tiny(family)
    encoded = encode(examples(), Template("t", PROMPTS[1]), loaded, limits=LIMITS)
    for row, text, example in zip(encoded.rows, encoded.texts, examples(), strict=True):
        assert list(row.prompt) == loaded.tokenizer(text)["input_ids"]
        assert list(row.target) == loaded.tokenizer(text_target=example.target)["input_ids"]
        assert row.target.count(loaded.tokenizer.eos_token_id) == 1


def test_a_tokenizer_that_ends_every_text_does_not_end_the_prompt(tiny: Callable[..., Loaded]) -> None:
    ending = tiny("t5")._replace(is_encoder_decoder=False)
    for row in encode(examples(), Template("t", PROMPTS[0]), ending, limits=LIMITS).rows:
        assert (row.prompt + row.target).count(ending.tokenizer.eos_token_id) == 1


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 150), st.integers(1, 40)), min_size=1, max_size=6),
    limits=st.builds(Limits, st.integers(12, 150), st.integers(1, 50), st.integers(0, 60)),
    training=st.booleans(),
)
def test_rows_fit_the_limits_and_the_context(
    tiny: Callable[..., Loaded], sizes: list[tuple[int, int]], limits: Limits, training: bool
) -> None:
    loaded = tiny("gpt2")
    pairs = [Example(str(i), {"source": "note " * s}, "key " * t) for i, (s, t) in enumerate(sizes)]
    template = Template("t", "Go: {{ source }}.", shorten="source")
    lengths = {e.id: len(loaded.tokenizer(" " + e.target.strip())["input_ids"]) for e in pairs}
    long = {id for id, length in lengths.items() if length > limits.target}
    if training and len(long) == len(pairs):
        with pytest.raises(DataError, match=f"each of the {len(pairs)} training targets takes more than"):
            encode(pairs, template, loaded, limits=limits, drop_long_targets=True)
        return
    encoded = encode(pairs, template, loaded, limits=limits, drop_long_targets=training)
    assert encoded.dropped == (len(long) if training else 0)
    assert [row.id for row in encoded.rows] == [e.id for e in pairs if not (training and e.id in long)]
    assert encoded.truncation_rate == sum(row.truncated for row in encoded.rows) / len(encoded.rows)
    assert loaded.context == 128
    for row, text in zip(encoded.rows, encoded.texts, strict=True):
        assert len(row.prompt) <= limits.source
        assert len(row.prompt) + max(limits.generated, len(row.target)) <= 128
        assert len(row.target) == min(lengths[row.id] + 1, 128 - len(row.prompt))
        assert text.startswith("Go: ")
        assert text.endswith(".")
        if training:
            assert row.target[-1] == loaded.tokenizer.eos_token_id


def test_what_cannot_fit_is_refused_by_name(tiny: Callable[..., Loaded]) -> None:
    loaded, template = tiny("gpt2"), Template("t", "{{ source }}", shorten="source")
    long, short = Example("long", {"source": "a"}, "key " * 300), Example("short", {"source": "a"}, "key")
    with pytest.raises(DataError, match=r"example 'long': its target takes \d+ tokens .* context of 128"):
        encode([short, long], template, loaded, limits=LIMITS)
    assert encode([short, long], template, loaded, limits=LIMITS, drop_long_targets=True).dropped == 1
    with pytest.raises(DataError, match="cannot fit the model's context of 128; lower training.max_target_tokens"):
        encode([short], template, loaded, limits=Limits(60, 127))
    with pytest.raises(DataError, match="example 'short': prompt 't' takes .* over the limit of 8"):
        encode([short], Template("t", "please " * 20), loaded, limits=Limits(8, 20))
    with pytest.raises(DataError, match="example 'short': prompt 't' renders to ''; it must not be empty"):
        encode([short], Template("t", "  "), loaded, limits=LIMITS)


def test_nothing_is_cut_where_the_context_has_no_limit(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("bloom")
    assert loaded.context is None
    (row,) = encode(
        [Example("a", {"source": "a"}, "key " * 300)], Template("t", "{{ source }}"), loaded, limits=LIMITS
    ).rows
    assert len(row.target) > 300
