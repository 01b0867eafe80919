"""A prompt form that only this test knows, through a whole study: one entry in the table, and no file touched.

Its text is read backwards, word by word, before the model sees it; nothing is ever shortened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from harness.core.errors import TemplateError
from harness.core.example import Example
from harness.data.prompt_forms import PROMPT_FORMS
from harness.data.template import Template
from harness.data.tokenization import Ids, Reader, Row, prompt_ids, target_ids
from harness.tracking.mlflow.prompt_registry import prompt_of
from tests.support.study_fixture import Place, Places, rows
from tests.support.whole_way import Way, go, predict, stored_predictions, succeed

PROMPT = '{name: back, backwards: "{{ source }} is what", loud: true}'
OPTIONS = (
    *("--set", f"prompts=[bare, {PROMPT}]", "--set", "tuning=[none, head]", "--set", "search.trials=1"),
    *("--set", "final.models=cells", "--set", "search.metric=perplexity"),
    *("--set", "training.max_source_tokens=100"),
)


@dataclass(frozen=True)
class Backwards:
    """A text whose words are read from the last to the first."""

    name: str
    backwards: str
    loud: bool = False

    @property
    def text(self) -> str:
        return self.backwards

    def contract(self) -> dict[str, str]:
        return {"loud": "yes"} if self.loud else {}

    def names(self) -> frozenset[str]:
        return Template(self.name, self.backwards).names()

    def validate(self, fields: Mapping[str, object]) -> None:
        Template(self.name, self.backwards).validate(fields)

    def render(self, fields: Mapping[str, str], shots: Sequence[Example] = ()) -> str:
        text = " ".join(reversed(Template(self.name, self.backwards).render(fields).split()))
        return text.upper() if self.loud else text

    def is_plain(self) -> bool:
        return False

    def reads(self, fields: Mapping[str, str], reader: Reader, shots: Sequence[Example] = ()) -> str:
        return self.render(fields)

    def ids(self, text: str, reader: Reader) -> Ids:
        return prompt_ids(reader, text)

    def ahead(self, example: Example, text: str, reader: Reader) -> tuple[list[str], list[str]]:
        return [text], []

    def ends(self, reader: Reader) -> Ids:
        return ()

    def tokenize(self, example: Example, reader: Reader, *, limit: int) -> tuple[Row, str]:
        text = self.render(example.fields)
        prompt = prompt_ids(reader, text)
        if len(prompt) > limit:
            raise TemplateError(f"prompt {self.name!r} is never shortened")
        return Row(example.id, prompt, target_ids(reader, text, example.target), truncated=False), text


@pytest.fixture(scope="module", autouse=True)
def form() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROMPT_FORMS, "backwards", Backwards)
        yield


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    return places()


@pytest.fixture(scope="module")
def way(place: Place) -> Way:
    return go(place, *OPTIONS, part="back/*")


def backwards(source: str) -> str:
    return " ".join(reversed(f"{source} is what".split())).upper()


@pytest.mark.slow
def test_check_and_show_render_it(way: Way, place: Place) -> None:
    first = rows("train")[0]
    assert f"{backwards(first['source'])} {first['target']}" in way.show
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "model")
    longest = max(len(tokenizer(backwards(row["source"]))["input_ids"]) for row in rows("train"))
    (line,) = [line for line in way.check.splitlines() if line.split()[:1] == ["back"]]
    assert line.split()[1] == str(longest)


@pytest.mark.slow
def test_it_is_registered_as_a_form_of_its_own(way: Way, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = place.runs("cell", cell="back/head")
    uri = run.data.tags["prompt_uri"]
    name, number = place.client().parse_prompt_uri(uri)
    version = place.client().get_prompt_version(name, number)
    assert version.template == "{{ source }} is what"
    assert (version.tags["form"], version.tags["loud"]) == ("backwards", "yes")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    assert isinstance(prompt_of(uri, "again", place.uri), Backwards)
    succeed(place, "check", "study.yaml", "--set", f"prompts=[{uri}]", *OPTIONS[-2:])


@pytest.mark.slow
def test_the_report_fills_it_in(way: Way, place: Place) -> None:
    page = (place.folder / "reports" / "tiny" / "report.html").read_text()
    assert backwards(rows("test")[0]["source"]) in page
    assert set(place.table()) == {f"{prompt}/{tuning}" for prompt in ("bare", "back") for tuning in ("none", "head")}


@pytest.mark.slow
def test_its_stored_model_answers_as_its_final_run_did(way: Way, place: Place) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    model = next(model for model in models if model.tags["cell"] == "back/head")
    (file,) = Path(model.artifact_location.removeprefix("file://")).rglob("harness.json")
    assert json.loads(file.read_text())["prompt"] == {"name": "back", "backwards": "{{ source }} is what", "loud": True}
    assert predict(place, model.model_uri) == stored_predictions(place, model.source_run_id)


@pytest.mark.slow
def test_it_is_reproduced(way: Way, place: Place) -> None:
    (run, *_) = place.runs("final", cell="back/head")
    assert "the same to the last bit" in succeed(place, "reproduce", run.info.run_id)


@pytest.mark.slow
def test_a_model_whose_form_is_unknown_is_refused(way: Way, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    model = next(model for model in models if model.tags["cell"] == "back/none")
    monkeypatch.delitem(PROMPT_FORMS, "backwards")
    done = place.command("predict", model.model_uri, "--input", "data/test.jsonl", "--output", "refused.jsonl")
    assert done.status == 2
    assert "backwards" in done.err
    succeed(place, "report", "tiny")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("{name: b, backwads: x}", "unknown key 'backwads' in prompts.0; did you mean 'backwards'?"),
        ("{name: b, backwards: x, shorten: source}", "written by backwards, which knows no shorten"),
        ("{name: b, backwards: x, text: y}", "has a text of its own and has backwards; keep one of the two"),
        ("{name: b, backwards: [1]}", "prompts.0.backwards is [1]; it must be a text"),
        ("{name: b, backwards: '{{ nobody }}'}", "field 'nobody' is undefined in its text"),
    ],
)
def test_a_mistake_is_answered_as_in_a_text(prompt: str, message: str, place: Place) -> None:
    done = place.command("check", "study.yaml", "--set", f"prompts=[{prompt}]")
    assert done.status == 2
    assert message in done.err
