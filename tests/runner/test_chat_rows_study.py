"""A study of rows that are chats, from its check to the answers of its stored model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from harness.study.load_study import read_study
from tests.support.chat_models import chat_model
from tests.support.study_fixture import Place, Places, rows, write_rows

PLAIN_TASK = """\
from harness import Task, Template

task = Task(
    name="tiny_task",
    data="data",
    prompts=[Template("bare", "{{ source }}\\n", shorten="source")],
    metrics=["chrf", "length_ratio"],
    max_target_tokens=12,
    stop=["\\n"],
)
"""

STUDY = ("tuning=[none, head]", "search.trials=1", "final.seeds=[11]", "training.epochs=1", "final.models=cells")


def chat(row: dict[str, str]) -> dict[str, Any]:
    turns = [{"from": "system", "value": "Shorten."}, {"from": "human", "value": row["source"]}]
    return {"id": row["id"], "conversations": [*turns, {"from": "gpt", "value": row["target"]}]}


def place_of_chats(places: Places, *, store: bool = True) -> Place:
    """Return the tiny study with its rows as chats."""
    place = places(store=store)
    (place.folder / "task.py").write_text(PLAIN_TASK)
    for split in ("train", "validation", "test"):
        write_rows(place.folder / "data" / f"{split}.jsonl", [chat(row) for row in rows(split)])
    return place


def refusal(place: Place, *arguments: str) -> str:
    done = place.command("check", "study.yaml", *arguments)
    assert done.status == 2, done.out
    return " ".join(done.err.split())


def test_check_reads_chats_and_tells_what_tells_the_target(places: Places) -> None:
    place = place_of_chats(places, store=False)
    for text in ("{{ source }}\\n", "{{ messages[1].content }}", "{{ messages }}"):
        prompts = f"prompts=[{{name: own, text: '{text}'}}]"
        done = place.command("check", "study.yaml", prompts, "training.max_source_tokens=96")
        assert done.status == 0, done.err
    told = refusal(place, "prompts=[{name: own, text: '{{ source }} {{ target }}'}]")
    assert "field 'target' is undefined" in told
    # Another column with the answer in it is found as with rows of any kind.
    for split in ("train", "validation", "test"):
        some = [{**chat(row), "copy": row["target"]} for row in rows(split)]
        write_rows(place.folder / "data" / f"{split}.jsonl", some)
    shown = place.command("check", "study.yaml", "prompts=[{name: own, text: '{{ source }} {{ copy }}'}]")
    assert "holds the target word for word on 100% of rows" in " ".join(shown.out.split())


def test_a_target_in_an_earlier_turn_is_no_target(places: Places) -> None:
    """A chat that says its answer before is a note, and no fault: only the last turn is the target."""
    place = place_of_chats(places, store=False)
    for split in ("train", "validation", "test"):
        some = [chat(row) for row in rows(split)]
        for row in some:
            row["conversations"].insert(1, dict(row["conversations"][-1]))
        write_rows(place.folder / "data" / f"{split}.jsonl", some)
    done = place.command("check", "study.yaml", "prompts=[bare]")
    assert done.status == 0, done.err
    assert "holds the target word for word" in " ".join(done.out.split())


def test_faulty_chats_are_one_problem(places: Places) -> None:
    place = place_of_chats(places, store=False)
    broken = [{"id": "x", "conversations": [{"from": "human", "value": "a"}]}, *map(chat, rows("train"))]
    write_rows(place.folder / "data" / "train.jsonl", broken)
    told = refusal(place)
    assert "train row 1: column 'conversations' has no turn of an assistant" in told
    assert "1 problem" in told or told.count("conversations") == 1
    assert "data.turns is 'some'; it must be one of 'last', 'all'" in refusal(place, "data.turns=some")


def test_a_task_of_one_s_own_reads_its_chats(places: Places) -> None:
    """But where the study says which turns are targets."""
    place = place_of_chats(places, store=False)
    own = PLAIN_TASK.replace("import Task", "import Example, Task").replace(
        "    stop=",
        "    example=lambda row, id: Example(id, {'source': row['conversations'][1]['value']}, "
        "row['conversations'][-1]['value']) if 'conversations' in row else Example(id, {'source': row['source']}, "
        "row['target'].upper()),\n    stop=",
    )
    (place.folder / "task.py").write_text(own)
    for turns, target in (("null", rows("train")[0]["target"]), ("last", rows("train")[0]["target"].upper())):
        done = place.command("show", "study.yaml", f"data.turns={turns}", "prompts=[bare]", "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out)["prompts"][0]["target"] == target


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{{ source }}\\n", "{% for turn in messages %}{{ turn.content }}\\n{% endfor %}"])
def test_a_stored_model_answers_chats_as_the_study_did(places: Places, text: str) -> None:
    place = place_of_chats(places)
    prompts = json.dumps([{"name": "own", "text": text.replace("\\n", "\n")}])
    place.run(*STUDY, f"prompts={prompts}")
    asked = [chat(row) for row in rows("test")]
    spelt = [
        {
            "id": row["id"],
            "messages": [{"role": "system", "content": "Shorten."}, {"role": "user", "content": row["source"]}],
        }
        for row in rows("test")
    ]
    as_text = [{"id": row["id"], "messages": json.dumps(row["messages"])} for row in spelt]
    for model in place.client().search_logged_models([place.runs()[0].info.experiment_id]):
        file = place.client().download_artifacts(model.source_run_id, "predictions/test.json", str(place.folder))
        table = json.loads(Path(file).read_text())
        expected = [row[table["columns"].index("prediction")] for row in table["data"]]
        for content in (asked, spelt, as_text):
            write_rows(place.folder / "asked.jsonl", content)
            (place.folder / "said.jsonl").unlink(missing_ok=True)
            done = place.command("predict", model.source_run_id, "--input", "asked.jsonl", "--output", "said.jsonl")
            assert done.status == 0, done.err
            lines = (place.folder / "said.jsonl").read_text().splitlines()
            assert [json.loads(line)["prediction"] for line in lines] == expected
        write_rows(place.folder / "asked.jsonl", [{"id": "a", "messages": ["hello"]}])
        refused = place.command("predict", model.source_run_id, "--input", "asked.jsonl", "--output", "none.jsonl")
        assert refused.status == 2
        assert "turn 1 of 'messages' is 'hello'; a turn is {role, content}" in " ".join(refused.err.split())
        write_rows(place.folder / "asked.jsonl", [{"id": "a", "messages": [{"role": "assistant", "content": "b"}]}])
        refused = place.command("predict", model.source_run_id, "--input", "asked.jsonl", "--output", "none.jsonl")
        assert "column 'messages' has no turn to answer; put a user's before its end" in " ".join(refused.err.split())
        if "messages" in text:
            loaded = mlflow.pyfunc.load_model(model.artifact_location.removeprefix("file://"))
            assert list(loaded.predict(pd.DataFrame([{"messages": row["messages"]} for row in spelt]))) == expected


@pytest.mark.slow
def test_each_turn_of_a_conversation_is_one_of_a_group(places: Places) -> None:
    place = place_of_chats(places)
    for split in ("train", "validation", "test"):
        some = [chat(row) for row in rows(split)]
        for one, other in zip(some[::2], some[1::2], strict=True):
            one["conversations"] += other["conversations"][1:]
        write_rows(place.folder / "data" / f"{split}.jsonl", some[::2])
    place.run(*STUDY, "data.turns=all", "prompts=[bare]")
    file = place.client().download_artifacts(
        place.runs("final", cell="bare/head")[0].info.run_id, "predictions/test.json", str(place.folder)
    )
    table = json.loads(Path(file).read_text())
    ids = [row[table["columns"].index("id")] for row in table["data"]]
    assert ids == [f"test-{n}.{k}" for n in range(0, 8, 2) for k in (1, 2)]
    assert read_study(place.study).study.data.turns is None


@pytest.mark.slow
def test_a_chat_prompt_takes_the_turns_of_the_rows(places: Places) -> None:
    """In the study and in its stored model, with a system's turn of its own."""
    place = place_of_chats(places)
    shutil.rmtree(place.folder / "model")
    chat_model("smollm2", place.folder / "model")
    own = "prompts=[{name: own, system: Be very brief.}]"
    done = place.command("run", "study.yaml", own, *STUDY, "tuning=[head]", "training.max_source_tokens=120")
    assert done.status == 0, done.err
    (run,) = place.runs("final", cell="own/head")
    args = ("--input", "data/test.jsonl", "--output", "said.jsonl")
    done = place.command("predict", run.info.run_id, *args)
    assert done.status == 0, done.err
    said = [json.loads(line)["prediction"] for line in (place.folder / "said.jsonl").read_text().splitlines()]
    table = json.loads(Path(place.client().download_artifacts(run.info.run_id, "predictions/test.json")).read_text())
    assert said == [row[table["columns"].index("prediction")] for row in table["data"]]
    page = (place.folder / "reports" / "tiny" / "report.html").read_text()
    assert "Be very brief." in page
    assert "Shorten." not in page
