"""Languages by the tokenizer's codes, and how answers begin: against transformers' own recipes, one row at a time."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from harness.core.errors import ModelError
from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, Row, encode
from harness.models.content_digests import architecture_digest, generation_digest
from harness.models.delta import Base
from harness.models.languages import beginning
from harness.models.load import Loaded, load
from harness.serving.generator import Generator
from harness.serving.recipe import Recipe
from harness.serving.stored_model import save_model
from harness.study.axes import Tuning
from harness.study.model_config import describe
from harness.study.tokenizer_without_model import light_reader
from harness.training.answers_begin import refuse_other_beginning
from harness.training.batching import loss_batches
from harness.training.evaluation import Decoding, generate, likelihoods, prompts_of
from harness.training.loss import ForwardPass
from tests.support.multilingual_models import MULTILINGUAL, write_multilingual
from tests.support.study_fixture import Places

NEW = 6
PROMPT = Template("cue", "{{ source }} TL;DR", shorten="source")
SOURCES = ("short note about the meeting", "it moved to Tuesday and the room is booked", "note")
EXAMPLES = [Example(str(i), {"source": text}, text[:9].strip()) for i, text in enumerate(SOURCES)]
Folders = Callable[..., Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Return ``folders(family)``: its model, written once, whose answers depend on the prompt."""
    written: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in written:
            written[family] = write_multilingual(family, tmp_path_factory.mktemp(family))
        return written[family]

    return folder


def named(family: str) -> dict[str, str]:
    made = MULTILINGUAL[family]
    return {"source_language": made.source, "target_language": made.target}


def rows_of(loaded: Loaded) -> list[Row]:
    return encode(EXAMPLES, PROMPT, loaded, limits=Limits(60, 20, NEW)).rows


def answers(loaded: Loaded) -> list[str]:
    decoding = Decoding(NEW)
    return generate(loaded, prompts_of(rows_of(loaded), loaded, decoding), decoding)


def plain(folder: Path, family: str) -> tuple[Any, Any, list[int]]:
    """Return transformers' model and tokenizer, and the token ids that an answer begins with."""
    made = MULTILINGUAL[family]
    tokenizer = AutoTokenizer.from_pretrained(folder, src_lang=made.source, tgt_lang=made.target)
    begins = tokenizer.convert_tokens_to_ids(list(made.begins))
    return AutoModelForSeq2SeqLM.from_pretrained(folder, dtype="float32").eval(), tokenizer, begins


@pytest.mark.parametrize("family", MULTILINGUAL)
def test_a_named_language_is_read_written_and_trained(folders: Folders, family: str) -> None:
    """Against the documented recipe: languages for the tokenizer, the target's token for ``generate``."""
    loaded = load(str(folders(family)), **named(family))
    model, tokenizer, begins = plain(folders(family), family)
    start, *forced = begins
    nlls = likelihoods(ForwardPass(loaded.model), loss_batches(rows_of(loaded), loaded, batch_size=2))
    for example, row, said, nll in zip(EXAMPLES, rows_of(loaded), answers(loaded), nlls, strict=True):
        ids = tokenizer(PROMPT.render(example.fields))["input_ids"]
        assert list(row.prompt) == ids
        target = tokenizer(text_target=example.target, add_special_tokens=False)["input_ids"]
        assert list(row.target) == [*forced, *target, tokenizer.eos_token_id]
        options = {"max_new_tokens": NEW, "decoder_start_token_id": start, "bos_token_id": None}
        with torch.no_grad():
            (output,) = model.generate(
                input_ids=torch.tensor([ids]), forced_bos_token_id=forced[0] if forced else None, **options
            )
            logits = model(
                input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[start, *row.target[:-1]]])
            ).logits[0]
        assert said == tokenizer.decode(output, skip_special_tokens=True).strip()
        own = torch.nn.functional.cross_entropy(logits, torch.tensor(row.target), reduction="sum")
        assert nll.nll == pytest.approx(own.item(), rel=1e-5)


@pytest.mark.parametrize("family", MULTILINGUAL)
def test_check_counts_what_the_model_reads(folders: Folders, family: str) -> None:
    folder = folders(family)
    loaded, description = load(str(folder), **named(family)), describe(str(folder))
    if description.tokenizer_file is None:
        return
    light = light_reader(description, MULTILINGUAL[family].target)
    assert light.answers.prefix == loaded.answers.prefix
    counted = [
        (len(row.prompt), len(row.target)) for row in encode(EXAMPLES, PROMPT, light, limits=Limits(60, 20)).rows
    ]
    assert counted == [(len(row.prompt), len(row.target)) for row in rows_of(loaded)]


@pytest.mark.parametrize("store", ["full", "delta"])
@pytest.mark.parametrize("family", MULTILINGUAL)
def test_a_stored_model_keeps_its_languages(folders: Folders, family: str, store: Any, tmp_path: Path) -> None:
    folder = folders(family)
    loaded = load(str(folder), **named(family))
    base = Base(
        str(folder),
        None,
        None,
        "float32",
        False,
        False,
        loaded.digest,
        architecture_digest(loaded.model),
        named(family),
    )
    parts = PROMPT, Limits(60, 20, NEW), Decoding(NEW), "fp32", Tuning(kind="none"), base, store, loaded.digest
    said = answers(loaded)
    save_model(tmp_path, loaded, Recipe(*parts))
    fields = [example.fields for example in EXAMPLES]
    assert Generator(tmp_path)(fields) == said
    if store == "full":  # as it is, for whoever loads it
        assert answers(load(str(tmp_path))) == said
        tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
        output = model.generate(**tokenizer(PROMPT.render(fields[0]), return_tensors="pt"), max_new_tokens=NEW)
        assert tokenizer.decode(output[0], skip_special_tokens=True).strip() == said[0]


@pytest.mark.parametrize("family", MULTILINGUAL)
def test_left_out_the_folder_decides(folders: Folders, family: str, tmp_path: Path) -> None:
    """By its generation settings; by its tokenizer's where they name no language."""
    made = MULTILINGUAL[family]
    asked = load(str(folders(family)), **named(family))
    shutil.copytree(folders(family), tmp_path / "settings")
    asked.model.generation_config.save_pretrained(tmp_path / "settings")
    shutil.copytree(folders(family), tmp_path / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer", src_lang=made.source, tgt_lang=made.target)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    for place in ("settings", "tokenizer"):
        loaded = load(str(tmp_path / place), source_language=made.source)
        assert beginning(loaded.model) == beginning(asked.model)
        assert rows_of(loaded) == rows_of(asked)
        assert answers(loaded) == answers(asked)
        assert generation_digest(loaded.model) == generation_digest(asked.model)


def test_another_language_is_another_model(folders: Folders) -> None:
    one, other = (load(str(folders("mbart50")), target_language=code) for code in ("ro_RO", "de_DE"))
    assert generation_digest(one.model) != generation_digest(other.model)
    assert rows_of(one) != rows_of(other)


@pytest.mark.parametrize(
    ("family", "key", "code", "message"),
    [
        ("nllb", "target_language", "ron_Lat", "target_language 'ron_Lat' is no language .* did you mean 'ron_Latn'"),
        ("m2m100", "source_language", "rom", "source_language 'rom' is no language .* did you mean 'ro'"),
        ("m2m100", "source_language", "ro", "set model.target_language to one of af, am, "),
        ("plbart", "target_language", "jav", "did you mean 'java'"),
    ],
)
def test_a_language_that_cannot_be(folders: Folders, family: str, key: str, code: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(str(folders(family)), **{key: code})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "key", "code", "message"),
    [
        ("m2m100", "target_language", "rom", "target_language 'rom' is no language .* did you mean 'ro'"),
        ("m2m100", "source_language", "ro", "set model.target_language to one of af, am, "),
        ("plbart", "source_language", "jav", "source_language 'jav' is no language .* did you mean 'java'"),
    ],
)
def test_without_a_fast_tokenizer_languages_are_known_before_anything_is_written(
    places: Places, folders: Folders, family: str, key: str, code: str, message: str
) -> None:
    place = places("t5", store=False)
    shutil.rmtree(place.folder / "model")
    shutil.copytree(folders(family), place.folder / "model")
    assert not (place.folder / "model" / "tokenizer.json").exists()
    assert place.command("check", "study.yaml", "--set", f"model.{key}={code}").status == 0
    done = place.command("run", "study.yaml", "--set", f"model.{key}={code}")
    assert done.status == 2
    assert re.search(message, " ".join(done.err.split()))
    assert not (place.folder / "mlflow.db").exists()


@pytest.mark.parametrize("family", ["t5", "bart", "marian", "llama"])
def test_a_model_without_languages_refuses_the_keys(tiny_folder: Folders, family: str) -> None:
    for key in ("source_language", "target_language"):
        with pytest.raises(ModelError, match=f"{key} is 'de_DE', but .* no language codes; remove {key}"):
            load(str(tiny_folder(family)), **{key: "de_DE"})  # type: ignore[arg-type]


def with_settings(folder: Path, source: Path, **changes: object) -> Path:
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    settings = json.loads((source / "generation_config.json").read_text()) | changes
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(("family", "begins"), [("marian", []), ("t5", []), ("bart", ["<s>"])])
def test_what_generation_forces_is_trained(
    tiny_folder: Folders, family: str, begins: list[str], tmp_path: Path
) -> None:
    usual = load(str(tiny_folder(family)))
    for forced in ("<s>", "<unk>"):
        token = usual.tokenizer.convert_tokens_to_ids(forced)
        folder = with_settings(tmp_path, tiny_folder(family), forced_bos_token_id=token)
        loaded, light = load(str(folder)), light_reader(describe(str(folder)))
        assert loaded.answers.prefix == light.answers.prefix == (token,)
        for row, plain_row in zip(rows_of(loaded), rows_of(usual), strict=True):
            assert row.target == (token, *plain_row.target[len(begins) :])
        refuse_other_beginning("x", loaded, rows_of(loaded)[0])
        (other,) = [row for row in rows_of(usual) if row.id == "0"]
        if usual.answers.prefix != (token,):
            with pytest.raises(ModelError, match="generation starts an answer with .* training with"):
                refuse_other_beginning("x", loaded, other)


@pytest.mark.parametrize("family", ["t5", "bart", "marian"])
def test_training_starts_with_what_generation_settings_say(tiny_folder: Folders, family: str, tmp_path: Path) -> None:
    loaded = load(str(with_settings(tmp_path, tiny_folder(family), decoder_start_token_id=3)))
    assert loaded.model.config.decoder_start_token_id != 3
    refuse_other_beginning("x", loaded, rows_of(loaded)[0])
    (nll, *_) = likelihoods(ForwardPass(loaded.model), loss_batches(rows_of(loaded), loaded, batch_size=1))
    row = rows_of(loaded)[0]
    with torch.no_grad():
        logits = loaded.model(
            input_ids=torch.tensor([row.prompt]), decoder_input_ids=torch.tensor([[3, *row.target[:-1]]])
        ).logits[0]
    assert nll.nll == pytest.approx(
        torch.nn.functional.cross_entropy(logits, torch.tensor(row.target), reduction="sum").item(), rel=1e-5
    )


@pytest.mark.parametrize("pad", [-1, 99999, None])
def test_a_padding_token_that_is_none_moves_nothing(tiny_folder: Folders, pad: int | None, tmp_path: Path) -> None:
    def losses(folder: Path) -> list[float]:
        loaded = load(str(folder))
        batches = loss_batches(rows_of(loaded), loaded, batch_size=3)
        return [nll.nll for nll in likelihoods(ForwardPass(loaded.model), batches)]

    folder = shutil.copytree(tiny_folder("t5"), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": pad}))
    assert losses(folder) == pytest.approx(losses(tiny_folder("t5")), rel=1e-5)


def test_an_architecture_that_starts_otherwise_is_refused(
    tiny: Callable[..., Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny("bart")

    def prompted(batch_size: int, *_: object, **kwargs: Any) -> tuple[torch.Tensor, dict[str, Any]]:
        kwargs["model_kwargs"].pop("decoder_input_ids", None)
        return torch.tensor([[2, 5]] * batch_size), kwargs["model_kwargs"]

    monkeypatch.setattr(loaded.model, "_prepare_decoder_input_ids_for_generation", prompted)
    with pytest.raises(ModelError, match="model x: generation starts an answer with </s> .*, training with </s> <s>; "):
        refuse_other_beginning("x", loaded, rows_of(loaded)[0])


@pytest.mark.parametrize("start", [None, [2, 2]])
def test_settings_that_do_not_say_what_starts_the_decoder(tiny_folder: Folders, start: object, tmp_path: Path) -> None:
    changes = {"decoder_start_token_id": start, "bos_token_id": None}
    with pytest.raises(ModelError, match="set decoder_start_token_id in its generation_config.json"):
        load(str(with_settings(tmp_path, tiny_folder("bart"), **changes)))
