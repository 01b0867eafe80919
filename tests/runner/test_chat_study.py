"""A study of a text and a chat prompt, the whole way: checked, shown, run, resumed, reported, predicted, reproduced."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from harness.data.chat import Chat
from harness.tracking.mlflow.prompt_registry import prompt_of
from harness.tracking.mlflow.read_run import run_from
from harness.tracking.schema import Tags
from tests.support.chat_models import chat_model, with_template
from tests.support.study_fixture import QUICK, Place, Places, rows
from tests.support.whole_way import Way, go, predict, stored_predictions, succeed

CHAT = '{name: chat, system: "Be brief.", user: "{{ source }}?", assistant: "Note:", shorten: source, date: 2001-02-03}'
OPTIONS = (
    *("--set", f"prompts=[bare, {CHAT}]", "--set", "tuning=[none, head]", "--set", "final.models=cells"),
    *("--set", "search.metric=perplexity", "--set", "training.max_source_tokens=100", *QUICK),
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    """Return a place whose model has Llama 3's layout: a turn's end is not the end token, and it asks for the date."""
    place = places()
    shutil.rmtree(place.folder / "model")
    chat_model("llama3", place.folder / "model")
    return place


@pytest.fixture(scope="module")
def way(place: Place) -> Way:
    return go(place, *OPTIONS, part="chat/*")


def flat(text: str) -> str:
    return " ".join(text.split())


def applied(place: Place, source: str) -> list[int]:
    """Return the ids of a prompt, by transformers."""
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "model")
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"{source}?"}]
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False, date_string="03 Feb 2001")
    ids: list[int] = tokenizer(f"{text}Note:", add_special_tokens=False)["input_ids"]
    return ids


def test_check_counts_the_chat_and_tells_of_the_date_and_of_the_text(way: Way, place: Place) -> None:
    longest = max(len(applied(place, row["source"])) for row in rows("train"))
    (line,) = [line for line in way.check.splitlines() if line.split()[:1] == ["chat"]]
    assert line.split()[1] == str(longest)
    told = "the model's chat template asks for today's date: in prompt chat it is told 2001-02-03, on every day (date)."
    assert told in flat(way.check)
    assert "prompt bare: the model has a chat template, and this is text: it may answer much better in a chat" in flat(
        way.check
    )


def test_show_prints_the_ids_and_which_of_them_train(way: Way, place: Place) -> None:
    first = rows("train")[0]
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "model")
    end = tokenizer.convert_tokens_to_ids("<|eot_id|>")
    target = [*tokenizer(f" {first['target']}")["input_ids"][1:], end]
    assert f"user: {first['source']}? assistant: Note:" in flat(re.sub("[│╭╮╰╯─]", "", way.show))
    trained = " ".join(map("=".join, zip(tokenizer.convert_ids_to_tokens(target), map(str, target), strict=True)))
    assert f"trained: {trained}" in flat(way.show)
    assert "date that the model's chat template asks for: 2001-02-03" in way.show
    _, chat = json.loads(succeed(place, "show", "study.yaml", *OPTIONS, "--json"))["prompts"]
    assert chat["prompt_tokens"] == applied(place, first["source"])
    assert chat["target_tokens"] == target
    assert chat["trained"] == [False] * len(chat["prompt_tokens"]) + [True] * len(target)
    assert chat["date"] == "2001-02-03"


def test_it_is_registered_as_mlflows_own_chat_and_comes_back(
    way: Way, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = place.runs("cell", cell="chat/head")
    uri = run.data.tags["prompt_uri"]
    version = place.client().get_prompt_version(*place.client().parse_prompt_uri(uri))
    assert version.template == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "{{ source }}?"},
    ]
    said = {"assistant": "Note:", "shorten": "source", "date": "2001-02-03"}
    assert said.items() <= version.tags.items()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    again = prompt_of(uri, "chat", place.uri)
    assert again == Chat("chat", "Be brief.", "{{ source }}?", assistant="Note:", shorten="source", date="2001-02-03")
    succeed(place, "check", "study.yaml", "--set", f"prompts=[{uri}]", "--set", "training.max_source_tokens=100")


def test_the_report_and_mlflow_show_who_says_what(way: Way, place: Place) -> None:
    page = (place.folder / "reports" / "tiny" / "report.html").read_text()
    source = rows("test")[0]["source"]
    assert f"system:\nBe brief.\n\nuser:\n{source}?\n\nassistant:\nNote:" in page
    assert set(place.table()) == {f"{prompt}/{tuning}" for prompt in ("bare", "chat") for tuning in ("none", "head")}
    (run,) = place.runs("cell", cell="chat/head")
    file = place.client().download_artifacts(run.info.run_id, "prompt.jinja", str(place.folder))
    assert Path(file).read_text() == "system:\nBe brief.\n\nuser:\n{{ source }}?\n\nassistant:\nNote:"


@pytest.mark.parametrize("cell", ["chat/none", "chat/head", "bare/head"])
def test_its_stored_model_answers_as_its_final_run_did(way: Way, place: Place, cell: str) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    model = next(model for model in models if model.tags["cell"] == cell)
    (file,) = Path(model.artifact_location.removeprefix("file://")).rglob("harness.json")
    end = AutoTokenizer.from_pretrained(place.folder / "model").convert_tokens_to_ids("<|eot_id|>")
    stored = json.loads(file.read_text())
    assert stored.get("ends") == ([end] if cell.startswith("chat") else None)
    assert (file.parent / "chat_template.jinja").is_file()
    assert predict(place, model.model_uri) == stored_predictions(place, model.source_run_id)


def test_it_is_reproduced(way: Way, place: Place) -> None:
    (run, *_) = place.runs("final", cell="chat/head")
    assert "the same to the last bit" in succeed(place, "reproduce", run.info.run_id)


def test_another_word_of_the_chat_or_of_its_template_is_another_cell(way: Way, place: Place, places: Places) -> None:
    digests = _digests(place, *OPTIONS)
    for old, new in (("2001-02-03", "2001-02-04"), ("Note:", "Notes:"), ("Be brief.", "Be short.")):
        changed = _digests(place, *[option.replace(old, new) for option in OPTIONS])
        assert changed["bare/none"] == digests["bare/none"]
        assert changed["chat/none"] != digests["chat/none"]
    other = places.copy(place)
    folder = other.folder / "model"
    with_template(folder, (folder / "chat_template.jinja").read_text() + " ")
    changed = _digests(other, *OPTIONS)
    assert changed["bare/none"] == digests["bare/none"]
    assert changed["chat/none"] != digests["chat/none"]


def _digests(place: Place, *options: str) -> dict[str, str]:
    """Return by cell what tells it from any other, as a run of nothing but zero-shot cells records it."""
    succeed(place, "run", "study.yaml", *options, "--set", "tuning=[none]")
    runs = map(run_from, place.runs("final"))
    return {run.tags[Tags.CELL]: run.tags[Tags.CELL_DIGEST] for run in runs}
