"""A study of plain text on its whole way: checked, planned, run, reported, resumed, stored, and asked to go on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.serving.generator import Generator
from tests.support.study_fixture import Place, Places
from tests.support.text_study import plain_place
from tests.support.whole_way import succeed

pytestmark = pytest.mark.slow

OPTIONS = (
    *("--set", "tuning=[head, {last_blocks: 1}, {lora: {rank: 2}}, full]"),
    *("--set", "final.models=cells", "--set", "search.sampler=random", "--set", "data.test=12"),
)
CELLS = ("text/none", "text/head", "text/last_blocks-1", "text/lora-2", "text/full")


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    """A place in which the study was run, in two parts."""
    made = plain_place(places)
    succeed(made, "run", "study.yaml", *OPTIONS, "--cells", "text/head")
    succeed(made, "run", "study.yaml", *OPTIONS)
    return made


def model_of(place: Place, cell: str) -> str:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    (model,) = [model for model in models if model.tags["cell"] == cell]
    return str(model.model_uri)


def test_untrained_scores_are_those_of_transformers(place: Place) -> None:
    (final,) = place.runs("final", cell="text/none")
    model = AutoModelForCausalLM.from_pretrained(place.folder / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "model")
    ids = tokenizer((place.folder / "train.txt").read_text(), verbose=False)["input_ids"]
    blocks = torch.tensor(ids[: len(ids) // 32 * 32]).view(-1, 32)[-12:]
    with torch.no_grad():
        loss = model(input_ids=blocks, labels=blocks).loss.item()
    assert final.data.metrics["test/perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    scored = sum(len(tokenizer.decode(block[1:]).encode()) for block in blocks)
    assert final.data.metrics["test/bits_per_byte"] == pytest.approx(loss * 12 * 31 / math.log(2) / scored, rel=1e-5)


def test_every_depth_is_searched_trained_and_replayed(place: Place) -> None:
    table = place.table()
    assert tuple(table) == CELLS
    assert all(float(row["test_perplexity"]) > 1 for row in table.values())
    trunks = {cell: place.runs("final", cell=cell)[0].data.tags["trunk"] for cell in CELLS}
    assert trunks["text/head"] == trunks["text/last_blocks-1"] == "replayed"
    assert float(table["text/full"]["validation_perplexity"]) < float(table["text/none"]["validation_perplexity"])
    place.clean()


def test_few_test_blocks_are_continued_and_shown(place: Place) -> None:
    (final,) = place.runs("final", cell="text/full")
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    file = place.client().download_artifacts(final.info.run_id, "predictions/test.json", str(folder))
    table = json.loads(Path(file).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    continued = [row for row in rows if row["prediction"]]
    assert [row["tokens"] for row in rows] == [31] * 12
    assert 0 < len(continued) <= 8
    page = (place.folder / "reports" / "tiny" / "report.html").read_text()
    assert "All depths on blocks of test" in page
    assert continued[0]["id"] in page
    assert "Empty predictions" not in page
    assert "empty on test" not in page


def test_nothing_is_left_to_do(place: Place) -> None:
    before = {run.info.run_id for run in place.runs()}
    assert "0 runs to do" in succeed(place, "run", "study.yaml", *OPTIONS)
    assert {run.info.run_id for run in place.runs()} == before
    written = place.results()
    succeed(place, "report", "tiny")
    assert place.results() == written


def test_tokenized_texts_are_cleaned_away_with_what_all_studies_share(place: Place) -> None:
    assert "tokenized texts, which all studies here share, stay: " in succeed(place, "clean", "tiny", "--dry-run")
    assert "tokenized texts: 1, " in succeed(place, "clean", "tiny", "--dry-run", "--recordings")


def test_it_is_checked_shown_planned_and_reproduced(place: Place) -> None:
    told = succeed(place, "check", "study.yaml", *OPTIONS)
    assert "no long run of tokens stands in two splits" in told
    assert "test is the last 12 of the" in told
    shown = succeed(place, "show", "study.yaml", *OPTIONS)
    assert "prompt text (target in green)" in shown
    assert json.loads(succeed(place, "show", "study.yaml", *OPTIONS, "--json"))["prompts"][0]["prompt"] == "text"
    assert json.loads(succeed(place, "check", "study.yaml", *OPTIONS, "--json"))["splits"]["test"] == 12
    assert "text/last_blocks-1" in succeed(place, "plan", "study.yaml", *OPTIONS)
    (run,) = place.runs("final", cell="text/last_blocks-1")
    assert "the same to the last bit" in succeed(place, "reproduce", run.info.run_id)


@pytest.mark.parametrize("cell", ["text/head", "text/full", "text/lora-2"])
def test_a_stored_model_goes_on_with_a_text(place: Place, cell: str) -> None:
    asked, answers = place.folder / "asked.jsonl", place.folder / "answers.jsonl"
    texts = ["Short note about", "The meeting moved to Tuesday and the room is booked. " * 6, "a"]
    asked.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    answers.unlink(missing_ok=True)
    succeed(place, "predict", model_of(place, cell), "--input", asked.name, "--output", answers.name)
    said = [json.loads(line)["prediction"] for line in answers.read_text().splitlines()]
    assert len(said) == 3
    assert any(said)


def test_what_a_stored_model_says_is_what_transformers_says(place: Place) -> None:
    (file,) = [f for f in (place.folder / "mlruns").rglob("harness.json") if '"full"' in f.read_text().split("base")[0]]
    generator = Generator(file.parent)
    model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(file.parent)
    ids = tokenizer("Short note about the", return_tensors="pt")["input_ids"]
    output = model.generate(ids, do_sample=False, max_new_tokens=24, pad_token_id=0)
    expected = tokenizer.decode(output[0, ids.size(1) :], skip_special_tokens=True).strip()
    (said,) = generator([{"text": "Short note about the"}])
    assert said is not None
    assert expected.startswith(said)
    assert len(said) >= len(expected) - 4, "but for a character that is cut"
    assert generator.fields == ("text",)


def test_a_row_without_text_is_told(place: Place) -> None:
    asked, answers = place.folder / "none.jsonl", place.folder / "none-said.jsonl"
    asked.write_text('{"txt": "a"}\n{"text": " "}\n')
    done = place.command("predict", model_of(place, "text/full"), "--input", asked.name, "--output", answers.name)
    assert done.status == 2
    assert "column 'text' is missing; did you mean 'txt'?" in done.err


def test_text_kept_off_the_store_is_scored_all_the_same(places: Places) -> None:
    made = plain_place(places, words=500)
    options = ("--set", "tracking.texts=false", "--set", "tuning=[{last_blocks: 1}]", "--set", "data.test=3")
    succeed(made, "run", "study.yaml", *options)
    (final,) = made.runs("final", cell="text/last_blocks-1")
    file = made.client().download_artifacts(final.info.run_id, "predictions/test.json", str(made.folder))
    table = json.loads(Path(file).read_text())
    assert "source" not in table["columns"]
    assert len(table["data"]) == 3
    assert float(made.table()["text/last_blocks-1"]["test_bits_per_byte"]) > 0
    assert "Empty predictions" not in (made.folder / "reports" / "tiny" / "report.md").read_text()


def test_blocks_are_compared_in_pairs(place: Place) -> None:
    verdicts = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text())
    compared = [row for row in verdicts["comparisons"] if row["family"] == "baseline"]
    assert {row["metric"] for row in compared} == {"perplexity"}
    assert verdicts["examples"] == 12
    assert {row["a"] for row in compared} | {verdicts["baseline"]} == set(CELLS)
    assert all(np.isfinite(row["difference"]) for row in compared if row["a"] != verdicts["baseline"])


def test_the_embedded_model_goes_on_with_the_tasks_own_text(places: Places) -> None:
    made = plain_place(places)
    study = "name: tiny\ntask: text_generation\ntuning: [{last_blocks: 1}]\ntraining: {epochs: 1}\n"
    made.study.write_text(study + "search: {trials: 1}\nfinal: {seeds: [11]}\n", encoding="utf-8")
    made.run()
    table = made.table()
    none, last = (float(table[f"text/{tuning}"]["test_perplexity"]) for tuning in ("none", "last_blocks-1"))
    assert 1 < last < none
