"""What `check` says of chats: those that no run could answer are refused, each with one message at its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import Chat, Study, Template
from harness.core.errors import StudyError
from tests.support.chat_models import LAYOUTS, chat_model, with_template
from tests.support.python_study import QUICK
from tests.support.study_fixture import Place, Places, rows, write_rows

CHAT = '{name: chat, user: "{{ source }}"}'


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for layout in ("smollm2", "gemma3", "qwen3"):
        chat_model(layout, folder / layout)
    return folder


@pytest.fixture
def place(places: Places, models: Path) -> Place:
    place = places(store=False)
    shutil.rmtree(place.folder / "model")
    shutil.copytree(models / "smollm2", place.folder / "model")
    return place


def checked(place: Place, *prompts: str) -> tuple[int, str]:
    listed = ", ".join(prompts)
    done = place.command(
        "check", "study.yaml", "--set", f"prompts=[{listed}]", "--set", "training.max_source_tokens=90"
    )
    return done.status, " ".join(f"{done.out} {done.err}".split())


def test_a_model_without_a_template_is_told_once_and_text_is_no_fault_of_it(place: Place) -> None:
    with_template(place.folder / "model", None)
    status, said = checked(place, "bare", CHAT)
    assert status == 2
    assert said.count("prompt 'chat' is a chat, but the model's tokenizer has no chat template") == 1
    status, said = checked(place, "bare")
    assert status == 0
    assert "chat template" not in said


def test_text_on_a_model_with_a_template_is_hinted_at_and_runs(place: Place) -> None:
    status, said = checked(place, "bare", CHAT)
    assert status == 0
    assert "prompt bare: the model has a chat template, and this is text" in said
    status, said = checked(place, CHAT)
    assert status == 0
    assert "this is text" not in said
    assert "today's date" not in said


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ('{name: c, user: "Sum up."}', "prompt 'c' uses no field, so every row would get the same text"),
        ('{name: c, user: "{source} so"}', "write {{ source }} instead of {source}"),
        ('{name: c, user: "{{ target }}"}', "prompt 'c': field 'target' is undefined in its text"),
        ('{name: c, user: "{{ source | length > 0 }}"}', "prompt 'c' renders the same text for every row"),
        ('{name: c, system: "{{ source }}"}', "prompt 'c' takes the turns of rows that are chats, and the rows have"),
        (
            '{name: c, messages: [{role: usr, content: "{{ source }}"}]}',
            "it must be one of 'system', 'developer', 'user'",
        ),
        ('{name: c, messages: [{role: user, content: "{{ source }}", nam: x}]}', "unknown key 'nam'"),
        (
            '{name: c, user: "{{ source }}", text: "x"}',
            "prompt 'c' has a text of its own and has user; keep one of the two",
        ),
        ('{name: c, usr: "{{ source }}"}', "unknown key 'usr' in prompts.0; did you mean 'user'?"),
        ('{name: c, text: "{{ source }}", assistant: "x"}', "prompt 'c' is written by text, which knows no assistant"),
        (
            '{name: bare, assistant: "x"}',
            "prompt 'bare' takes the turns of rows that are chats, and the rows have none",
        ),
        ('{name: c, user: "{{ source }}", template_args: x}', "prompts.0.template_args is 'x'"),
        ('{name: c, user: "{{ source }}", date: 2024-13-01}', "date is a day such as 2024-07-26"),
    ],
    ids=lambda value: None,
)
def test_a_mistake_is_answered_as_in_a_text(prompt: str, message: str, place: Place) -> None:
    status, said = checked(place, prompt)
    assert (status, message in said) == (2, True), said


def test_keys_that_say_nothing_may_be_written(place: Place) -> None:
    status, said = checked(place, '{name: c, system: "S", user: "{{ source }}", assistant: null, template_args: {}}')
    assert status == 0, said


def test_a_target_that_a_turn_tells_is_refused(place: Place) -> None:
    task = place.folder / "task.py"
    shows = "def example(row, id):\n    fields = {'source': row['source'], 'hint': row['target']}\n"
    made = "    return Example(id=id, fields=fields, target=row['target'])\n\n\n"
    text = (
        task.read_text()
        .replace("import Task", "import Example, Task")
        .replace("task = Task(", shows + made + "task = Task(")
    )
    task.write_text(text.replace('stop=["\\n"]', 'stop=["\\n"], example=example'))
    status, said = checked(place, '{name: c, system: "{{ hint }}", user: "{{ source }}"}')
    assert status == 2
    assert "prompt 'c' changes with 'target', which the target is made of" in said


def test_a_chat_that_reads_another_way_in_each_process_is_refused(place: Place) -> None:
    status, said = checked(place, '{name: c, user: "{{ source }} {{ source.upper }}"}')
    assert status == 2
    assert "prompt 'c'" in said
    assert "address that changes from run to run" in said


def test_special_tokens_in_texts_and_a_doubled_begin_are_told(place: Place, models: Path) -> None:
    shutil.rmtree(place.folder / "model")
    shutil.copytree(models / "gemma3", place.folder / "model")
    train = rows("train")
    train[0]["source"] = "so <end_of_turn> it ends"
    write_rows(place.folder / "data" / "train.jsonl", train)
    status, said = checked(place, CHAT)
    assert status == 0, said
    assert "texts hold special tokens of the model, which reads them as such: field source in 1 of 40" in said
    assert "twice, by its text" not in said


@pytest.mark.parametrize("layout", ["smollm2", "gemma3", "qwen3"])
def test_what_check_counts_is_what_the_loaded_model_counts(layout: str, place: Place, models: Path) -> None:
    shutil.rmtree(place.folder / "model")
    shutil.copytree(models / layout, place.folder / "model")
    arguments = json.dumps(LAYOUTS[layout].arguments)
    study = ("--set", f'prompts=[{{name: c, user: "{{{{ source }}}}", template_args: {arguments}}}]')
    from harness.models.load import load
    from harness.study.check import check
    from harness.study.load_study import read_study
    from harness.study.recount import recount
    from harness.training.setup import TrainingSetup

    file = read_study(place.study, [*study[1:], "training.max_source_tokens=90"])
    found = check(file)
    setup = TrainingSetup(found, print)
    assert (
        recount(found, load(str(place.folder / "model")), setup.metrics, setup.encoded, setup.demonstrations).fits
        == found.fits
    )


def test_a_chat_from_python_is_the_study_files(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(place.folder)
    written = {"name": "chat", "system": "Be brief.", "user": "{{ source }}", "template_args": {"a": [1]}}
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "{{ source }}"},
    ]
    several = {"name": "several", "messages": turns, "shorten": "source"}

    def study(*prompts: Any) -> Study:
        return Study(**{**QUICK, "prompts": ["bare", *prompts]}, data={"path": "data"})  # type: ignore[arg-type]

    chats = (
        Chat("chat", system="Be brief.", user="{{ source }}", template_args={"a": [1]}),
        Chat(
            "several",
            messages=turns,
            shorten="source",  # type: ignore[arg-type]
        ),
    )
    forms = study(*chats)
    assert forms.file.study == study(written, several).file.study
    assert Template("cue", "{{ source }} so") is not None
    saved = forms.save(tmp_path / "saved.yaml")
    assert [prompt.form() for prompt in Study.load(saved).file.study.prompts] == [None, *chats]


def test_a_task_from_memory_may_have_chats(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness import Task
    from harness.study.task_from_memory import task_source

    chat = Chat("chat", messages=[{"role": "user", "content": "{{ source }}"}, {"role": "tool", "content": "x"}])  # type: ignore[arg-type]
    task = Task("t", "data", [chat], ["rougeL"], max_target_tokens=8)
    namespace: dict[str, Any] = {}
    exec(task_source(task), namespace)
    assert namespace["task"].prompts == [chat]


def test_an_error_of_python_is_told_at_its_keyword(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    with pytest.raises(StudyError, match="knows no assistant"):
        Study(**{**QUICK, "prompts": [{"name": "c", "text": "{{ source }}", "assistant": "x"}]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layout", "extra"), [("smollm2", ""), ("qwen3", 'template_args: {"enable_thinking": false}, ')]
)
def test_init_writes_a_chat_for_a_model_with_a_template(layout: str, extra: str, place: Place, models: Path) -> None:
    done = place.command("init", "fresh", "--model", str(models / layout))
    assert done.status == 0, done.err
    text = (place.folder / "fresh" / "study.yaml").read_text()
    user = "Please sum up this note in one line.\\n\\n{{ source }}"
    assert f'  - {{name: chat, user: "{user}", {extra}shorten: source}}\n' in text
    fresh = Place(place.folder / "fresh")
    done = fresh.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert "chat" in done.out


def test_init_writes_none_for_a_model_without_one(place: Place, models: Path) -> None:
    with_template(place.folder / "model", None)
    assert place.command("init", "fresh", "--model", "model").status == 0
    text = (place.folder / "fresh" / "study.yaml").read_text()
    assert "name: ../model " in text
    assert "chat" not in text
    done = place.command("init", "other", "--model", "./nowhere")
    assert done.status == 2
    assert "no such folder" in done.err
    assert not (place.folder / "other").exists()
