"""Targets that no prediction can equal: told with their share, what changes and what it costs, and seldom refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import ByT5Tokenizer

from harness.core.example import SPLITS, Example, fingerprint
from harness.data.sources import read_split
from harness.metrics import get
from harness.metrics.base import Metric
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import read_study
from harness.study.model_config import Description
from harness.study.tokenizer_without_model import LightReader, light_reader
from harness.study.unequal_targets import SAMPLE, unequal_targets
from tests.support.first_of_kind import first_of_kind
from tests.support.odd_tokenizers import MADE, write_tokenizer
from tests.support.study_fixture import Place, Places, rows, write_rows

EXACT = (get("exact_match"),)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LightReader]:
    folders = {name: write_tokenizer(name, tmp_path_factory.mktemp(name)) for name in MADE}
    files = {name: folder / "tokenizer.json" for name, folder in folders.items()}
    return {name: light_reader(Description("X", True, 1, None, file)) for name, file in files.items()}


def with_targets(place: Place, change: Callable[[dict[str, str]], dict[str, object]]) -> None:
    for split in SPLITS:
        write_rows(place.folder / "data" / f"{split}.jsonl", [{**row, **change(row)} for row in rows(split)])


def with_tokenizer(place: Place, name: str) -> None:
    write_tokenizer(name, place.folder / "model")


def end_token(place: Place) -> str:
    settings = json.loads((place.folder / "model" / "tokenizer_config.json").read_text(encoding="utf-8"))
    return str(settings["eos_token"])


def checked(place: Place, monkeypatch: pytest.MonkeyPatch) -> Checked:
    monkeypatch.chdir(place.folder)
    return check(read_study(Path("study.yaml")))


@pytest.mark.parametrize(
    ("tokenizer", "target", "reads", "named"),
    [
        ("like_t5", "{note}", "note", "loses or changes characters ('{' '}')"),
        ("like_t5", "short 😀 note", "short  note", "loses or changes characters ('😀')"),
        ("like_t5", "short\nnote", "short note", r"('\n')"),
        ("like_t5", "short  note", "short note", "(' ')"),
        ("like_t5", "①", "1", "('①')"),
        ("like_t5", "note <sep> room", "note  room", "leaves out special tokens ('<sep>')"),
        ("like_t5", "note<pad>{", "note", "special tokens ('<pad>') and loses or changes characters ('{')"),
        ("like_bert", "Room", "room", "('R')"),
        ("like_bert", "(red)", "( red )", "(' ')"),
        ("like_gpt2", "note <pad> room", "note  room", "leaves out special tokens ('<pad>')"),
        ("like_gpt2", "a</s> b", "a", "'</s>'"),
    ],
)
def test_what_a_tokenizer_changes_is_shown(
    readers: dict[str, LightReader], tokenizer: str, target: str, reads: str, named: str
) -> None:
    examples = {"train": [Example("1", {}, "note"), Example("2", {}, target)], "validation": [Example("3", {}, "room")]}
    told = unequal_targets(examples, readers[tokenizer], EXACT)  # type: ignore[arg-type]
    assert told
    assert "No prediction can equal 1 of 3 targets (33%): " in told.line
    assert named in told.line
    if reads != "1":  # as the vocabulary has it
        assert f"{target!r} becomes {reads.strip()!r}" in told.line


@pytest.mark.parametrize("tokenizer", MADE)
def test_what_reads_back_is_no_matter(readers: dict[str, LightReader], tokenizer: str) -> None:
    examples = {split: [Example("1", {}, "short note"), Example("2", {}, "")] for split in SPLITS}
    assert unequal_targets(examples, readers[tokenizer], EXACT) is None  # type: ignore[arg-type]


def test_what_looks_the_same_is_shown_in_escapes(readers: dict[str, LightReader]) -> None:
    told = unequal_targets({"train": [Example("1", {}, "re\u0301sume\u0301")]}, readers["like_t5"], EXACT)
    assert told
    assert "U+0301" in told.line
    reader = readers["like_t5"]
    wide = unequal_targets({"train": [Example("1", {}, "\uff4eote")]}, reader, EXACT)
    assert wide
    assert r"'\uff4eote' becomes 'note'" in wide.line


def test_the_costs_are_what_the_metrics_give(readers: dict[str, LightReader]) -> None:
    validation = [Example("1", {}, "short note"), Example("2", {}, "{short}"), Example("3", {}, "a\nroom")]
    told = unequal_targets({"validation": validation}, readers["like_t5"], (get("exact_match"), get("token_f1")))
    assert told
    assert "2 of 3 targets (66%)" in told.line
    assert told.line.endswith("A model that knew all by heart would score exact_match 0.667 instead of 1.")
    blind = unequal_targets({"validation": validation[::2]}, readers["like_t5"], EXACT)
    assert blind
    assert blind.line.endswith("To the task's metrics it is the same.")


def test_one_reference_that_can_be_said_is_enough_for_a_row(readers: dict[str, LightReader]) -> None:
    validation = [Example("1", {}, "{short}", ("{short}", "short note")), Example("2", {}, "room")]
    told = unequal_targets({"validation": validation}, readers["like_t5"], EXACT)
    assert told
    assert "1 of 3 targets" in told.line
    assert "To the task's metrics it is the same." in told.line


def test_of_many_rows_a_sample_is_looked_at(readers: dict[str, LightReader]) -> None:
    many = [Example(str(n), {}, "{note}" if n % 2 else "note") for n in range(3 * SAMPLE)]
    told = unequal_targets({"train": many}, readers["like_t5"], EXACT)
    assert told
    assert "of 2000 targets (50%) (of at most 2,000 rows a split)" in told.line


@pytest.mark.parametrize(
    ("metrics", "hopeless"),
    [
        (("exact_match",), True),
        (("exact_match", "chrf"), False),
        (("exact_match", "perplexity"), False),
        (("exact_match", "evaluate:x"), False),
    ],
)
def test_hopeless_is_what_no_metric_tells_from_silence(
    readers: dict[str, LightReader], metrics: tuple[str, ...], hopeless: bool
) -> None:
    known: list[Metric | str] = [name if ":" in name else get(name) for name in metrics]
    examples = {split: [Example("1", {}, "{note}"), Example("2", {}, "{room}")] for split in SPLITS}
    told = unequal_targets(examples, readers["like_t5"], known)  # type: ignore[arg-type]
    assert told
    assert told.hopeless is hopeless


def test_a_study_without_hope_is_refused_and_any_other_is_not(places: Places) -> None:
    place = places("t5", store=False)
    with_tokenizer(place, "like_t5")
    with_targets(place, lambda row: {"target": f"{{{row['target']}}}"})
    task = place.folder / "task.py"
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert "caution: No prediction can equal 40 of 40 targets (100%)" in done.out
    task.write_text(task.read_text().replace('"chrf", "perplexity", "length_ratio"', '"exact_match"'))
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert "No prediction can equal 40 of 40 targets (100%)" in " ".join(done.err.split())
    done = place.command("check", "study.yaml", "--set", "search.metric=loss")
    assert done.status == 0, done.err


def test_run_and_report_repeat_it(places: Places) -> None:
    place = places()
    with_targets(place, lambda row: {"target": row["target"].replace(" ", "<pad> ")})
    done = place.run("--set", "tuning=[none]", "--set", "final.seeds=[11]")
    line = "No prediction can equal 40 of 40 targets (100%): the model's tokenizer leaves out special tokens"
    assert line in " ".join(done.out.split())
    report = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert line in report


@pytest.mark.parametrize("around", ["{}</s>", " {}\t", "{} </s></s> "])
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_ends_are_taken_off_on_both_sides(
    places: Places, monkeypatch: pytest.MonkeyPatch, family: str, around: str
) -> None:
    plain, odd = places(family, store=False), places(family, store=False)
    ended = around.replace("</s>", end_token(odd))
    with_targets(odd, lambda row: {"target": ended.format(row["target"])})
    wanted, checked_ = checked(plain, monkeypatch), checked(odd, monkeypatch)
    for split in ("train", "validation"):
        assert fingerprint(checked_.examples[split]) == fingerprint(wanted.examples[split])
    data = checked_.study.data
    test, same = (read_split(one.source, "test", data, one.task.example) for one in (checked_, wanted))
    assert fingerprint(test) == fingerprint(same)
    said = [note for note in checked_.notes if note not in wanted.notes]
    assert [note[:67] for note in said] == ["40 targets or references have white space or the end token's text '"]


def test_a_target_of_which_nothing_is_left_is_refused(places: Places) -> None:
    place = places(store=False)
    end = end_token(place)
    with_targets(place, lambda row: {"target": end if row["id"].endswith("-3") else row["target"]})
    done = place.command("check", "study.yaml")
    assert done.status == 2
    named = "; ".join(f"{split} '{split}-3'" for split in SPLITS)
    assert f"or with one of nothing but white space or the end token: 3 rows ({named})" in done.err


@pytest.mark.parametrize("others", first_of_kind([["b"], []]))
def test_references_are_stored_and_scored_as_they_were_trimmed(places: Places, others: list[str]) -> None:
    place = places()
    end = end_token(place)
    with_targets(place, lambda row: {"target": "c", "references": [f" {row['target']}{end}", *others]})
    place.run("--set", "tuning=[none]", "--set", "final.seeds=[11]")
    (run, *_) = place.runs("final")
    folder = place.folder / "fetched"
    folder.mkdir()
    table = json.loads(
        Path(place.client().download_artifacts(run.info.run_id, "predictions/test.json", str(folder))).read_text()
    )
    stored = [json.loads(row[table["columns"].index("references")]) for row in table["data"]]
    assert stored == [[row["target"], *others] for row in rows("test")]


def test_nothing_is_said_of_studies_whose_targets_read_back(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    done = checked(places(store=False), monkeypatch)
    assert not done.cautions
    assert not [note for note in done.notes if "white space" in note]


def test_a_tokenizer_that_only_transformers_can_build_is_heard_when_it_is_loaded(places: Places) -> None:
    place = places("t5")
    for file in (place.folder / "model").glob("*token*"):
        file.unlink()
    ByT5Tokenizer().save_pretrained(place.folder / "model")
    with_targets(place, lambda row: {"target": f"{row['target']}<pad>"})
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    assert "No prediction can equal" not in done.out
    done = place.run("--set", "tuning=[none]", "--set", "final.seeds=[11]")
    assert "No prediction can equal 32 of 32 targets (100%)" in " ".join(done.out.split())  # of the splits open by then
