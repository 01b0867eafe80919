"""Lints of prompts: each is triggered by one slip, and left alone by the same prompt without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.example import Example, Split
from harness.data.chat import Chat
from harness.data.demonstrations import Demonstrations, Pick
from harness.data.template import Template
from harness.data.tokenization import PromptForm, Reader
from harness.models.load import Loaded, load
from harness.study.check import check
from harness.study.load_study import read_study
from harness.study.model_config import describe
from harness.study.prompt_language import language_of, languages_of
from harness.study.prompt_lints import LINTS, lint_prompts
from harness.study.row_lengths import Fit
from harness.study.task import load_task, packaged_tasks
from harness.study.tokenizer_without_model import light_reader
from harness.testing import tiny_model
from tests.support.chat_models import chat_model
from tests.support.study_fixture import Places, write_rows

SOURCES = [
    "The train to Berlin leaves late on Monday because of the snow",
    "Ada takes the bus to the office by the sea",
]


def rows(language: str = "en") -> dict[Split, list[Example]]:
    french = ["Le train pour Berlin part en retard lundi à cause de la neige", "Ada prend le bus pour aller au bureau"]
    sources = SOURCES if language == "en" else french
    made = [Example(f"row-{n}", {"source": text}, text[:24]) for n, text in enumerate(sources)]
    return {"train": made[:1], "validation": made[1:], "test": []}


def fit(name: str, cut: float) -> Fit:
    shares: dict[Split, float] = {"train": cut, "validation": cut}
    return Fit(name, 10, cut, 0, 100, shares, 0, 0.0, "", False, "")


CASES: dict[str, tuple[PromptForm, PromptForm]] = {
    "trailing-space": (Template("p", "{{ source }}\nSummary: "), Template("p", "{{ source }}\nSummary:")),
    "missing-cue": (Template("p", "Note: {{ source }}"), Template("p", "Note: {{ source }}\n")),
    "foreign-markers": (
        Template("p", "[INST] {{ source }} [/INST]"),
        Template("p", "[Note] {{ source }} [/Note]"),
    ),
    "leaked-labels": (
        Template("p", "Ada takes the bus at eight -> ada takes  the BUS to the\n{{ source }} ->"),
        Template("p", "Ada takes the bus at eight -> a bus\n{{ source }} ->"),
    ),
    "other-language": (
        Template("p", "Bitte fasse diesen Text in einem Satz zusammen:\n{{ source }}\n"),
        Template("p", "Please sum up this text in one sentence:\n{{ source }}\n"),
    ),
}
"""Prompts that differ in one slip; lints that go by more have tests of their own."""


def names(prompt: PromptForm, reader: Reader, cut: float = 0.0, language: str = "en") -> set[str]:
    lints = lint_prompts([prompt], [fit(prompt.name, cut)], rows(language), reader)
    assert all(lint.prompt == prompt.name and lint.advice for lint in lints)
    return {lint.name for lint in lints}


@pytest.fixture
def plain(tiny: Callable[..., Loaded]) -> Loaded:
    return tiny("gpt2")


@pytest.fixture
def chatting(tmp_path: Path) -> Loaded:
    return load(str(chat_model("smollm2", tmp_path)))


@pytest.mark.parametrize("lint", CASES)
def test_a_slip_is_told_and_nothing_else(lint: str, plain: Loaded) -> None:
    slip, well = CASES[lint]
    assert names(slip, plain) == {lint}
    assert names(well, plain) == set()


def test_a_chat_model_that_is_given_text_is_told(plain: Loaded, chatting: Loaded) -> None:
    text, chat = Template("p", "{{ source }}\nSummary:"), Chat("c", user="{{ source }}")
    assert names(text, chatting) == {"chat-model-as-text"}
    assert names(chat, chatting) == names(text, plain) == set()


def test_a_space_is_a_slip_of_a_chat_only_where_the_answer_begins(chatting: Loaded) -> None:
    assert names(Chat("c", user="{{ source }} "), chatting) == set()
    assert names(Chat("c", user="{{ source }}", assistant="Summary: "), chatting) == {"trailing-space"}
    assert names(Chat("c", user="{{ source }}", assistant="Summary:"), chatting) == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{% if source %}Note: {{ source }}\n{% endif %}", False),
        ("{{ source }}\nSummary:{# where the answer begins #}", False),
        ("{{ source }}\nSummary: {%- if true %}{% endif %}", False),
        ("{% if source %}Note: {{ source }}{% endif %}{# no cue #}", True),
    ],
)
def test_what_writes_nothing_is_no_end(text: str, told: bool, plain: Loaded) -> None:
    assert names(Template("p", text), plain) == ({"missing-cue"} if told else set())


def test_no_language_is_told_where_that_of_the_data_is_not_known(plain: Loaded) -> None:
    prompt = Template("p", "Please sum up this text in one sentence:\n{{ source }}\n")
    made = [Example("a", {"source": "12 + 3"}, "15")]
    numbers: dict[Split, list[Example]] = {"train": made, "validation": made, "test": []}
    nothing: dict[Split, list[Example]] = {"train": [], "validation": [], "test": []}
    assert lint_prompts([prompt], [], numbers, plain) == lint_prompts([prompt], [], nothing, plain) == ()


def test_markers_within_a_chat_are_told(chatting: Loaded) -> None:
    assert names(Chat("c", user="<|im_start|>user\n{{ source }}<|im_end|>"), chatting) == {"foreign-markers"}


@pytest.mark.parametrize(
    ("text", "cut", "told"),
    [
        ("{{ source }}\n\nSum up this note in one line.\n", 0.02, {"instruction-behind-cut"}),
        ("{{ source }}\n\nSum up this note in one line.\n", 0.0, set()),
        ("Sum up this note in one line.\n\n{{ source }}\nSummary:", 0.02, set()),
        ("{{ source }}\nSummary:", 0.05, set()),
        ("{{ source }}\nSummary:", 0.06, {"many-shortened"}),
    ],
)
def test_what_shortening_does_is_told(text: str, cut: float, told: set[str], plain: Loaded) -> None:
    assert names(Template("p", text, shorten="source"), plain, cut) == told


def test_an_instruction_borders_on_the_end_that_is_kept(plain: Loaded) -> None:
    text = "{{ source }}\n\nSum up this note in one line.\n"
    assert names(Template("p", text, shorten="source", keep="end"), plain, 0.02) == set()


def test_a_field_that_no_prompt_uses_is_told(plain: Loaded) -> None:
    made = [Example("a", {"source": "x", "topic": "trains"}, "t")]
    examples: dict[Split, list[Example]] = {"train": made, "validation": made}
    one, both = Template("one", "{{ source }}\n"), Template("both", "{{ topic }}: {{ source }}\n")
    assert {lint.name for lint in lint_prompts([one], [], examples, plain)} == {"unused-field"}
    assert lint_prompts([one, both], [], examples, plain) == ()
    chats = [Example("a", {"messages": [{"role": "user", "content": "x"}], "source": "x"}, "t")]
    assert lint_prompts([one], [], {"train": chats, "validation": chats}, plain) == ()


def test_a_column_that_became_a_used_field_or_the_target_is_not_told(plain: Loaded) -> None:
    one = Template("one", "{{ source }}\n")

    def told(**fields: str) -> set[str]:
        made = [
            Example(f"{n}", {"source": f"x{n}", **{k: v.format(n) for k, v in fields.items()}, "number": n}, f"t{n}")
            for n in range(2)
        ]
        return {advice for *_, advice in lint_prompts([one], [], {"train": made}, plain)}

    unused = "no prompt uses the field"
    assert any(text.startswith(f"{unused} number:") for text in told(question="x{}", answer="t{}"))
    assert any(text.startswith(f"{unused}s question, number:") for text in told(question="x0"))
    assert any(text.startswith(f"{unused}s empty, number:") for text in told(empty=""))


def test_a_prompt_in_the_language_of_sources_or_of_targets_is_fine(plain: Loaded) -> None:
    english = Template("p", "Please translate the following sentence:\n{{ source }}\n")
    assert names(english, plain, language="fr") == {"other-language"}
    french = [row.source for row in rows("fr")["train"]]
    pairs = [Example(str(n), {"source": french[0]}, text) for n, text in enumerate(SOURCES * 2)]
    assert languages_of(pairs) == {"en", "fr"}
    assert lint_prompts([english], [], {"train": pairs, "validation": pairs}, plain) == ()


@pytest.mark.parametrize(
    ("sources", "targets"),
    [
        (["Toshiba Satellite laptop", "Canon EOS DSLR", "Sony Bravia KDL"], ["laptop", "camera", "television"]),
        (["3 + 4 * 2 = ?", "17 - 5 = ?"], ["eleven", "twelve"]),
        (["CC(=O)OC1=CC=CC=C1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"], ["toxic", "non toxic"]),
    ],
    ids=["names", "sums", "formulas"],
)
def test_what_is_no_language_is_taken_for_none(sources: list[str], targets: list[str], plain: Loaded) -> None:
    made = [Example(str(n), {"source": sources[n % len(sources)]}, targets[n % len(targets)]) for n in range(50)]
    assert languages_of(made) == frozenset()
    prompt = Template("p", "Classify the text as one of the labels, and answer with the label alone.\n{{ source }}\n")
    assert lint_prompts([prompt], [], {"train": made, "validation": made}, plain) == ()


def test_a_list_of_the_labels_is_no_leak(plain: Loaded) -> None:
    labels = ["Science & Technology", "International Affairs"]
    rows = [Example(f"row-{n}", {"source": f"note {n}"}, labels[n % 2]) for n in range(8)]
    prompt = Template("p", f"One of {', '.join(labels)}, or The Weather Of Today.\n{{{{ source }}}}\n")
    examples: dict[Split, list[Example]] = {"train": rows[:4], "validation": rows[4:]}
    assert lint_prompts([prompt], [], examples, plain) == ()
    examples["test"] = [Example("other", {"source": "note 9"}, "the weather of  today")]
    (lint,) = lint_prompts([prompt], [], examples, plain)
    assert lint.advice == "it holds the target of row 'other', which are scored: take demonstrations from train alone"


@pytest.mark.parametrize(
    ("pick", "labels", "told"),
    [
        ("fixed", ["good", "bad"], {"leaked-labels"}),
        ("bm25", ["good", "bad"], set()),
        ("fixed", ["good"], set()),
        ("fixed", [f"answer {number}" for number in range(40)], set()),
    ],
)
def test_shared_demonstrations_of_one_label_are_told(
    pick: Pick, labels: list[str], told: set[str], plain: Loaded
) -> None:
    """All rows have the first label but for the others, a row each, which the draw is known to miss."""
    prompt = Template("p", "{{ source }} ->", shots=3, pick=pick)
    train = [Example(str(n), {"source": f"{SOURCES[0]} {n * 'x'}"}, labels[0]) for n in range(40)]
    drawn = {row.id for row in Demonstrations(train).picked(prompt, Example("x", {"source": "other"}, "-"))}
    missed = [number for number, row in enumerate(train) if row.id not in drawn][: len(labels) - 1]
    for number, label in zip(missed, labels[1:], strict=False):
        train[number] = replace(train[number], target=label, references=())
    if len(labels) > 3:
        train = [replace(row, target=label, references=()) for row, label in zip(train, labels, strict=True)]
    examples: dict[Split, list[Example]] = {"train": train, "validation": [Example("v", {"source": "other"}, "bad")]}
    assert {lint.name for lint in lint_prompts([prompt], [], examples, plain, Demonstrations(train))} == told


@pytest.mark.parametrize(
    ("text", "expected", "language"),
    [
        ("Resume el texto en una frase.", ["en"], "es"),
        ("Voici le texte : résumé en une ligne :", ["en"], "fr"),
        ("Translate this sentence to French please", ["en", "fr"], "en"),
        ("Question: Answer: Context: Label:", ["en"], "en"),
        ("TL;DR:", ["en"], None),
        ("1 2 3 4 5 6", ["en"], None),
    ],
)
def test_a_language_is_told_where_there_are_words_enough(text: str, expected: list[str], language: str | None) -> None:
    assert language_of(text, expected) == language


@pytest.mark.parametrize("task", packaged_tasks())
def test_the_packaged_tasks_are_clean(task: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    prompts = [prompt.name for prompt in load_task(task)[0].prompts]
    file.write_text(f"# Q\nname: clean\ntask: {task}\nprompts: {json.dumps(prompts)}\ntuning: [head]\n")
    assert check(read_study(file)).lints == ()


@pytest.mark.parametrize(("text", "told"), [("summarize: {{ source }}\n", 0), ("{{ source }}\nTL;DR:", 1)])
def test_a_prefix_that_a_model_was_trained_with_is_missed(text: str, told: int, tmp_path: Path) -> None:
    folder = tiny_model("t5", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["task_specific_params"] = {"summarization": {"prefix": "summarize: ", "max_length": 9}, "other": {}, "x": 1}
    (folder / "config.json").write_text(json.dumps(config))
    prefixes = describe(str(folder)).prefixes
    lints = lint_prompts([Template("p", text)], [], rows(), light_reader(describe(str(folder))), prefixes=prefixes)
    assert [lint.name for lint in lints] == ["missing-prefix"] * told


def test_every_lint_has_a_test() -> None:
    apart = {"missing-prefix", "chat-model-as-text", "instruction-behind-cut", "many-shortened", "unused-field"}
    assert set(CASES) | apart == set(LINTS)


def test_the_command_and_check_tell_them(places: Places) -> None:
    place = places(store=False)
    place.edit('"{{ source }}\\nTL;DR:"', '"{{ source }}\\nTL;DR: "')
    linted = place.command("lint-prompts", "study.yaml")
    assert linted.status == 0
    assert "prompt cue: it ends in a space, and what follows brings its own" in linted.out
    assert linted.out.splitlines()[-1] == "study.yaml: 1 lint"
    told = json.loads(place.command("lint-prompts", "study.yaml", "--json").out)["lints"]
    assert [(lint["name"], lint["prompt"]) for lint in told] == [("trailing-space", "cue")]
    assert "note: prompt cue: it ends in a space" in place.command("check", "study.yaml").out
    write_rows(place.folder / "data" / "train.jsonl", [])
    assert place.command("lint-prompts", "study.yaml").status == 2
