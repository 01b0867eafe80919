"""Demonstrations: who is picked, who never is, how they are written, and that they never take more than there is."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError, TemplateError
from harness.core.example import Example
from harness.data.chat import Chat, Message
from harness.data.demonstrations import Demonstrations
from harness.data.duplicates import Forms, Worth, is_near
from harness.data.prompt_forms import restored, stored_fields
from harness.data.shortening import Keep, fitted
from harness.data.template import Template
from harness.data.tokenization import Limits, encode
from harness.models.load import load
from tests.support.chat_models import LAYOUTS, chat_model

WORDS = [
    "train",
    "bus",
    "note",
    "room",
    "lamp",
    "snow",
    "tree",
    "ship",
    "week",
    "boat",
    "rain",
    "coat",
    "desk",
    "moon",
    "fish",
]
NEAR = Template("near", "{{ source }}:", shots=3, pick="bm25")


def made(*pairs: tuple[str, str]) -> list[Example]:
    return [Example(str(number), {"source": source}, target) for number, (source, target) in enumerate(pairs)]


def drawn(rng: random.Random, rows: int, longest: int = 12) -> list[Example]:
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(2 * rows)]
    return made(*zip(texts[:rows], texts[rows:], strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_bm25_picks_what_bm25s_ranks_first(seed: int) -> None:
    rng = random.Random(seed)
    train, asked = drawn(rng, 40), drawn(rng, 20)
    index = bm25s.BM25()
    index.index(bm25s.tokenize([row.source for row in train], show_progress=False), show_progress=False)
    shown = Demonstrations(train)
    for example in asked:
        query = bm25s.tokenize(example.source, show_progress=False)
        (numbers,), (scores,) = index.retrieve(query, k=len(train), show_progress=False)
        # Of equal scores the earlier row; none of these rows is a near duplicate, which none has words enough for.
        order = [number for _, number in sorted(zip(-scores, numbers, strict=True))]
        order = [number for number in order if sorted(train[number].source) != sorted(example.source)]
        assert shown.picked(NEAR, example) == tuple(train[number] for number in reversed(order[:3]))


def test_words_that_no_row_has_leave_the_order_of_training() -> None:
    train = made(("red lamp", "a"), ("green lamp", "b"), ("blue lamp", "c"), ("the", "d"))
    assert [row.id for row in Demonstrations(train).picked(NEAR, Example("x", {"source": "?"}, "-"))] == ["2", "1", "0"]
    empty = made(("the", "a"), ("of", "b"))
    assert len(Demonstrations(empty).picked(NEAR, Example("x", {"source": "lamp"}, "-"))) == 2


@given(st.lists(st.sampled_from([-0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30))
def test_the_nearest_come_first_and_of_equal_ones_the_earlier(cosines: list[float]) -> None:
    rows = made(*((f"row{number}", "t") for number in range(len(cosines))))
    vectors = {row.source: (cosine, 1.0) for row, cosine in zip(rows, cosines, strict=True)} | {"asked": (1.0, 0.0)}
    shown = Demonstrations(rows, lambda texts: np.array([vectors[text] for text in texts]))
    picked = shown.picked(
        Template("s", "{{ source }}", shots=30, pick="similar"), Example("x", {"source": "asked"}, "-")
    )
    expected = sorted(range(len(rows)), key=lambda number: (-cosines[number], number))
    assert [row.id for row in reversed(picked)] == [str(number) for number in expected]


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[Example], Example]:
    """Return training rows, and one that a few edits made of one of them, or the row itself."""
    rng = random.Random(draw(st.integers(0, 10**6)))
    vocabulary = [f"{word}{number}" for word in WORDS for number in range(40)]
    texts = [" ".join(rng.choices(vocabulary, k=rng.randint(3, 45))) for _ in range(60)]
    train = made(*zip(texts[:30], texts[30:], strict=True))
    row = rng.choice(train)
    words, answer = row.source.split(), row.target.split()
    for part, most in ((words, 3), (answer, 2)):
        for _ in range(rng.randint(0, most)):
            part[rng.randrange(len(part))] = rng.choice(vocabulary)
    source = " ".join(words).upper() if rng.random() < 0.3 else " ".join(words) + rng.choice(["", ".", "!"])
    return train, Example("0", {"source": source}, " ".join(answer))


@pytest.mark.parametrize("pick", ["fixed", "random", "bm25"])
@given(case=edited())
@settings(max_examples=60, deadline=None)
def test_neither_the_row_nor_a_duplicate_of_it_is_ever_picked(pick: str, case: tuple[list[Example], Example]) -> None:
    train, example = case
    everything = restored({"name": "p", "text": "{{ source }}", "shots": len(train), "pick": pick})
    picked = Demonstrations(train).picked(everything, example)
    forms, worth = Forms(train), Worth(Forms(train))
    (own,) = Forms([example])
    for row in picked:
        (form,) = Forms([row])
        assert form.source_letters != own.source_letters
        assert not is_near(form, own, worth)
        assert not is_near(own, form, worth)
    assert len(forms) - len(picked) <= 2  # of rows that were drawn few are alike, so that it says something
    assert all(row in Demonstrations(train).rows for row in picked)


def test_the_near_duplicate_is_the_one_that_is_left_out() -> None:
    rows = [[f"word{row}x{number}" for number in range(20)] for row in range(40)]
    train = made(*((" ".join(words), f"answer {number}") for number, words in enumerate(rows)))
    almost = Example("x", {"source": " ".join([*rows[7][:19], "another"])}, "-")
    everything = replace(NEAR, shots=len(train))
    assert [row.id for row in train if row not in Demonstrations(train).picked(everything, almost)] == ["7"]
    half = Example("x", {"source": " ".join([*rows[7][:10], *rows[8][10:]])}, "-")
    assert {row.id for row in Demonstrations(train).picked(replace(NEAR, shots=2), half)} == {"7", "8"}


def test_fixed_is_one_draw_and_random_goes_by_the_row_s_text() -> None:
    train = drawn(random.Random(1), 30)
    fixed, other = Template("f", "{{ source }}", shots=4), Template("r", "{{ source }}", shots=4, pick="random")
    asked = [Example(str(n), {"source": f"asked {n}"}, "-") for n in range(20)]
    shown = Demonstrations(train)
    assert len({tuple(row.id for row in shown.picked(fixed, one)) for one in asked}) == 1
    assert shown.picked(replace(fixed, shots=2), asked[0]) == shown.picked(fixed, asked[0])[-2:]
    own = [shown.picked(other, one) for one in asked]
    assert len({tuple(row.id for row in rows) for rows in own}) > 15
    assert [shown.picked(other, replace(one, id="another", target="t")) for one in asked] == own


def test_a_training_row_is_shown_none_of_its_own_group_which_may_quote_it() -> None:
    train = [Example(str(n), {"source": f"lamp {word}"}, "-", group="ab"[n % 2]) for n, word in enumerate(WORDS[:8])]
    shown, many = Demonstrations(train), replace(NEAR, shots=8)
    (first,) = shown.attached(many, train[:1], of_train=True)
    assert {row.group for row in first.shots} == {"b"}
    assert shown.attached(Template("t", "{{ source }}"), train) is train


def test_a_demonstration_is_the_text_and_its_answer_as_training_writes_it() -> None:
    shots = made(("one", " first "), ("two", "second"))
    assert Template("t", "{{ source }} ->", shots=2).render({"source": "x"}, shots) == (
        "one -> first\n\ntwo -> second\n\nx ->"
    )
    assert Template("t", "{{ source }}\n", shots=2).render({"source": "x"}, shots) == (
        "one\nfirst\n\ntwo\nsecond\n\nx\n"
    )
    own = Template("t", "{{ source }}?", shots=2, shot="{{ source }} = {{ target }}", separator="; ")
    assert own.render({"source": "x"}, shots) == "one = first; two = second; x?"
    assert own.names() == {"source"}
    with pytest.raises(TemplateError, match="training row '0' as a demonstration: .*'gone' is undefined"):
        Template("t", "{{ source }}?", shots=1, shot="{{ gone }}").render({"source": "x"}, shots)
    with pytest.raises(TemplateError, match="field 'gone' is undefined in its text"):
        Template("t", "{{ source }}?", shots=1, shot="{{ gone }}{{ target }}").validate(["source"])


@given(
    sizes=st.lists(st.integers(0, 12), max_size=5),
    own=st.integers(1, 12),
    limit=st.integers(3, 60),
    keep=st.sampled_from(["start", "end"]),
)
def test_what_is_shown_never_takes_more_than_there_is(sizes: list[int], own: int, limit: int, keep: Keep) -> None:
    template = Template("t", "Q {{ source }} A", shorten="source", keep=keep, shots=5, separator=" | ")
    shots = tuple(made(*((" ".join(["w"] * size), "t") for size in sizes)))
    example = Example("x", {"source": " ".join(["v"] * own)}, "-", shots=shots)

    def count(text: str) -> int:
        return len(text.split())

    found = fitted(template, example, limit=limit, write=template.render, count=count)
    alone = fitted(template, replace(example, shots=()), limit=limit, write=template.render, count=count)
    assert count(found.text) <= limit
    assert (found.fields, found.truncated) == (alone.fields, alone.truncated)
    assert found.text == template.render(alone.fields, found.shots)
    assert found.shots == shots[len(shots) - len(found.shots) :]
    if len(found.shots) < len(shots):  # one more would not have fitted
        assert count(template.render(alone.fields, shots[len(shots) - len(found.shots) - 1 :])) > limit


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_chat_with_demonstrations_is_the_whole_conversation_as_its_template_writes_it(
    layout: str, tmp_path: Path
) -> None:
    loaded = load(str(chat_model(layout, tmp_path)))
    arguments = LAYOUTS[layout].arguments
    chat = Chat("c", system="Be brief.", user="Note: {{ source }}", template_args=arguments, shots=2)
    shots = tuple(made(("it rained", "Rain."), ("no bus came", "A walk.")))
    example = Example("x", {"source": "snow fell"}, "Snow.", shots=shots)
    turns = [{"role": "system", "content": "Be brief."}]
    for row in (*shots, example):
        turns += [{"role": "user", "content": f"Note: {row.source}"}, {"role": "assistant", "content": row.target}]
    day = {"date_string": "26 Jul 2024", **arguments}
    (row,) = encode([example], chat, loaded, limits=Limits(1000, 50)).rows
    write = loaded.tokenizer.apply_chat_template
    assert row.shots == 2
    assert list(row.prompt) == write(turns[:-1], add_generation_prompt=True, return_dict=False, **day)
    whole = write(turns, return_dict=False, **day)
    joined = [*row.prompt, *row.target]
    assert joined == whole[: len(joined)]
    assert row.target[-1] == chat.ends(loaded)[0]
    assert not loaded.tokenizer.decode(whole[len(joined) :]).strip() or layout == "phi"  # its own mark of the end
    (alone,) = encode([replace(example, shots=())], chat, loaded, limits=Limits(1000, 50)).rows
    limits = range(len(alone.prompt), len(row.prompt) + 1)
    rows = [encode([example], chat, loaded, limits=Limits(limit, 50)).rows[0] for limit in limits]
    assert all(len(one.prompt) <= limit for one, limit in zip(rows, limits, strict=True))
    counts = [one.shots for one in rows]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2}


def test_turns_of_a_longer_chat_are_shown_whole_behind_the_system_s_turn() -> None:
    turns = (Message("system", "S"), Message("user", "{{ source }}"), Message("assistant", "?"), Message("user", "go"))
    chat = Chat("c", messages=turns, assistant="Sum:", shots=1)
    said = [(turn["role"], turn["content"]) for turn in chat.filled({"source": "x"}, made(("one", "first")))]
    own = [("user", "x"), ("assistant", "?"), ("user", "go")]
    shown = [("user", "one"), ("assistant", "?"), ("user", "go"), ("assistant", "Sum: first")]
    assert said == [("system", "S"), *shown, *own]


def test_prompts_without_demonstrations_are_stored_as_before() -> None:
    plain, shown = Template("t", "{{ source }}"), Template("t", "{{ source }}", shots=1)
    assert stored_fields(plain) == {"name": "t", "text": "{{ source }}", "shorten": None, "keep": "start"}
    assert restored(stored_fields(plain)) == plain
    assert restored(stored_fields(shown)) == shown
    assert not {"shots", "pick"} & set(stored_fields(Chat("c", user="{{ source }}")))


def test_a_row_whose_own_part_is_empty_is_refused_whatever_stands_before_it(tmp_path: Path) -> None:
    model = load(str(chat_model("smollm2", tmp_path)))
    prompt = Template("t", "{{ source }}", shots=1)
    (shown,) = made(("a question", "its answer"))
    full, empty = made(("a note", "x"), ("", "x"))
    assert encode([replace(full, shots=(shown,))], prompt, model, limits=Limits(40, 20)).rows
    with pytest.raises(DataError, match="prompt 't' renders to ''; it must not be empty"):
        encode([replace(empty, shots=(shown,))], prompt, model, limits=Limits(40, 20))
