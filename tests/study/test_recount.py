"""Tokens counted by the model's own tokenizer, and tokens that its embeddings lack."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import transformers

from harness.core.errors import DataError, ModelError
from harness.core.example import SPLITS, Example
from harness.data.template import Template
from harness.data.tokenization import Limits, Row, encode
from harness.models.load import Loaded
from harness.study.check import check
from harness.study.load_study import read_study
from harness.study.model_config import describe
from harness.study.recount import Recount, recount
from harness.study.tokenizer_without_model import light_reader
from harness.training.setup import TrainingSetup
from tests.support.chat_models import chat_model
from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import WORDS, Place, Places, rows, write_rows

SHORT = ("--set", "tuning=[none]", "--set", "final.seeds=[11]", "--set", "generality.text=null")

BERT_ROLES = {
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "mask_token": "<unk>",
}


def with_targets(place: Place, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    for split in SPLITS:
        write_rows(place.folder / "data" / f"{split}.jsonl", [{**row, **change(row)} for row in rows(split)])


def settings_of(folder: Path, **settings: Any) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def said(text: str) -> str:
    return " ".join(text.split())


# --- tokenizers that only transformers can build


def as_gpt2(folder: Path) -> None:
    """Leave a vocabulary and its merges."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]))
    (folder / "tokenizer.json").unlink()
    settings_of(folder, tokenizer_class="GPT2Tokenizer")


def as_bert(folder: Path) -> None:
    """Leave a list of word pieces, one a line: each letter is one."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["<pad>", "<s>", "</s>", "<unk>", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    (folder / "tokenizer.json").unlink()
    settings_of(folder, tokenizer_class="BertTokenizer", **BERT_ROLES)


def as_sentencepiece(folder: Path) -> None:
    """Leave a trained model of sentencepiece."""
    (folder / "text.txt").write_text("\n".join(WORDS * 9))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=40,
        model_type="bpe",
        minloglevel=2,
        unk_id=3,
        bos_id=1,
        eos_id=2,
        pad_id=0,
        unk_piece="<unk>",
        pad_piece="<pad>",
    )
    (folder / "tokenizer.json").unlink()
    settings_of(folder, tokenizer_class="LlamaTokenizer")


def by_bytes(folder: Path) -> None:
    """Leave nothing: a byte is a token."""
    (folder / "tokenizer.json").unlink()
    shutil.rmtree(folder / "tokenizer_config.json", ignore_errors=True)
    transformers.ByT5Tokenizer().save_pretrained(folder)


@pytest.mark.slow
def test_a_chat_goes_with_a_tokenizer_that_only_transformers_can_build(places: Places) -> None:
    place = places("gpt2")
    folder = place.folder / "model"
    shutil.rmtree(folder)
    chat_model("smollm2", folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    as_gpt2(folder)
    added = {str(token.pop("id")): token for token in tokenizer["added_tokens"]}
    settings_of(folder, added_tokens_decoder=added)
    prompts = 'prompts=[{name: c, user: "{{ source }}", assistant: "So:"}, {name: t, text: "{{ source }} :"}]'
    args = ("study.yaml", "--set", prompts, "--set", "training.max_source_tokens=90")
    done = place.command("check", *args)
    assert done.status == 0, done.err
    assert "chat template" not in said(done.out + done.err)  # which files alone do not say
    done = place.command("run", *args, *SHORT)
    assert done.status == 0, done.err


@pytest.mark.parametrize("left", first_of_kind([as_gpt2, as_bert, as_sentencepiece, by_bytes]))
def test_rows_are_counted_when_only_transformers_can(places: Places, left: Callable[[Path], None]) -> None:
    place = places("t5" if left is by_bytes else "gpt2")
    left(place.folder / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(place.folder / "model")
    special = {"add_special_tokens": False}
    lengths = [len(tokenizer(row["target"], **special)["input_ids"]) for row in rows("train")]
    limit = sorted(lengths)[len(lengths) // 2]
    dropped = sum(length > limit for length in lengths)

    limits = ("--set", f"training.max_target_tokens={limit}")
    checked = place.command("check", "study.yaml", *limits)
    assert checked.status == 0, checked.err
    assert "note: the model has no tokenizer.json: its tokens are counted when it is loaded." in said(checked.out)
    assert "dropped, since" not in checked.out
    assert said(checked.out).count("? ? ?") == 2

    done = place.command("run", "study.yaml", *SHORT, *limits)
    assert done.status == 0, done.err
    assert 0 < dropped < 24
    assert f"caution: {dropped} of 24 training rows ({dropped / 24:.0%}) are dropped" in said(done.out)


def test_what_check_would_have_refused_is_refused_before_anything_is_written(places: Places) -> None:
    place = places(store=False)
    as_gpt2(place.folder / "model")
    done = place.command("run", "study.yaml", "--set", "training.max_target_tokens=1")
    assert done.status == 2
    assert "each of the 24 training targets takes more than 1 tokens" in said(done.err)
    assert not (place.folder / "mlflow.db").exists()


# --- tokenizer.json is not all that there is to a tokenizer


def test_padding_and_truncation_that_were_left_on_change_nothing(
    tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder("qwen3"), tmp_path / "model")
    plain = light_reader(describe(str(folder))).tokenizer
    fast = transformers.AutoTokenizer.from_pretrained(folder)
    fast("hi", padding="max_length", max_length=7, truncation=True)
    fast.save_pretrained(folder)
    assert {"padding", "truncation"} <= {
        key for key, value in json.loads((folder / "tokenizer.json").read_text()).items() if value
    }
    odd = light_reader(describe(str(folder))).tokenizer
    for text in ("hi", "a much longer text that goes on and on, past any limit"):
        assert odd(text) == plain(text) == {"input_ids": fast(text)["input_ids"]}


def recounted(place: Place, monkeypatch: pytest.MonkeyPatch) -> Recount:
    monkeypatch.chdir(place.folder)
    checked = check(read_study(Path("study.yaml")))
    setup = TrainingSetup(checked, lambda text: None)
    found = recount(checked, setup.loaded, setup.metrics, setup.encoded, setup.demonstrations)
    assert [fit.prompt for fit in found.fits] == [fit.prompt for fit in checked.fits]
    return found


@pytest.mark.parametrize("kind", ["RobertaTokenizer", "GemmaTokenizer"])
def test_a_tokenizer_that_reads_otherwise_than_its_file_is_told(
    places: Places, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = places("t5", store=False)
    folder = place.folder / "model"
    texts = [f"{row['source']}\nTL;DR:" for row in rows("train")]
    light = max(len(transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]) for text in texts)
    settings_of(folder, tokenizer_class=kind)  # its class makes steps of its own of the vocabulary
    own = max(len(transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]) for text in texts)
    found = recounted(place, monkeypatch)
    assert own != light
    assert found.fits[1].longest == own
    assert f"of prompt cue the longest takes {own} tokens (not {light})" in found.cautions[1]


def test_what_its_own_steps_make_of_targets_is_told_too(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places("t5", store=False)
    # It knows hardly any of the words' pieces.
    settings_of(place.folder / "model", tokenizer_class="BertTokenizer", **BERT_ROLES)
    last = recounted(place, monkeypatch).cautions[-1]
    assert "No prediction can equal 31 of 32 targets (96%): the model's tokenizer loses or changes characters" in last


@pytest.mark.parametrize("role", ["cls_token", "sep_token"])
def test_other_tokens_are_told_where_there_are_as_many(
    places: Places, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    place = places("bart", store=False)
    folder = place.folder / "model"
    text = f"{rows('train')[0]['source']}\nTL;DR:"
    light = transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    roles = {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<unk>", role: "<unk>"}
    settings_of(folder, tokenizer_class="RobertaTokenizer", **roles)  # it puts its own roles around a text
    own = transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    assert len(own) == len(light)
    assert own != light
    for prompt, caution in zip(("bare", "cue"), recounted(place, monkeypatch).cautions, strict=False):
        assert f"rows of prompt {prompt} become other tokens, the longest as many" in caution


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3", "t5", "bart", "marian"])
def test_one_that_reads_as_its_file_is_not(places: Places, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    assert not recounted(places(family, store=False), monkeypatch).cautions


def test_a_configuration_that_hides_an_encoder_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places("t5", store=False)
    file = place.folder / "model" / "config.json"
    config = json.loads(file.read_text())
    del config["is_encoder_decoder"]
    file.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="says nothing of is_encoder_decoder, which is true for this architecture"):
        recounted(place, monkeypatch)


# --- tokens without a row in the embeddings


def added(folder: Path, token: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([token])
    tokenizer.save_pretrained(folder)


REMEDY = "but the model's embeddings end after 508 rows; use the tokenizer that was saved with the weights"


@pytest.mark.parametrize("family", ["gpt2", "t5", "bart"])
@pytest.mark.parametrize(
    ("change", "prompt", "named"),
    [
        (lambda row: {"source": row["source"] + " <sum>"}, None, "prompt 'cue' holds the token '<sum>' (id 508)"),
        (lambda row: {"target": row["target"] + "<sum>"}, None, "its target holds the token '<sum>' (id 508)"),
        (lambda row: {}, "{{ source }}\\n<sum>:", "prompt 'cue' holds the token '<sum>' (id 508)"),
    ],
)
def test_check_names_token_and_row(
    places: Places, family: str, change: Callable[[dict[str, str]], dict[str, str]], prompt: str | None, named: str
) -> None:
    place = places(family, store=False)
    added(place.folder / "model", "<sum>")
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err  # nobody uses it
    with_targets(place, change)
    if prompt:
        place.edit("{{ source }}\\nTL;DR:", prompt)
    for command in ("check", "run"):
        done = place.command(command, "study.yaml")
        assert done.status == 2
        assert f"example 'train-0': {named}, {REMEDY}" in said(done.err)


def test_a_single_row_is_found_in_any_split(places: Places) -> None:
    place = places(store=False)
    added(place.folder / "model", "<sum>")
    odd = {"id": "odd", "source": "a <sum> note", "target": "note"}
    write_rows(place.folder / "data" / "test.jsonl", [*rows("test"), odd])
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert "example 'odd': prompt 'bare' holds the token '<sum>'" in said(done.err)


def test_without_a_fast_tokenizer_loading_finds_it(places: Places) -> None:
    place = places("t5", store=False)
    folder = place.folder / "model"
    by_bytes(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<more {number}>" for number in range(len(tokenizer), 509)])
    tokenizer.save_pretrained(folder)
    with_targets(place, lambda row: {"source": row["source"] + " <more 508>"})
    assert place.command("check", "study.yaml").status == 0
    done = place.command("run", "study.yaml")
    assert done.status == 2
    assert f"holds the token '<more 508>' (id 508), {REMEDY}" in said(done.err)


def test_each_half_has_rows_of_its_own(tiny: Callable[..., Loaded]) -> None:
    loaded, examples = tiny("t5"), [Example("1", {"source": "noon"}, "keys")]

    def encoded(*embedding_rows: Any) -> Row:
        reader = loaded._replace(embedding_rows=embedding_rows)
        return encode(examples, Template("t", "{{ source }}"), reader, limits=Limits(9, 9)).rows[0]

    row = encoded(508, 508)
    source, target = max(row.prompt), max(row.target)
    assert encoded(source + 1, target + 1) == row
    with pytest.raises(DataError, match="prompt 't' holds"):
        encoded(source, 508)
    with pytest.raises(DataError, match="its target holds"):
        encoded(508, target)
