"""Studies of plain text: how text becomes blocks and splits, and what cannot be said of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from harness.core import bounded_files
from harness.core.errors import StudyError
from harness.core.example import fingerprint
from harness.data.plain_text import TextBlock
from harness.data.text_blocks import TextBlocks
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import read_study
from harness.study.tokenized_text import _settled
from tests.support.study_fixture import Place, Places
from tests.support.text_study import PLAIN, plain_place, prose

SIZE = 32


@pytest.fixture
def place(places: Places) -> Place:
    return plain_place(places)


def checked(place: Place, *overrides: str, test: bool = True) -> Checked:
    return check(read_study(place.study, overrides), test=test)


def refused(place: Place, *overrides: str) -> str:
    with pytest.raises(StudyError) as error:
        checked(place, *overrides)
    return str(error.value)


def tokens(place: Place, text: str, **options: Any) -> list[int]:
    ids: list[int] = AutoTokenizer.from_pretrained(place.folder / "model")(text, verbose=False, **options)["input_ids"]
    return ids


def ids_of(part: object) -> list[list[int]]:
    assert isinstance(part, TextBlocks)
    return [list(part.ids(number)) for number in range(len(part))]


# Text to blocks


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_a_file_of_text_is_one_stream_cut_into_blocks(places: Places, family: str) -> None:
    place = plain_place(places, family=family)
    found = checked(place)
    ids = tokens(place, (place.folder / "train.txt").read_text())
    if family != "gpt2":
        assert ids[0] == tokens(place, "")[0], "what the tokenizer puts before a text stands there once"
    blocks = np.array(ids[: len(ids) // SIZE * SIZE]).reshape(-1, SIZE).tolist()
    held = max(1, round(len(blocks) / 10))
    assert ids_of(found.examples["train"]) == blocks[: -2 * held]
    assert ids_of(found.examples["validation"]) == blocks[-2 * held : -held]
    assert ids_of(found.test_examples()) == blocks[-held:]
    assert found.test_ids == tuple(f"block-{number}" for number in range(len(blocks) - held + 1, len(blocks) + 1))
    assert found.test_digest == fingerprint(found.test_examples())


def test_what_is_dropped_and_carved_is_told(place: Place) -> None:
    ids = tokens(place, (place.folder / "train.txt").read_text())
    count, rest = divmod(len(ids), SIZE)
    assert rest
    held = round(count / 10)
    (dropped, validation, test) = [note for note in checked(place).notes if "of train" in note]
    assert dropped == f"the last {rest} tokens of train make no whole block of {SIZE}, and are dropped."
    assert validation.startswith(f"validation is the {held} before the last {held} of the {count} blocks of train: ")
    assert test.startswith(f"test is the last {held} of the {count} blocks of train: there is no file for it in")
    assert "data.test sets how many, 10% where it is left out" in test


def test_a_block_shows_its_text_and_counts_its_bytes(place: Place) -> None:
    (place.folder / "train.txt").write_text(prose(900).replace("note", "naïve 日本 👩"), encoding="utf-8")
    found = checked(place)
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "model")
    block = found.examples["train"][1]
    assert isinstance(block, TextBlock)
    assert block.id == "block-2"
    assert block.source == tokenizer.decode(block.ids[: SIZE // 4])
    assert block.target == tokenizer.decode(block.ids[SIZE // 4 :])
    counted = {tokenizer.decode(one.ids[1:]): one.fields["scored_bytes"] for one in blocks_of(found)}
    whole = {text: size for text, size in counted.items() if "\ufffd" not in text}  # no character is cut
    assert len(whole) > 3
    assert whole == {text: len(text.encode()) for text in whole}


def blocks_of(found: Checked) -> list[TextBlock]:
    return [block for block in found.examples["train"] if isinstance(block, TextBlock)]


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz", "train.csv", "train.parquet"])
def test_rows_are_documents_with_an_end_token_each(places: Places, name: str) -> None:
    place = plain_place(places, family="llama")
    texts = [*prose(500).splitlines(), "", "  ", "two\nlines"]
    write_rows(place.folder / name, [{"id": number, "text": text} for number, text in enumerate(texts)])
    place.edit("train.txt", name)
    end = AutoTokenizer.from_pretrained(place.folder / "model").eos_token_id
    ids = [number for text in texts if text.strip() for number in [*tokens(place, text), end]]
    found = checked(place, test=False)
    blocks = np.array(ids[: len(ids) // SIZE * SIZE]).reshape(-1, SIZE).tolist()
    assert ids_of(found.examples["train"]) == blocks[: len(found.examples["train"])]


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    import pandas

    frame = pandas.DataFrame(rows)
    if file.suffix == ".parquet":
        frame.to_parquet(file)
    elif file.suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        lines = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        file.write_bytes(gzip.compress(lines) if file.suffix == ".gz" else lines)


def test_files_of_splits_are_read_as_they_are(place: Place) -> None:
    folder = place.folder / "texts"
    folder.mkdir()
    for number, split in enumerate(("train", "dev", "test")):
        (folder / f"{split}.txt").write_text(prose(400, seed=number), encoding="utf-8")
    place.edit("train.txt", "texts")
    found = checked(place)
    for split, part in {"train": found.examples["train"], "dev": found.examples["validation"]}.items():
        ids = tokens(place, (folder / f"{split}.txt").read_text())
        assert ids_of(part) == np.array(ids[: len(ids) // SIZE * SIZE]).reshape(-1, SIZE).tolist()
    assert len(found.test_ids) == len(found.test_examples())


def test_lines_end_as_python_ends_them(place: Place) -> None:
    text = prose(600)
    (place.folder / "train.txt").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    found = ids_of(checked(place).examples["train"])
    (place.folder / "train.txt").write_text(text, encoding="utf-8")
    assert found == ids_of(checked(place).examples["train"])


def test_sizes_are_blocks_drawn_by_the_seed(place: Place) -> None:
    whole = checked(place, "data.validation=3", "data.test=2")
    few, fewer = (checked(place, "data.validation=3", "data.test=2", f"data.train={size}") for size in (9, 4))
    assert len(whole.examples["validation"]) == 3
    assert len(whole.test_ids) == 2
    assert [len(each.examples["train"]) for each in (few, fewer)] == [9, 4]
    assert set(map(tuple, ids_of(fewer.examples["train"]))) < set(map(tuple, ids_of(few.examples["train"])))
    other = checked(place, "data.validation=3", "data.test=2", "data.train=9", "data.seed=5")
    assert ids_of(other.examples["train"]) != ids_of(few.examples["train"])
    assert ids_of(other.examples["validation"]) == ids_of(whole.examples["validation"])


def test_seeds_draw_other_blocks_of_those_that_are_left_to_train_on(place: Place) -> None:
    sizes = "data.validation=3", "data.test=2"
    made = checked(place, *sizes, "data.train=[4, 9]", "data.seed=[5, 0]")
    assert [(draw.train, draw.seed) for draw in made.parts] == [(4, 5), (4, 0), (9, 5), (9, 0)]
    for draw, part in made.parts.items():
        alone = checked(place, *sizes, f"data.train={draw.train}", f"data.seed={draw.seed}")
        assert ids_of(part) == ids_of(alone.examples["train"])
        assert ids_of(made.examples["validation"]) == ids_of(alone.examples["validation"])
    assert set(map(tuple, ids_of(made.examples["train"]))) == {
        tuple(ids) for part in made.parts.values() for ids in ids_of(part)
    }


def test_a_text_is_tokenized_once_in_a_workspace(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.core.workspace import Workspace
    from harness.study import tokenized_text

    workspace = Workspace(place.folder)
    monkeypatch.chdir(place.folder)
    first = check(read_study(place.study), workspace=workspace)
    kept = list(workspace.tokens.iterdir())
    assert len(kept) == 1
    monkeypatch.setattr(tokenized_text, "tokens_of", None)
    again = check(read_study(place.study), workspace=workspace)
    assert ids_of(again.examples["train"]) == ids_of(first.examples["train"])
    assert list(workspace.tokens.iterdir()) == kept
    check(read_study(place.study, ["training.block_tokens=16"]), workspace=workspace)
    assert list(workspace.tokens.iterdir()) == kept, "blocks of another size are cut from the same tokens"


# What is shared


def test_text_that_stands_in_two_splits_is_told(place: Place) -> None:
    folder = place.folder / "texts"
    folder.mkdir()
    same = prose(80, seed=9)
    (folder / "train.txt").write_text(prose(400, seed=1) + same, encoding="utf-8")
    (folder / "test.txt").write_text(prose(200, seed=2) + same, encoding="utf-8")
    place.edit("train.txt", "texts")
    found = checked(place)
    across = [overlap for overlap in found.overlaps if overlap.twins and overlap.later == "test"]
    assert across
    dropped = checked(place, "data.on_overlap=drop")
    for split, part in found.examples.items():
        gone = {id for overlap in found.overlaps if overlap.earlier == split for id in overlap.others}
        assert len(dropped.examples[split]) == len(part) - len(gone)
    assert "stand in two splits" in refused(place, "data.on_overlap=error")


# What cannot be


REFUSALS = {
    "training.max_source_tokens=8": "training.max_source_tokens says nothing of plain text",
    "training.max_target_tokens=8": "training.max_target_tokens says nothing of plain text",
    "data.group=id": "data.group says nothing of plain text",
    "data.turns=all": "data.turns says nothing of plain text",
    "training.block_tokens=4": "training.block_tokens is 4; it must be at least 8",
    "training.block_tokens=129": "cannot fit the model's context of 128; set training.block_tokens: 128",
    "generation.max_new_tokens=125": "cannot fit the model's context of 128; lower it to 120",
    "prompts=[bare]": "task 'text_generation' is of plain text, whose documents hold their prompts; leave prompts out",
    'prompts=[{name: text, text: "{{ text }}"}]': "leave prompts out",
    "training.block_tokens=120": "cannot give 1 to validation and 1 to test and leave some to train on; lower training",
    "data.validation=1000": "leave some to train on; lower data.validation, training.block_tokens",
    "data.train=1000": "data.train is 1000, but there are",
    "generality.tasks=[text_generation]": "generality.tasks names 'text_generation'",
}


@pytest.mark.parametrize(("override", "said"), REFUSALS.items(), ids=list(REFUSALS))
def test_what_says_nothing_of_text_is_refused(place: Place, override: str, said: str) -> None:
    if "=120" in override:
        (place.folder / "train.txt").write_text(prose(30), encoding="utf-8")
    assert said in refused(place, override)


def test_an_encoder_decoder_and_a_model_without_a_fast_tokenizer_are_refused(places: Places) -> None:
    assert "is an encoder-decoder" in refused(plain_place(places, family="t5"))
    place = plain_place(places)
    (place.folder / "model" / "tokenizer.json").unlink()
    assert "tokenizer" in refused(place)


FILES = {
    "": "no text",
    '{"txt": "a"}': "column 'text' is missing; did you mean 'txt'?",
    '{"text": "a"': "no valid JSON",
    '{"text": "\\ud800"}': "no valid JSON",
}


@pytest.mark.parametrize(("content", "said"), FILES.items(), ids=list(FILES.values()))
def test_mistakes_in_files_are_told(place: Place, content: str, said: str) -> None:
    (place.folder / "train.jsonl").write_text(content, encoding="utf-8")
    place.edit("train.txt", "train.jsonl")
    assert said in refused(place)


def test_a_task_with_prompts_needs_them_and_has_no_blocks(places: Places) -> None:
    place = places()
    place.edit('prompts:\n  - bare\n  - {name: cue, text: "{{ source }}\\nTL;DR:", shorten: source}\n', "")
    assert "key 'prompts' is missing; add it (task 'tiny_task' has bare, colon)" in refused(place)
    assert "training.block_tokens is of a task of plain text" in refused(
        place, "training.block_tokens=64", "prompts=[bare]"
    )


def test_plain_text_is_the_only_prompt_of_its_task(place: Place) -> None:
    text = 'from harness import PlainText, Task, Template\ntask = Task(name="t", data="d", metrics=["perplexity"], '
    text += 'max_target_tokens=8, prompts=[PlainText(), Template("bare", "{{ text }}")])\n'
    (place.folder / "own.py").write_text(text, encoding="utf-8")
    assert "prompts holds PlainText(...) among text, bare; it is the only prompt of its task" in refused(
        place, "task=./own.py"
    )


def test_a_task_of_ones_own(place: Place) -> None:
    text = 'from harness import PlainText, Task\ntask = Task(name="letters", data="d", metrics=["bits_per_byte"], '
    text += "max_target_tokens=8, prompts=[PlainText(block_tokens=16)])\n"
    (place.folder / "own.py").write_text(text, encoding="utf-8")
    place.edit(", block_tokens: 32", "")
    found = checked(place, "task=./own.py")
    assert found.objective == "bits_per_byte"
    assert len(ids_of(found.examples["train"])[0]) == 16


def test_embeddings_that_lack_a_token_are_told(
    places: Places, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    place = plain_place(places)
    config = place.folder / "model" / "config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps({**said, "vocab_size": 100}), encoding="utf-8")
    assert "embeddings end after 100 rows" in refused(place)


def test_a_study_of_text_is_what_it_says() -> None:
    assert len(PLAIN.splitlines()) <= 10


@given(text=st.text(st.sampled_from("a \r\n[MASK]"), max_size=200), cuts=st.lists(st.integers(1, 40), max_size=12))
def test_pieces_of_a_text_are_settled_as_the_whole_is(text: str, cuts: list[int]) -> None:
    reader: Any = SimpleNamespace(is_masked=True, tokenizer=SimpleNamespace(mask_token="[MASK]"))
    pieces, start = list[str](), 0
    for size in cuts:
        pieces.append(text[start : start + size])
        start += size
    pieces.append(text[start:])
    assert "".join(_settled(iter(pieces), reader)) == text.replace("\r\n", "\n").replace("[MASK]", "[ MASK]")


def test_a_text_may_be_one_line(place: Place) -> None:
    text = " ".join(prose(600).split())
    (place.folder / "train.txt").write_text(text)
    whole = ids_of(checked(place).examples["train"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded_files, "ROW", 100)
        patch.setattr(bounded_files, "MIB", 7)
        assert ids_of(checked(place, "generality=none").examples["train"]) == whole
    assert whole[0] == tokens(place, text)[:SIZE]
