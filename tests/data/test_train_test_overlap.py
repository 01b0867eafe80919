"""Duplicates within and across splits: against comparing all pairs, and on leaks planted in real data."""

from __future__ import annotations

import gzip
import json
import math
import random
import re
import string
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError, StudyError
from harness.core.example import SPLITS, Example, Split, fingerprint
from harness.data import near_candidates
from harness.data.train_test_overlap import Overlap, overlaps, settled
from harness.study.check import check
from harness.study.load_study import read_study
from tests.support.study_fixture import Place, Places, rows, write_rows

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data"
EMBEDDED = ROOT / "tasks" / "data"


def example(id: str, source: str, target: str) -> Example:
    return Example(id, {"source": source}, target)


def between(found: Sequence[Overlap], earlier: str, later: str) -> Overlap:
    return next(overlap for overlap in found if (overlap.earlier, overlap.later) == (earlier, later))


def kinds(found: Sequence[Overlap], earlier: str, later: str) -> dict[str, str]:
    return {twin.id: twin.kind for twin in between(found, earlier, later).twins}


# What is a duplicate, by hand. A training split of a thousand makes a word that stands once worth about nine bits.

FILLER = [example(f"f{i}", f"filler {i} of many {i + 1000}", f"nothing {i}") for i in range(1000)]
SOURCE = "Don't shout: the well-known bridge at Porto opens 3.5 hours later."
ROW = example("row", SOURCE, "Bridge opens late in Porto.")


def kind_of(source: str, target: str) -> str | None:
    found = overlaps({"train": [*FILLER, ROW], "test": [example("x", source, target)]})
    return kinds(found, "train", "test").get("x")


@pytest.mark.parametrize(
    ("source", "target", "kind"),
    [
        (SOURCE, ROW.target, "row"),
        ("DONT SHOUT the wellknown bridge at porto opens 3.5 hours later", "bridge opens late in porto", "row"),
        ("don t shout, the well known bridge at porto opens 3.5 hours later!!", "Bridge, opens late\nin Porto", "row"),
        (SOURCE, "Something else altogether.", "source"),
        ("dont shout the wellknown tunnel at porto opens 3.5 hours later", "bridge opens late in porto", "near"),
        ("Don't shout: the bridge at Porto opens 3.5 hours later.", "Bridge opens late in Porto.", "near"),
        ("Don't ever shout: the well-known bridge at Porto opens 3.5 hours later.", ROW.target, "near"),
        ("Don't shout: the well-known tunnel at Porto opens 3.5 hours later.", "Tunnel opens late in Porto.", "near"),
        ("Don't shout: the new tunnel at Rome opens 3.5 hours later.", ROW.target, None),
        ("The bridge at Porto opens later.", ROW.target, None),
        ("Don't shout: the well-known tunnel at Porto opens 3.5 hours later.", "Tunnel closes.", None),
    ],
)
def test_what_counts_as_a_duplicate(source: str, target: str, kind: str | None) -> None:
    assert kind_of(source, target) == kind


COMMON = "Please read this note with care before the meeting at noon: {} and tell the others what it says there."


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("take 1.5 mg daily", "take 15 mg daily"),
        ("take 1.5 mg of 22", "take 15 mg of 2.2"),
        ("at 10:30 sharp", "at 1030 sharp"),
        ("rooms 3 5 sold", "rooms 35 sold"),
        ("rooms 1 25 sold", "rooms 12 5 sold"),
        ("it falls by .5 a day", "it falls by 5 a day"),
        ("minus: -5 degrees", "minus: 5 degrees"),
        ("a change of +5 points", "a change of −5 points"),
        ("a change of +5 points", "a change of 5 points"),
        ("x < 3", "x > 3"),
        ("growth of 5%", "growth of 5"),
        ("growth of 5 %", "growth of 5 €"),
        ("a|b", "a&b"),
        ("if a != b", "if a = b"),
        ("x := y", "x = y"),
        ("x - y", "x y"),
        ("f(x, y)", "f[x, y]"),
        ("f(x, y)", "f(x; y)"),
        ("return [1, 2]", "return (1, 2)"),
        ("(a + b) * c", "a + b * c"),
        ('print("a")', "print(a)"),
        ("a knows C", "a knows C++"),
        ("a knows C++", "a knows C#"),
        ("rm -r folder", "rm r folder"),
        ("snake_case", "snakecase"),
        ("fine :)", "fine :("),
        ("write to a.b@example.com now", "write to ab@example.com now"),
        ("see https://a.org/b now", "see https://aorg/b now"),
        ("well 🙂", "well 🙁"),
        ("well 🙂", "well"),
        ("¬a ∧ b", "a ∨ b"),
        ("a balance of -$5", "a balance of $5"),
        ("a balance of -€5", "a balance of €5"),
        ("a change by -(5) here", "a change by (5) here"),
        ("about 1e-5 of it", "about 1e5 of it"),
        ("y is -x", "y is x"),
        ("blood group A-", "blood group A"),
        ("the range 5-", "the range 5"),
        ("if !done", "if done"),
        ("a 5' board", 'a 5" board'),
        ('a 5" board', "a 5 board"),
        ("it yields 5 mW", "it yields 5 MW"),
        ("it yields 5mA", "it yields 5MA"),
        ("2 mM of it", "2 mm of it"),
        ("3 Mg of it", "3 mg of it"),
        ("8 Mb each", "8 MB each"),
        ("a Cl- ion", "a Cl ion"),
        ("it is HCO3-", "it is HCO3"),
        ("OH− groups", "OH groups"),
        ("5!", "5"),
        ("so n! is", "so n is"),
    ],
)
@pytest.mark.parametrize("frame", ["{}", COMMON])
def test_marks_that_tell_make_another_row(one: str, other: str, frame: str) -> None:
    first, second = frame.format(one), frame.format(other)
    train = [*FILLER[:300], example("a", first, "short"), example("b", f"{SOURCE} {first}", first)]
    test = [example("x", second, "short"), example("y", f"{SOURCE} {first}", second), train[-1]]
    found = kinds(overlaps({"train": train, "test": test}), "train", "test")
    assert found == {"y": "source", "b": "row"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It is Covid-19, isn't it?", "it is covid 19 isnt it"),
        ("He said: “Come in (quickly)!” – and left ...", "he said come in quickly and left"),
        ("- Hello\n- Hi", "Hello\nHi"),
        ("the 3-D film of 2020.", "The 3D film of 2020"),
        ("growth of 5 %, they say", "Growth of 5% they say"),
        ("The U.S. won", "the US won"),
        ("¿Qué? ¡No!", "Qué No"),
        ("soft\u00adhyphen", "softhyphen"),
        ('He said "I am 5"', "He said 'I am 5'"),
        ("-Hello\n-Hi", "Hello\nHi"),
        ("Stop! Now!", "Stop now"),
        ("Run 5 KM, Men!", "run 5 km men"),
        ("The Top 5 Big Men", "the top 5 big men"),
        ("10 MB by 5 PM", "10 mb by 5 pm"),
        ("I am 5!", "I am 5"),
        ("Pre- and post-war years", "pre and post war years"),
    ],
)
def test_marks_that_dress_do_not(one: str, other: str) -> None:
    found = overlaps({"train": [example("a", one, one)], "test": [example("b", other, other)]})
    assert kinds(found, "train", "test") == {"b": "row"}


@given(number=st.decimals(0, 9999, places=2), place=st.integers(1, 3))
def test_no_number_reads_as_another(number: Decimal, place: int) -> None:
    text, moved = f"{number}", f"{number.scaleb(-place)}"
    found = overlaps({"train": [example("a", f"take {text} mg", "t")], "test": [example("b", f"take {moved} mg", "t")]})
    assert kinds(found, "train", "test") == ({} if text != moved else {"b": "row"})


def test_common_words_alone_make_no_duplicate() -> None:
    places = [f"place{i}" for i in range(300)]
    train = [
        example(str(i), f"the box is at the {place}", f"die kiste ist im {place}") for i, place in enumerate(places)
    ]
    test = [example("t", "the box is at the opera", "die kiste ist im opera")]
    found = overlaps({"train": train, "test": test})
    assert not between(found, "train", "train").twins
    assert not between(found, "train", "test").twins


@pytest.mark.parametrize(
    ("one", "other"), [("Straße", "STRASSE"), ("Ärger", "A\u0308RGER"), ("你好,世界", "你好 世界")]
)
def test_scripts_read_the_same_however_they_are_written(one: str, other: str) -> None:
    found = overlaps({"train": [example("a", one, one)], "test": [example("b", other, other)]})
    assert kinds(found, "train", "test") == {"b": "row"}


def test_texts_without_letters_are_themselves() -> None:
    test = [example("b", "!?", ":("), example("c", " ?!", ":)")]
    found = overlaps({"train": [example("a", "?!", ":)")], "test": test})
    assert kinds(found, "train", "test") == {"c": "row"}


# Against every pair, one by one.


@cache
def distance(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))


def read(text: str) -> list[tuple[str, ...]]:
    return [tuple(re.sub(r"[^a-z ]", fill, text.lower()).split()) for fill in (" ", "")]


def slow_kind(a: Example, b: Example, train: Sequence[Example]) -> str | None:
    texts = [(a.fields["source"], b.fields["source"]), (a.target, b.target)]
    letters = [["".join(read(text)[0]) for text in pair] for pair in texts]
    if letters[0][0] == letters[0][1]:
        return "row" if letters[1][0] == letters[1][1] else "source"
    edits, bits = 0, 0.0
    for side, (one, other) in enumerate(texts):
        pairs = [(distance(x, y), x, y) for x, y in product(read(one), read(other))]
        near = [pair for pair in pairs if pair[0] <= max(1, min(len(pair[1]), len(pair[2])) // 20)]
        if not near:
            return None
        fewest, x, y = min(near, key=lambda pair: pair[0])
        edits += fewest
        for word in set(x) & set(y):
            having = sum(any(word in way for way in read([e.fields["source"], e.target][side])) for e in train)
            bits += math.log2((len(train) + 1) / (having + 1))
    return "near" if 20 * edits <= bits else None


def made_up(rng: random.Random) -> dict[Split, list[Example]]:
    """Return small splits of rows that descend from few, by up to three edits a text, in changing dress."""
    vocabulary = ["".join(rng.choices("abcdef", k=rng.randint(2, 5))) for _ in range(150)]
    founders = [[rng.choices(vocabulary, k=rng.choice([1, 3, 6, 12, 21])) for _ in "st"] for _ in range(8)]

    def edited(words: list[str]) -> str:
        words = list(words)
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            place = rng.randrange(len(words))
            words[place : place + rng.randint(0, 1)] = rng.choices(vocabulary, k=rng.randint(0, 1))
            words = words or ["alone"]
        text = rng.choice([" ", " ", ", "]).join(words)
        return rng.choice([str.upper, str.title, str.lower])(text) + rng.choice(["", "!", " ..."])

    def row(id: str) -> Example:
        source, target = rng.choice(founders)
        return example(id, edited(source), edited(target))

    sizes = {"train": rng.randint(1, 25), "validation": rng.randint(1, 6), "test": rng.randint(1, 6)}
    return {split: [row(f"{split}{i}") for i in range(sizes[split])] for split in SPLITS}


@given(seed=st.integers(0, 10**9), few=st.sampled_from([0, 1, near_candidates.FEW]))
@settings(max_examples=40, deadline=None)
def test_the_index_finds_what_comparing_all_pairs_finds(seed: int, few: int) -> None:
    examples = made_up(random.Random(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_candidates, "FEW", few)  # pairs of words are looked up in large data alone
        found_there = overlaps(examples)
    for overlap in found_there:
        earlier, later = examples[overlap.earlier], examples[overlap.later]
        wanted: dict[str, str] = {}
        others: set[str] = set()
        for place, one in enumerate(later):
            before = earlier if overlap.across else earlier[:place]
            found = {other.id: kind for other in before if (kind := slow_kind(other, one, examples["train"]))}
            others |= found.keys()
            if found:
                wanted[one.id] = min(found.values(), key=["row", "source", "near"].index)
        assert {twin.id: twin.kind for twin in overlap.twins} == wanted
        if overlap.across:
            assert overlap.others == others
        assert overlap.share == len(wanted) / len(later)


@given(seed=st.integers(0, 10**9))
@settings(max_examples=40, deadline=None)
def test_nothing_stands_twice_across_splits_once_dropped(seed: int) -> None:
    examples = made_up(random.Random(seed))
    found = overlaps(examples)
    twins = {split: {id for o in found if o.across and o.earlier == split for id in o.others} for split in SPLITS}
    wanted = {split: [e for e in examples[split] if e.id not in twins[split]] for split in SPLITS}
    assert settled(examples, found, "warn") == examples
    if not all(wanted.values()):
        with pytest.raises(DataError, match="every row of"):
            settled(examples, found, "drop")
        return
    left = settled(examples, found, "drop")
    assert left == wanted
    assert left["test"] == examples["test"]
    if len(left["train"]) == len(examples["train"]):  # else other words are rare
        assert not any(o.twins for o in overlaps(left) if o.across)


# Leaks planted in real data.


def load(folder: Path, split: str) -> list[Example]:
    file = folder / f"{split}.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"{folder.name} is not beside the checkout")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [example(row["id"], row["source"], row["target"]) for row in map(json.loads, lines)]


def disguised(text: str, word: str, rng: random.Random) -> str:
    """Return a text with another case, other punctuation and one word replaced."""
    words = text.split()
    words[rng.randrange(len(words))] = word
    text = rng.choice([str.upper, str.lower, str.title])(" ".join(words))
    marks = r"(?<!\d)[.,;:!?'\"()-](?!\d)|[.,;:!?'\"](?=\s|$)"  # not those in a number, nor in front of one
    return rng.choice([re.sub(marks, "", text), re.sub(marks, " ", text), f"{text} ...", text.replace(" ", ", ", 1)])


FOLDERS = [*(REAL / name for name in ("tatoeba_en_fr", "sgd", "scitldr_title", "self_dialogue"))]
FOLDERS += [EMBEDDED / name for name in ("translation", "summarization", "reply_generation")]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_planted_leak_is_found_and_little_else(folder: Path) -> None:
    rng = random.Random(1)
    train, test = load(folder, "train")[:1500], load(folder, "test")[:200]
    clean = between(overlaps({"train": train, "test": test}), "train", "test")
    assert clean.share <= 0.005
    chosen = rng.sample(test, 80)
    words = [word.strip(string.punctuation) for e in train for word in e.fields["source"].split() if word.isalpha()]
    exact = [example(f"exact {e.id}", e.fields["source"], e.target) for e in chosen[:40]]
    near = [
        example(f"near {e.id}", disguised(e.fields["source"], rng.choice(words), rng), e.target) for e in chosen[40:]
    ]
    overlap = between(overlaps({"train": [*train, *exact, *near], "test": test}), "train", "test")
    found = {twin.id: twin.kind for twin in overlap.twins}
    assert sum(found.get(e.id) == "row" for e in chosen[:40]) >= 0.95 * 40
    assert sum(e.id in found for e in chosen[40:]) >= 0.9 * 40
    leaked = {e.id for e in [*exact, *near]} & overlap.others
    assert len(leaked) >= 0.9 * 80
    assert len(found) - 80 <= 0.005 * len(test)


# What a study says about it.


def leaky(places: Places) -> tuple[Place, dict[Split, list[dict[str, str]]]]:
    """Return a study with one test row in train, another one in validation, and a validation row in train."""
    place = places(store=False)
    made: dict[Split, list[dict[str, str]]] = {}
    for split in SPLITS:
        made[split] = [
            row | {"source": f"{row['source']} {split} {number}"} for number, row in enumerate(rows(split), start=1)
        ]
    made["train"][3] |= {"source": made["test"][5]["source"].upper()}
    made["validation"][2] |= {"source": made["test"][6]["source"] + "!"}
    made["train"][7] |= {"source": made["validation"][4]["source"]}
    for split in SPLITS:
        write_rows(place.folder / "data" / f"{split}.jsonl", made[split])
    return place, made


LINES = ["1 of 8 validation rows (12.5%) in train", "1 of 8 test rows (12.5%) in train", "in validation"]


def test_check_prints_what_stands_twice(places: Places) -> None:
    place, _ = leaky(places)
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    for line in LINES:
        assert line in done.out
    assert "test-5 ~ train-3" in done.out
    assert "24 train, 8 validation, 8 test" in done.out
    assert "dropped from" not in done.out


def test_drop_is_what_leaving_the_rows_out_by_hand_is(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place, made = leaky(places)
    monkeypatch.chdir(place.folder)
    whole = check(read_study(place.study))
    dropped = check(read_study(place.study, ["data.on_overlap=drop"]))
    gone: dict[Split, set[str]] = {"train": {"train-3", "train-7"}, "validation": {"validation-2"}, "test": set()}
    for split in SPLITS:
        left = [row for row in made[split] if row["id"] not in gone[split]]
        write_rows(place.folder / "data" / f"{split}.jsonl", left)
    by_hand = check(read_study(place.study))
    assert {s: len(e) for s, e in dropped.examples.items()} == {"train": 22, "validation": 7}
    assert {s: fingerprint(e) for s, e in dropped.examples.items()} == {
        s: fingerprint(e) for s, e in by_hand.examples.items()
    }
    assert dropped.test_ids == whole.test_ids == by_hand.test_ids
    assert fingerprint(whole.examples["train"]) != fingerprint(dropped.examples["train"])
    assert dropped.overlaps == whole.overlaps
    assert dropped.fits == by_hand.fits


def test_drop_says_how_many(places: Places) -> None:
    place, _ = leaky(places)
    done = place.command("check", "study.yaml", "--set", "data.on_overlap=drop")
    assert done.status == 0, done.err
    assert "dropped from train: 2 rows" in done.out
    assert "dropped from validation: 1 rows" in done.out
    assert "22 train, 7 validation, 8 test" in done.out


def test_error_names_place_counts_and_remedy(places: Places) -> None:
    place, _ = leaky(places)
    place.edit("data: {path: data}", "data: {path: data, on_overlap: error}")
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert re.search(r"study\.yaml:7: rows stand in two splits", done.err)
    for part in (*LINES, "set data.on_overlap: drop"):
        assert part in done.err


def test_error_is_content_where_nothing_leaks(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place, made = leaky(places)
    monkeypatch.chdir(place.folder)
    rows_of = {split: [row | {"source": f"{split} {n}"} for n, row in enumerate(made[split])] for split in SPLITS}
    rows_of["train"][1] |= {"source": rows_of["train"][0]["source"]}  # within a split it is no leak
    for split in SPLITS:
        write_rows(place.folder / "data" / f"{split}.jsonl", rows_of[split])
    checked = check(read_study(place.study, ["data.on_overlap=error"]))
    assert [(o.earlier, o.later) for o in checked.overlaps if o.twins] == [("train", "train")]


def test_a_split_of_duplicates_alone_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place, made = leaky(places)
    monkeypatch.chdir(place.folder)
    copies = [row | {"id": f"copy-{row['id']}"} for row in made["test"]]
    write_rows(place.folder / "data" / "validation.jsonl", copies)
    with pytest.raises(StudyError, match="every row of validation has a duplicate in a later split"):
        check(read_study(place.study, ["data.on_overlap=drop"]))


def test_a_closed_test_split_takes_no_part(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place, _ = leaky(places)
    monkeypatch.chdir(place.folder)
    (place.folder / "data" / "test.jsonl").write_bytes(b"\xff")
    checked = check(read_study(place.study, ["data.on_overlap=drop"]), test=False)
    assert {(o.earlier, o.later) for o in checked.overlaps} == {
        ("train", "train"),
        ("train", "validation"),
        ("validation", "validation"),
    }
    assert {s: len(e) for s, e in checked.examples.items()} == {"train": 23, "validation": 8}
