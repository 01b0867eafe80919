"""The embedded world: the same everywhere, and splits that share neither sources nor held-out combinations."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.readers import read_rows
from tools.world import texts as texts_of_the_world
from tools.world.corpus import SHARES, corpus
from tools.world.datasets import DATA, SIZES, TASKS, TOPICS, evaluation_sources, read, stale
from tools.world.draw import Draw, held_out
from tools.world.lexicon import ADJECTIVES, NOUNS
from tools.world.verbs import VERBS

ROOT = Path(__file__).parents[2]
SAMPLE = 6000
"""Documents of the corpus that a test looks at."""


@pytest.fixture(scope="module")
def documents() -> list[tuple[str, str]]:
    return list(corpus(SAMPLE, avoid=evaluation_sources()))


def texts(documents: list[tuple[str, str]]) -> Iterator[str]:
    for _, text in documents:
        yield text


# The same everywhere


def test_committed_data_is_what_the_generator_makes() -> None:
    assert stale() == []


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_committed_texts_are_what_the_generator_makes(split: str) -> None:
    rows = read_rows(texts_of_the_world.DATA / "text_generation" / f"{split}.jsonl.gz")
    assert [row["text"] for row in rows] == texts_of_the_world.documents(split)


def test_the_corpus_does_not_depend_on_the_process(documents: list[tuple[str, str]]) -> None:
    code = (
        "import hashlib; from tools.world.corpus import corpus; from tools.world.datasets import evaluation_sources;"
        "print(hashlib.sha256(repr(list(corpus(200, avoid=evaluation_sources()))).encode()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == hashlib.sha256(repr(documents[:200]).encode()).hexdigest()


def test_a_longer_corpus_begins_with_the_shorter_one() -> None:
    assert list(corpus(30))[:10] == list(corpus(10))


@given(st.text(), st.lists(st.integers(), min_size=1, max_size=9))
def test_draws_stay_among_their_items(seed: str, items: list[int]) -> None:
    draw = Draw(seed)
    assert draw.pick(items) in items
    assert sorted(draw.shuffled(items)) == sorted(items)
    assert 3 <= draw.number(3, 5) <= 5


def test_shares_are_percentages_and_are_kept(documents: list[tuple[str, str]]) -> None:
    assert sum(share.weight for share in SHARES.values()) == 100
    for kind, share in SHARES.items():
        found = sum(one == kind for one, _ in documents) / SAMPLE
        assert abs(found - share.weight / 100) < 4 * (share.weight / 100 / SAMPLE) ** 0.5


# Splits


@pytest.mark.parametrize("task", TASKS)
def test_splits_have_their_sizes_and_share_no_source(task: str) -> None:
    splits = {split: read(task, split) for split in SIZES}
    assert {split: len(rows) for split, rows in splits.items()} == SIZES
    sources = [row.source for rows in splits.values() for row in rows]
    assert len(set(sources)) == len(sources)
    for split, rows in splits.items():
        assert len({row.id for row in rows}) == len(rows)
        assert (DATA / task / f"{split}.jsonl.gz").stat().st_size < 300 * 1024


@pytest.mark.parametrize(
    ("task", "source", "target"),
    [
        ("summarization", (25, 50), (5, 10)),
        ("translation", (5, 12), (4, 13)),
        ("reply_generation", (15, 35), (8, 18)),
        ("classification", (25, 50), (1, 1)),
    ],
)
def test_rows_are_short_single_lines(task: str, source: tuple[int, int], target: tuple[int, int]) -> None:
    for split in SIZES:
        for row in read(task, split):
            assert source[0] <= len(row.source.split()) <= source[1], row
            assert target[0] <= len(row.target.split()) <= target[1], row
            assert "\n" not in row.source + row.target
            assert row.source == row.source.strip()
            assert row.target == row.target.strip()


@pytest.mark.parametrize("task", [task for task in TASKS if task != "classification"])
def test_targets_do_not_repeat_too_often(task: str) -> None:
    targets = [row.target for row in read(task, "train")]
    assert len(set(targets)) > 0.95 * len(targets)


@pytest.mark.parametrize("split", SIZES)
def test_topics_are_as_frequent_as_each_other(split: str) -> None:
    counts = Counter(row.target for row in read("classification", split))
    assert counts.keys() == TOPICS.keys()
    assert all(abs(count / SIZES[split] - 1 / 3) < 4 * (2 / 9 / SIZES[split]) ** 0.5 for count in counts.values())


def test_the_corpus_holds_no_source_of_validation_or_test(documents: list[tuple[str, str]]) -> None:
    everything = "\n".join(texts(documents))
    unfolded = re.sub(r"\s+", " ", everything)
    found = [source for source in evaluation_sources() if source in everything or source in unfolded]
    # A short sentence may occur inside a longer one; what may not occur is the sentence itself.
    lines = {part.strip() for part in re.split(r"(?<=[.?]) | / |\n", everything)}
    assert not set(found) & lines


# Held-out combinations, found in the texts and not by the generator's own record

VERB_KINDS = {verb.en: verb.kinds for verb in VERBS}
NOUN_KINDS = {noun.en: noun.kinds for noun in NOUNS}


def _forms() -> dict[str, str]:
    """Return the English verb forms in texts by their base form."""
    forms = {}
    for verb in VERBS:
        head, _, particle = verb.en.partition(" ")
        stem = head + head[-1] if head in ("cut", "wrap", "forget") else head.removesuffix("e")
        for form in (verb.en, verb.en_past, f"{stem}ing {particle}".strip(), f"{head}s {particle}".strip()):
            forms[form] = verb.en
    return forms


FORMS = _forms()
THINGS = {form: noun.en for noun in NOUNS for form in (noun.en, noun.en_plural)}


def _any(words: Iterator[str] | list[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


ACTION = re.compile(
    rf"\b({_any(list(FORMS))}) (?:the|an?|my|our|two|three|four|five|six) "
    rf"(?:(?:{_any([word.en for word in ADJECTIVES])}) )?({_any(list(THINGS))})\b"
)


def actions(text: str) -> list[tuple[str, str]]:
    """Return the verb-object combinations of an English text; the receiver of a gift is no object."""
    pairs = [(FORMS[verb], THINGS[thing]) for verb, thing in ACTION.findall(text)]
    return [pair for pair in pairs if VERB_KINDS[pair[0]] & NOUN_KINDS[pair[1]]]


PLANS = {
    "repair note": r"repairs the .* on (\w+day) at",
    "doctor note": r"to the doctor on (\w+day)",
    "trip note": r"travels to .* on (\w+day), back",
    "pet note": r"feeds .* from (\w+day) to",
    "invoice note": r"pays .* euros by (\w+day)",
    "found note": r"has the .* lost on (\w+day)",
    "ill message": r"get well soon! I will take over .* on (\w+day)",
    "thanks message": r"was glad to help you .* on (\w+day)",
    "payment message": r"We will transfer the .* by (\w+day)",
    "arrival message": r"I will be at the station on (\w+day) at",
    "diet message": r"On (\w+day) I will cook without",
}


def plans(text: str) -> list[tuple[str, str]]:
    """Return the combinations of kind and day that a target (or an agenda) shows."""
    return [(kind, day) for kind, pattern in PLANS.items() for day in re.findall(pattern, text)]


def test_train_and_corpus_show_no_held_out_action(documents: list[tuple[str, str]]) -> None:
    seen = [pair for row in read("translation", "train") for pair in actions(row.source)]
    seen += [pair for text in texts(documents) for pair in actions(text)]
    assert len(set(seen)) > 400
    assert {pair for pair in seen if held_out(pair)} == set()


def test_train_and_corpus_show_no_held_out_plan(documents: list[tuple[str, str]]) -> None:
    targets = [row.target for task in ("summarization", "reply_generation") for row in read(task, "train")]
    agendas = [line for text in texts(documents) for line in text.splitlines()]
    seen = [pair for text in targets + agendas for pair in plans(text)]
    assert len(set(seen)) > 50
    assert {pair for pair in seen if held_out(pair)} == set()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_validation_and_test_show_both_sorts(split: str) -> None:
    for task, find, column in (
        ("translation", actions, 1),
        ("summarization", plans, 2),
        ("reply_generation", plans, 2),
    ):
        pairs = [pair for row in read(task, split) for pair in find(row[column])]
        held = sum(held_out(pair) for pair in pairs)
        assert len(pairs) > 30
        assert 0.2 < held / len(pairs) < 0.8


@pytest.mark.parametrize("task", TASKS)
def test_english_articles_fit_what_follows(task: str) -> None:
    for split in SIZES:
        for row in read(task, split):
            assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", row.source), row


def test_every_reply_greets_the_sender_as_the_message_did() -> None:
    for row in read("reply_generation", "train"):
        greeting = row.source.split()[0]
        name = row.source.split()[-1]
        expected = rf"Dear (Mr|Ms) {name}, " if greeting == "Dear" else rf"{greeting} {name}, "
        assert re.match(expected, row.target), row
