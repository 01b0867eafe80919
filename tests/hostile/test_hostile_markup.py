"""One list of texts through every page, note and command: what they say is shown, and nothing that they say is done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.core.example import Example
from harness.report.markdown import code, fenced, paragraph, table_row
from harness.report.mlflow_pages.descriptions import StudyLinks, cell_note, final_note, study_note, summary_note
from harness.report.mlflow_pages.page_views import ViewFacts, study_views
from harness.report.text.findings import find
from harness.report.write_report import write_report
from harness.results.collect import Results
from harness.stats.answers import Answered, Answers
from harness.study.search_space import Hyperparameters
from harness.tracking.mlflow.ui_views import Address
from tests.support.hostile_commands import Yard, cases, see, unseen
from tests.support.hostile_texts import ALL, TERMINAL
from tests.support.made_up_results import referenced, study
from tests.support.study_fixture import rows, write_rows

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def poisoned(text: str) -> Results:
    """Return results with a text in all that a study's author, data and model may say."""
    plain = referenced(study())
    assert plain.answers is not None

    def cell(name: str) -> str:
        return name.replace("/", f"{text}/", 1)

    examples = tuple(
        Example(example.id + text, {"source": text + example.fields["source"] + text}, example.target, (text,))
        for example in plain.answers.examples
    )
    answered = {
        cell(name): Answered(
            tuple(tuple(said._replace(text=text + said.text, id=said.id + text) for said in run) for run in one.runs),
            seeded=one.seeded,
        )
        for name, one in plain.answers.cells.items()
    }
    cells = tuple(
        replace(one, id=cell(one.id), factors={**one.factors, "prompt": one.factors["prompt"] + text})
        for one in plain.cells
    )
    return replace(
        plain,
        study="made-up" + text,
        question=" ".join((text + "?").split("\n")),
        baseline=cell(plain.baseline),
        cells=cells,
        provenance={"commit" + text: text},
        data={"origin" + text: text},
        answers=Answers(examples, answered, plain.answers.references),
        prompts={name + text: "{{ source }}\n" + text.replace("{", "(") for name in plain.prompts},
        curves={cell(name): curve for name, curve in plain.curves.items()},
        cautions=(text, f"{text} {text}"),
        leaks=(text,),
        damaged=(text,),
        settings={"name": text, "prompts": [{"text": text}], "model": {"name": text}},
    )


def notes(results: Results) -> Iterator[str]:
    findings = find(results)
    parents = {cell.id: f"run{number}" for number, cell in enumerate(results.cells)}
    prompts = {cell.prompt: "prompts:/task.bare/3" for cell in results.cells}
    views = study_views(ViewFacts("rougeL", True, {"prompt": results.cells[0].prompt, "tuning": "full"}, "11"))
    for one in (prompts, {}):
        links = StudyLinks(Address("7"), views, "summary0", parents, one, "models:/m-1")
        yield study_note(results, findings, links)
        yield summary_note(results, findings, links)
        yield from (cell_note(cell, results, findings, links) for cell in results.cells)
    yield final_note(results.cells[-1].id, "11", Hyperparameters({"learning_rate": 0.001}))


def structure(markdown: str) -> list[object]:
    """Return what a text is as Markdown, without its words: every token's kind, and where links lead."""

    def kinds(tokens: list[Token]) -> list[object]:
        shown: list[object] = []
        for token in tokens:
            target = token.attrs.get("href", token.attrs.get("src", ""))
            html = token.content if token.type.startswith("html") else ""
            shown.append((token.type, token.tag, re.sub(r"#/.*", "#/", str(target)), html))
            shown += kinds(token.children or [])
        return [one for one in shown if one != ("softbreak", "br", "", "")]

    return kinds(MARKDOWN.parse(markdown))


class _Page(HTMLParser):
    """Keeps tags with their attributes' names, and the texts between them; drawings are looked at elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.said = ""
        self._drawn = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._drawn += tag == "svg"
        if not self._drawn:
            self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._drawn -= tag == "svg"

    def handle_data(self, data: str) -> None:
        self.said += data


def parsed(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    return page


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The report and the notes with a harmless word in all these places."""
    folder, results = tmp_path_factory.mktemp("plain"), poisoned("word")
    write_report(results, folder)
    return folder, list(notes(results))


@pytest.mark.parametrize("case", cases(ALL))
def test_a_text_changes_no_page_and_no_note(case: str, plain: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, harmless = plain
    results = poisoned(ALL[case])
    write_report(results, tmp_path)
    said = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert structure(said) == structure((folder / "report.md").read_text(encoding="utf-8"))
    assert [structure(note) for note in notes(results)] == [structure(note) for note in harmless]
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = parsed(html)
    assert page.tags == parsed((folder / "report.html").read_text(encoding="utf-8")).tags
    assert not unseen(html + said + "".join(notes(results)))
    for figure in (tmp_path / "figures").glob("*.svg"):
        ElementTree.fromstring(figure.read_bytes())
    if case not in TERMINAL:
        assert "".join(ALL[case].split()) in "".join(page.said.split())


@given(st.text(st.one_of(st.characters(), st.sampled_from("`*_[]()<>#+-.!|$~\\&=:/ \n\thttpw123"))))
def test_any_text_is_one_paragraph_of_text(text: str) -> None:
    assert not unseen(paragraph(text))
    tokens = MARKDOWN.parse(f"{paragraph(text)}")
    assert [token.type for token in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"])
    inside = [token for one in tokens for token in one.children or []]
    assert {token.type for token in inside} <= {"text", "text_special"}


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_texts_are_the_cells_of_a_row(texts: list[str]) -> None:
    head = table_row(["a"] * len(texts)), table_row(["---"] * len(texts))
    tokens = MARKDOWN.parse("\n".join([*head, table_row(texts)]))
    assert sum(token.type == "td_open" for token in tokens) == len(texts)
    assert {child.type for token in tokens for child in token.children or []} <= {"text", "text_special"}


@given(st.text(min_size=1))
def test_any_text_is_code_that_ends_where_it_ends(text: str) -> None:
    (block,) = MARKDOWN.parse(fenced(text))
    assert block.type == "fence"
    if text.strip():
        (_, inline, _) = MARKDOWN.parse(f"a {code(text)} b")
        assert [child.type for child in inline.children or []] == ["text", "code_inline", "text"]


def name_of(text: str) -> str:
    """Return a text that the name of a file can be."""
    return text.replace("\0", "").replace("/", "-")


def _row(yard: Yard, **columns: object) -> None:
    write_rows(yard.work / "data" / "train.jsonl", [*rows("train"), columns])


SAYINGS: dict[str, Callable[[Yard, str], tuple[str, ...]]] = {
    "two ids": lambda yard, text: (_row(yard, id="train-0", source=text, target="b c"), ("check", "study.yaml"))[1],
    "an id": lambda yard, text: (
        write_rows(yard.work / "data" / "train.jsonl", [dict(row, id=text) for row in rows("train")]),
        ("check", "study.yaml"),
    )[1],
    "a column": lambda yard, text: (
        write_rows(yard.work / "data" / "train.jsonl", [{text: "a", "target": "b"}]),
        ("check", "study.yaml"),
    )[1],
    "a source": lambda yard, text: (_row(yard, source=text, target=text), ("check", "study.yaml"))[1],
    "a source shown": lambda yard, text: (
        write_rows(
            yard.work / "data" / "train.jsonl", [dict(row, source=text + row["source"]) for row in rows("train")]
        ),
        ("show", "study.yaml"),
    )[1],
    "a csv header": lambda yard, text: (
        (yard.work / "data" / "train.jsonl").unlink(),
        (yard.work / "data" / "train.csv").write_text(f"{text},{text}\n1,2\n", encoding="utf-8"),
        ("check", "study.yaml"),
    )[2],
    "a file of rows": lambda yard, text: (
        (yard.work / "data" / "train.jsonl").rename(yard.work / "data" / f"train.{name_of(text)[:60]}.jsonl"),
        (yard.work / "data" / "test.jsonl").write_text("{", encoding="utf-8"),
        ("check", "study.yaml"),
    )[2],
    "a kind of model": lambda yard, text: (
        (yard.work / "model" / "config.json").write_text(
            json.dumps({"model_type": text, "architectures": [text], "num_hidden_layers": text})
        ),
        ("check", "study.yaml"),
    )[1],
    "a special token": lambda yard, text: (
        (yard.work / "model" / "tokenizer_config.json").write_text(
            json.dumps({"eos_token": text, "additional_special_tokens": [text]})
        ),
        ("check", "study.yaml"),
    )[1],
    "a setting of generate": lambda yard, text: (
        (yard.work / "model" / "generation_config.json").write_text(
            json.dumps({"stop_strings": [text], text: text, "do_sample": text})
        ),
        ("check", "study.yaml"),
    )[1],
    "a prompt": lambda yard, text: (
        yard.edit("- bare\n", f"- {{name: odd, text: {json.dumps(text + '{{ source }}{{ x }}')}}}\n"),
        ("check", "study.yaml"),
    )[1],
    "a stop text": lambda yard, text: (
        yard.edit("max_new_tokens: 6", f"max_new_tokens: 6, stop: [{json.dumps(text)}]"),
        ("check", "study.yaml"),
    )[1],
    "a key": lambda yard, text: (
        yard.edit("name: tiny", f"name: tiny\n{json.dumps(text)}: 1"),
        ("check", "study.yaml"),
    )[1],
    "a column of groups": lambda yard, text: ("check", "study.yaml", "--set", f"data.group={json.dumps(text)}"),
    "a column's name": lambda yard, text: (
        "check",
        "study.yaml",
        "--set",
        f"data.columns={json.dumps({'source': text})}",
    ),
    "a model": lambda yard, text: ("check", "study.yaml", "--set", f"model.name={json.dumps('./' + text)}"),
    "a name": lambda yard, text: ("check", "study.yaml", "--set", f"name={json.dumps(text)}"),
    "a task": lambda yard, text: ("check", "study.yaml", "--set", f"task={json.dumps(text)}"),
    "a task's path": lambda yard, text: ("check", "study.yaml", "--set", f"task={json.dumps(text + '.py')}"),
    "a baseline": lambda yard, text: (
        "check",
        "study.yaml",
        "--set",
        f"final.baseline={json.dumps({'prompt': text, 'tuning': 'none'})}",
    ),
    "a metric": lambda yard, text: ("check", "study.yaml", "--set", f"search.metric={json.dumps(text)}"),
    "general text": lambda yard, text: ("check", "study.yaml", "--set", f"generality.text={json.dumps(text)}"),
    "an override": lambda yard, text: ("check", "study.yaml", "--set", name_of(text)),
    "a study's file": lambda yard, text: ("check", f"{name_of(text)}.yaml"),
    "a study's file that is there": lambda yard, text: (
        yard.study.rename(yard.work / f"{name_of(text)[:60]}.yaml"),
        ("check", f"{name_of(text)[:60]}.yaml"),
    )[1],
    "a command": lambda yard, text: (name_of(text),),
    "an option": lambda yard, text: ("check", f"--{name_of(text)}"),
    "a number": lambda yard, text: ("serve", "tiny", "--port", name_of(text)),
    "too much": lambda yard, text: ("check", "study.yaml", name_of(text)),
    "cells": lambda yard, text: ("run", "study.yaml", "--cells", name_of(text)),
    "a study to report": lambda yard, text: ("report", name_of(text)),
    "studies to compare": lambda yard, text: ("compare", name_of(text), f"tiny:{name_of(text)}"),
    "a run to do again": lambda yard, text: ("reproduce", name_of(text)),
    "a model that answers": lambda yard, text: ("predict", name_of(text), "--input", "a", "--output", "b"),
    "a model to serve": lambda yard, text: ("serve", name_of(text)),
    "a study to clean": lambda yard, text: ("clean", name_of(text)),
    "a study to look at": lambda yard, text: ("ui", name_of(text)),
    "rows to answer": lambda yard, text: ("predict", "tiny", "--input", name_of(text), "--output", name_of(text)),
    "a task that fails": lambda yard, text: (
        (yard.work / "task.py").write_text(f"raise ValueError({text!a})", encoding="utf-8"),
        ("check", "study.yaml"),
    )[1],
    "a task's example that fails": lambda yard, text: (
        (yard.work / "task.py").write_text(
            "from harness import Task, Template\n"
            f"def example(row, id):\n    raise ValueError({text!a})\n"
            "task = Task('t', 'data', [Template('bare', '{{ source }}')], ['chrf'], 9, example=example)\n",
            encoding="utf-8",
        ),
        ("check", "study.yaml"),
    )[1],
}
"""Ways for a text to reach the terminal: what is written, and the command that tells of it."""

TEXTS = {**TERMINAL, "half of a pair": "a\udc80b", "console": ALL["console"]}


@pytest.mark.parametrize("way", cases(SAYINGS))
def test_a_text_that_a_command_prints(way: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    arguments = SAYINGS[way](yard, "".join(TERMINAL.values()))
    see(yard.run(*arguments))


@pytest.mark.parametrize("case", cases(TEXTS))
def test_a_text_printed_to_another_encoding(case: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    for encoding in ("ascii", "latin-1", "utf-8"):
        said = see(yard.run("check", f"{name_of(TEXTS[case])}é±.yaml", encoding=encoding), 2)
        assert "no such study file" in said


def test_what_is_seen_is_left_as_it_is(tmp_path: Path) -> None:
    text = "Grüße, 世界 नमस्ते 👨\u200d👩\u200d👧 می\u200cخواهم ﷺ [bold] :smile: é±"
    ended = Yard(tmp_path).run("check", text)
    assert ended.status == 2
    assert ended.said.startswith(f"{text}: no such study file")
