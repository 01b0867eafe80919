"""A tuned model stored whole or as what it changed: both load as the model that was trained, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from harness.core.errors import ModelError
from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import architecture_digest
from harness.models.delta import Base, trained_digest
from harness.models.load import Loaded, load
from harness.serving.generator import Generator
from harness.serving.recipe import Recipe, Store
from harness.serving.stored_model import save_model
from harness.study.axes import Tuning
from harness.testing import tiny_model
from harness.training.evaluation import Decoding
from tests.support.first_of_kind import first_of_kind
from tests.support.hub_stand_in import Repo, answers, serving

COMMIT, LATER = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"

SCRIPT = """
import json, sys
from pathlib import Path
from harness.core.errors import ModelError
from harness.serving.generator import Generator
answers = []
for folder in json.loads(sys.argv[1]):
    try:
        answers.append(Generator(Path(folder))([{"source": "a short note"}]))
    except ModelError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""

TUNINGS = {
    "none": Tuning(kind="none"),
    "head": Tuning(kind="head"),
    "last_blocks-1": Tuning(kind="last_blocks", blocks=1),
    "full": Tuning(kind="full"),
}
FAMILIES = ("gpt2", "t5", "bart", "marian", "llama")
"""GPT-2's and T5's heads are tied; T5, BART and Marian share embeddings between their halves as well."""

ROWS = [{"source": text} for text in ("a short note", "Could you send me the report before noon?", "12 boxes")]


def tuned(folder: Path, tuning: Tuning) -> tuple[Loaded, Any]:
    """Load a model and move what a tuning trains, by other numbers everywhere; return its undoing as well."""
    loaded = load(str(folder))
    trainable = apply(loaded.model, tuning) if tuning.trains else None
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in loaded.model.parameters() if tuning.trains else ():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    loaded.model.eval()
    return loaded, trainable


def recipe(folder: Path, loaded: Loaded, tuning: Tuning, store: Store) -> Recipe:
    base = Base(
        name=str(folder),
        folder=str(folder),
        commit=None,
        dtype="float32",
        trust_remote_code=False,
        allow_pickle=False,
        weights=loaded.digest,
        architecture=architecture_digest(loaded.model),
    )
    return Recipe(
        prompt=Template("bare", "{{ source }}\n", shorten="source"),
        limits=Limits(48, 12, 8),
        decoding=Decoding(8),
        precision="fp32",
        tuning=tuning,
        base=base,
        store=store,
        weights=trained_digest(loaded, tuning),
    )


def logits(model: Any) -> torch.Tensor:
    ids = torch.randint(4, 300, (3, 12), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, **({"labels": ids.roll(1, 1)} if model.config.is_encoder_decoder else {})}
    with torch.inference_mode():
        return model.eval()(**inputs).logits


@pytest.mark.parametrize("name", first_of_kind(TUNINGS))
@pytest.mark.parametrize("family", FAMILIES)
def test_full_and_delta_load_as_what_was_trained(family: str, name: str, tmp_path: Path) -> None:
    base, tuning = tiny_model(family, tmp_path / "base"), TUNINGS[name]
    untouched = logits(load(str(base)).model)
    loaded, trainable = tuned(base, tuning)
    expected = logits(loaded.model)
    assert torch.equal(expected, untouched) == (name == "none")
    for store in ("full", "delta"):
        save_model(tmp_path / store, loaded, recipe(base, loaded, tuning, store))
        found = Generator(tmp_path / store)
        assert torch.equal(logits(found.loaded.model), expected), store
    whole, part = (Generator(tmp_path / store)(ROWS) for store in ("full", "delta"))
    assert whole == part
    auto = AutoModelForSeq2SeqLM if loaded.is_encoder_decoder else AutoModelForCausalLM
    assert torch.equal(logits(auto.from_pretrained(tmp_path / "full", dtype="float32")), expected)
    if trainable is not None:
        reset(loaded.model, trainable)
    assert torch.equal(logits(loaded.model), untouched)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["head", "last_blocks-1"])
def test_a_delta_takes_hardly_more_than_what_trained(family: str, name: str, tmp_path: Path) -> None:
    base, tuning = tiny_model(family, tmp_path / "base"), TUNINGS[name]
    loaded, trainable = tuned(base, tuning)
    save_model(tmp_path / "delta", loaded, recipe(base, loaded, tuning, "delta"))
    files = {file.name: file.stat().st_size for file in (tmp_path / "delta").iterdir()}
    trained = 4 * sum(loaded.model.get_parameter(name).numel() for name in trainable.names)
    assert trained <= files["delta.safetensors"] <= 1.1 * trained
    assert set(load_file(tmp_path / "delta" / "delta.safetensors")) == set(trainable.names)
    assert not [name for name in files if name.startswith(("model", "pytorch_model"))]
    assert "tokenizer.json" in files


def stored(tmp_path: Path, name: str = "last_blocks-1") -> tuple[Path, Path]:
    base, tuning = tiny_model("gpt2", tmp_path / "base"), TUNINGS[name]
    loaded, _ = tuned(base, tuning)
    save_model(tmp_path / "delta", loaded, recipe(base, loaded, tuning, "delta"))
    return base, tmp_path / "delta"


def test_a_changed_base_is_refused_with_both_digests(tmp_path: Path) -> None:
    base, delta = stored(tmp_path)
    then = load(str(base)).digest
    tensors = load_file(base / "model.safetensors")
    first = sorted(tensors)[0]
    tensors[first].view(-1)[0] += 1e-3
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    now = load(str(base)).digest
    with pytest.raises(ModelError) as refused:
        Generator(delta)
    assert all(part in str(refused.value) for part in (then, now, str(base), "weights", "final.store: full"))


def test_a_changed_configuration_is_refused(tmp_path: Path) -> None:
    base, delta = stored(tmp_path)
    config = base / "config.json"
    text = config.read_text()
    assert '"layer_norm_epsilon": 1e-05' in text
    config.write_text(text.replace('"layer_norm_epsilon": 1e-05', '"layer_norm_epsilon": 1e-04'))
    with pytest.raises(ModelError, match="configuration had the digest"):
        Generator(delta)


def test_a_base_that_is_gone_is_named(tmp_path: Path) -> None:
    base, delta = stored(tmp_path)
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="base"):
        Generator(delta)


def test_a_relative_base_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, delta = stored(tmp_path)
    expected = Generator(delta)(ROWS)
    file = delta / "harness.json"
    file.write_text(file.read_text().replace(f'"name": "{base}"', '"name": "base"'))
    monkeypatch.chdir(tmp_path)
    assert Generator(delta)(ROWS) == expected
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert Generator(delta)(ROWS) == expected


@pytest.mark.parametrize("damage", ["delta.safetensors", "harness.json"])
def test_a_damaged_folder_is_refused(damage: str, tmp_path: Path) -> None:
    _, delta = stored(tmp_path)
    file = delta / damage
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ModelError, match="cannot be read"):
        Generator(delta)


def test_a_delta_of_another_tuning_is_refused(tmp_path: Path) -> None:
    _, delta = stored(tmp_path)
    file = delta / "harness.json"
    file.write_text(
        file.read_text().replace('"kind": "last_blocks"', '"kind": "full"').replace('"blocks": 1', '"blocks": null')
    )
    with pytest.raises(ModelError, match="other tensors than tuning full trains"):
        Generator(delta)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")], ids=str)
@pytest.mark.parametrize("store", ["full", "delta"])
def test_stored_weights_that_are_no_numbers_are_refused_by_name(store: Store, value: float, tmp_path: Path) -> None:
    base, tuning = tiny_model("gpt2", tmp_path / "base"), TUNINGS["last_blocks-1"]
    loaded, trainable = tuned(base, tuning)
    name = trainable.names[0]
    with torch.no_grad():
        loaded.model.get_parameter(name).view(-1)[2] = value

    def stored() -> Generator:
        """A whole model is loaded back as soon as it is stored."""
        save_model(tmp_path / "stored", loaded, recipe(base, loaded, tuning, store))
        return Generator(tmp_path / "stored")

    with pytest.raises(ModelError, match=rf"{name}: 1 of \d+ as float32"):
        stored()


@pytest.mark.slow
def test_a_base_on_the_hub_is_taken_at_its_commit(tmp_path: Path) -> None:
    folders = {COMMIT: tiny_model("llama", tmp_path / "then"), LATER: tiny_model("llama", tmp_path / "now", seed=1)}
    loaded, _ = tuned(folders[COMMIT], TUNINGS["last_blocks-1"])
    made = recipe(folders[COMMIT], loaded, TUNINGS["last_blocks-1"], "delta")
    for commit in folders:
        base = made.base._replace(name="org/tiny", folder=None, commit=commit)
        save_model(tmp_path / commit, loaded, replace(made, base=base))
    save_model(tmp_path / "local", loaded, made)
    files = {commit: {path.name: path.read_bytes() for path in folder.iterdir()} for commit, folder in folders.items()}
    with serving({"org/tiny": Repo(files, {"main": LATER})}) as hub:
        asked = [str(tmp_path / commit) for commit in folders]
        at_commit, at_another = answers(SCRIPT, asked, tmp_path / "cache", HF_ENDPOINT=hub.url)
    assert at_commit == Generator(tmp_path / "local")([{"source": "a short note"}])
    assert str(at_another).endswith("or train again with final.store: full")


def rewritten(file: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def without_a_merge(tokenizer: dict[str, Any]) -> None:
    """Take a merge from a tokenizer whose vocabulary stays."""
    tokenizer["model"]["merges"].pop(0)


BASE_FILES = {
    "tokenizer": ("tokenizer.json", without_a_merge),
    "generation settings": ("generation_config.json", lambda settings: settings.update(bad_words_ids=[[300]])),
}


@pytest.mark.parametrize("what", BASE_FILES)
def test_a_base_that_reads_otherwise_is_refused(what: str, tmp_path: Path) -> None:
    base, delta = stored(tmp_path)
    name, change = BASE_FILES[what]
    rewritten(base / name, change)
    with pytest.raises(
        ModelError, match=rf"is a delta on a base whose {what} had the digest \w+ then and \w+ now; bring"
    ):
        Generator(delta)
