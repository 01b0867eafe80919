"""A stored model that answers by labels: in Python, on a file, over HTTP's forms, in MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.choice_rows import encode_choices
from harness.data.label_words import Label
from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models.load import Loaded
from harness.serving.generator import Generator
from harness.serving.predict import predict_file
from harness.serving.scoring_request import JSON, read_request
from harness.training.batching import loss_batches
from harness.training.choosing import chosen
from harness.training.loss import ForwardPass
from tests.support.model_folders import folder_of

LABELS = (Label("early", ("early", "in advance")), Label("cold", ("cold",)), Label("late", ("late", "left late")))
PROMPT = Template("t", "{{ source }}\nIt was", shorten="source", answers="likelihood", labels=LABELS)
TEXTS = ["the train left", "dinner", "the guests came and the room is booked", "so", "keys and boxes on their way"]


@pytest.fixture(scope="module", params=["gpt2", "t5"])
def loaded(request: pytest.FixtureRequest, tiny: Callable[..., Loaded]) -> Loaded:
    return tiny(request.param)


@pytest.fixture(scope="module")
def generator(loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator(folder_of(loaded, tmp_path_factory.mktemp("labels"), PROMPT))


def test_it_answers_as_the_study_scores(generator: Generator, loaded: Loaded) -> None:
    rows = encode_choices(
        [Example(text, {"source": text}, "cold") for text in TEXTS], PROMPT, loaded, limits=Limits(60, 20)
    ).rows
    with torch.no_grad():
        wanted = chosen(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=2), LABELS)
    asked = [{"source": text} for text in TEXTS]
    assert generator(asked) == [one.text for one in wanted]
    for found, one in zip(generator.probabilities(asked), wanted, strict=True):
        assert found == {name: pytest.approx(share, abs=1e-6) for name, share in (one.probabilities or {}).items()}
        assert sum((found or {}).values()) == pytest.approx(1)
    assert generator([{"source": "a"}, {"text": "b"}], skip=True)[1] is None
    assert generator.probabilities([{"text": "b"}], skip=True) == [None]


def test_a_file_of_answers_has_the_probabilities(generator: Generator, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"source": text}) + "\n" for text in [*TEXTS, "again"]) + '{"text": 1}\n')
    output = tmp_path / "out.jsonl"
    assert predict_file(generator, source, output, skip=True) == (6, 1, 0)
    whole = output.read_bytes()
    lines = [json.loads(line) for line in whole.splitlines()]
    assert [line["prediction"] for line in lines[:-1]] == generator([{"source": text} for text in [*TEXTS, "again"]])
    for line in lines[:-1]:
        assert line["prediction"] == max(line["probabilities"], key=line["probabilities"].__getitem__)
        assert list(line["probabilities"]) == [label.name for label in LABELS]
    assert "probabilities" not in lines[-1]
    output.write_bytes(whole[: len(whole) // 2])
    predict_file(generator, source, output, skip=True)
    assert output.read_bytes() == whole


def test_requests_ask_for_probabilities() -> None:
    body = b'{"inputs": ["a"], "params": {"probabilities": true}}'
    assert read_request(body, JSON, ["source"]).probabilities
    assert not read_request(b'{"inputs": ["a"], "params": {}}', JSON, ["source"]).probabilities
    with pytest.raises(DataError, match="parameter probabilities is 'yes'; it must be true or false"):
        read_request(body.replace(b"true", b'"yes"'), JSON, ["source"])


def test_a_model_that_writes_texts_has_none(loaded: Loaded, tmp_path: Path) -> None:
    writes = Generator(folder_of(loaded, tmp_path, Template("t", "{{ source }}:")))
    with pytest.raises(DataError, match="probabilities are of labels, but this model writes texts"):
        writes.probabilities([{"source": "a"}])
