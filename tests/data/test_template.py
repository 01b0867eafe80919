"""The truncation contract: only the one field is ever cut, the prompt fits, and the right end stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.core.errors import TemplateError
from harness.core.example import Example
from harness.data.shortening import REACH, Fitted, Keep, fitted
from harness.data.template import Template

WORDS = st.lists(st.text("abcxyzäß", min_size=1, max_size=8), max_size=30).map(" ".join)
ANY_TEXT = st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"]), max_size=60)
TEXT = "Do as {{ other }} says.\n<{{ source }}>\nNow:"


def words(text: str) -> int:
    return len(text.split())


def characters(text: str) -> int:
    return len(text)


def fit(template: Template, fields: dict[str, str], *, limit: int, count: Callable[[str], int]) -> Fitted:
    return fitted(template, Example("1", fields, "-"), limit=limit, write=template.render, count=count)


def parts(text: str, other: str) -> str:
    """Return the shortened field of a rendered prompt, having checked all that stands around it."""
    head, tail = f"Do as {other} says.\n<", ">\nNow:"
    assert text.startswith(head)
    assert text.endswith(tail)
    return text[len(head) : -len(tail)]


@given(source=ANY_TEXT, other=ANY_TEXT, limit=st.integers(0, 150), keep=st.sampled_from(["start", "end"]))
def test_only_the_named_field_is_cut_and_the_prompt_fits(source: str, other: str, limit: int, keep: str) -> None:
    template = Template("t", TEXT, shorten="source", keep=keep)
    fields = {"source": source, "other": other}
    smallest = characters(template.render({**fields, "source": ""}))
    if smallest > limit and characters(template.render(fields)) > limit:
        with pytest.raises(TemplateError, match=f"over the limit of {limit}"):
            fit(template, fields, limit=limit, count=characters)
        return
    rendered = fit(template, fields, limit=limit, count=characters)
    assert characters(rendered.text) <= limit
    piece = parts(rendered.text, other)
    assert rendered.truncated == (piece != source)
    assert source.startswith(piece) if keep == "start" else source.endswith(piece)
    if not rendered.truncated:
        assert rendered.text == template.render(fields)


@example(source="a a a a", limit=5, keep="start")
@example(source="a a a a", limit=5, keep="end")
@given(source=WORDS, limit=st.integers(5, 40), keep=st.sampled_from(["start", "end"]))
def test_as_many_whole_words_as_fit_stay_at_the_end_that_is_kept(source: str, limit: int, keep: str) -> None:
    template = Template("t", TEXT.replace("<", "< ").replace(">", " >"), shorten="source", keep=keep)
    rendered = fit(template, {"source": source, "other": "it"}, limit=limit + 5, count=words)
    kept = rendered.text.split("<")[1].split(">")[0].split()
    room, all_words = limit + 5 - 7, source.split()
    if len(all_words) <= room:
        assert (kept, rendered.truncated) == (all_words, False)
    elif room > 0:
        assert kept == (all_words[:room] if keep == "start" else all_words[-room:])
        assert rendered.truncated


def test_a_word_longer_than_the_room_is_cut_inside() -> None:
    for keep, expected in (("start", "abc"), ("end", "hij")):
        rendered = fit(
            Template("t", "{{ source }}", "source", keep), {"source": "abcdefghij"}, limit=3, count=characters
        )
        assert rendered.text == expected


def test_a_prompt_that_may_not_be_shortened_must_fit() -> None:
    template = Template("t", "Read this: {{ source }}")
    with pytest.raises(TemplateError, match="names no field to shorten, over the limit of 3"):
        fit(template, {"source": "one two three"}, limit=3, count=words)
    assert fit(template, {"source": "one"}, limit=3, count=words)[1:3] == ("Read this: one", False)


def test_a_field_is_text_and_never_a_template() -> None:
    rendered = Template("t", "{{ source }}").render({"source": "{{ other }} {% if %}"})
    assert rendered == "{{ other }} {% if %}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (Template("t", "{{ sorce }}"), "field 'sorce' is undefined in its text; did you mean 'source'"),
        (Template("t", "{{ source }}", shorten="context"), "shorten names 'context', which its text does not use"),
        (Template("t", "{{ source "), "on line 1"),
        (
            Template("t", "{{ Preis (€) }}"),
            "on line 1 of its text; .* called otherwise one by data.columns",
        ),
        (Template("t", "{{ unit price }}"), "on line 1 of its text; .* called otherwise one by data.columns"),
    ],
)
def test_what_a_template_may_not_be(template: Template, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        template.validate({"source": "x", "context": "y"})


def test_the_sandbox_holds() -> None:
    with pytest.raises(TemplateError):
        Template("t", "{{ source.__class__.__mro__ }}").render({"source": "x"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ source | xmlattr }}", "AttributeError: 'str' object has no attribute 'items'"),
        ("{{ '{a}'.format() }}{{ source }}", "KeyError: 'a'"),
        ("{{ source.index('z') }}", "ValueError: substring not found"),
        ("{{ 1 // (source | length - 1) }}", "ZeroDivisionError"),
    ],
)
def test_whatever_a_template_raises_is_told(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        Template("t", text).render({"source": "x"})


@pytest.mark.parametrize("keep", ["start", "end"])
@pytest.mark.parametrize("limit", [0, 1, 30, 40_000, 99_999, 100_000, 100_001])
def test_a_long_field_is_never_counted_far_beyond_what_fits(keep: Keep, limit: int) -> None:
    """Counting takes hundreds of bytes for each character."""
    words, counted = [f"w{number}" for number in range(100_000)], []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text.split())

    template = Template("long", "{{ source }}", shorten="source", keep=keep)
    rendered = fit(template, {"source": " ".join(words)}, limit=limit, count=count)
    fitting = words[:limit] if keep == "start" else words[max(0, len(words) - limit) :]
    assert rendered.text == " ".join(fitting)
    assert rendered.truncated == (limit < len(words))
    assert max(counted) <= max(REACH, 2 * len(rendered.text) + 16)


def test_what_never_fits_is_told_by_what_it_takes_without_the_field() -> None:
    template = Template("long", "one two {{ source }}", shorten="source")
    with pytest.raises(TemplateError, match="takes 2 tokens even with 'source' empty, over the limit of 1"):
        fit(template, {"source": "three four"}, limit=1, count=lambda text: len(text.split()))
