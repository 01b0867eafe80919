"""A stored model that was changed on disk answers nothing: neither a new file nor the rest of one that it began."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from harness.core.errors import DataError, ModelError
from harness.core.permissions import Permissions
from harness.data.template import Template
from harness.models.load import Loaded
from harness.serving.generator import SETTINGS, Generator
from harness.serving.predict import predict_file
from harness.serving.serve import serve_model
from tests.support.model_folders import folder_of
from tests.support.study_fixture import write_rows

ROWS = [{"id": i, "source": text} for i, text in enumerate(("a short note", "the meeting", "room and note", "it"))]


@pytest.fixture(scope="module")
def whole(tiny: Callable[..., Loaded], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored model; tests change copies of it."""
    return folder_of(tiny("gpt2"), tmp_path_factory.mktemp("whole"), Template("bare", "{{ source }}\n", "source"))


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def other_weights(model: Path) -> None:
    weights = load_file(model / "model.safetensors")
    first = next(iter(weights))
    save_file({**weights, first: weights[first] + 0.5}, model / "model.safetensors", metadata={"format": "pt"})


def other_tokenizer(model: Path) -> None:
    content = json.loads((model / "tokenizer.json").read_text())
    content["model"]["merges"].pop(0)
    (model / "tokenizer.json").write_text(json.dumps(content))


def other_generation(model: Path) -> None:
    file = model / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "bad_words_ids": [[300]]}))


def other_configuration(model: Path) -> None:
    file = model / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "layer_norm_epsilon": 0.1}))


CHANGES = {
    "model.safetensors is changed": other_weights,
    "tokenizer.json is changed": other_tokenizer,
    "generation_config.json is changed": other_generation,
    "config.json is changed": other_configuration,
    "tokenizer_config.json is missing": lambda model: (model / "tokenizer_config.json").unlink(),
    "added_tokens.json is new": lambda model: (model / "added_tokens.json").write_text("{}"),
}


@pytest.mark.parametrize("says", CHANGES)
def test_a_file_is_not_gone_on_with_by_another_model(says: str, model: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_rows(source, ROWS)
    predict_file(Generator(model), source, output, skip=False)
    half = b"".join(output.read_bytes().splitlines(keepends=True)[:2])
    output.write_bytes(half)
    CHANGES[says](model)
    with pytest.raises(ModelError, match=f"cannot be read as it was stored: {says}; bring these files back, or run"):
        predict_file(Generator(model), source, output, skip=False)
    assert output.read_bytes() == half
    with pytest.raises(ModelError, match=says):
        serve_model(str(model), host="127.0.0.1", port=None, token=None, tell=lambda line: None, allowed=Permissions())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_counts(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    model = Path(shutil.copytree(whole, tmp_path / "model", dirs_exist_ok=True))
    file = data.draw(st.sampled_from(sorted(path for path in model.iterdir() if path.name != SETTINGS)))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    with pytest.raises(ModelError, match=f"{file.name} is changed"):
        Generator(model)


def test_a_readme_changes_no_model(model: Path, tmp_path: Path) -> None:
    source, before, after = (tmp_path / name for name in ("in.jsonl", "before.jsonl", "after.jsonl"))
    write_rows(source, ROWS)
    predict_file(Generator(model), source, before, skip=False)
    (model / "README.md").write_text("mine")
    predict_file(Generator(model), source, after, skip=False)
    assert after.read_bytes() == before.read_bytes(), "the lines carry the model's digest"


def test_two_models_that_differ_by_the_tokenizer_have_two_digests(
    whole: Path, tiny: Callable[..., Loaded], tmp_path: Path
) -> None:
    loaded = tiny("gpt2")
    loaded.tokenizer.add_special_tokens({"additional_special_tokens": ["note"]})
    other = folder_of(loaded, tmp_path / "other", Template("bare", "{{ source }}\n", "source"))
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_rows(source, ROWS)
    predict_file(Generator(whole), source, output, skip=False)
    with pytest.raises(DataError, match="answered by model"):
        predict_file(Generator(other), source, output, skip=False)
