"""What fine-tuning spoils: perplexity against the plain model, the section's errors, and what final runs log."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from harness.core.errors import StudyError
from harness.data.readers import read_rows
from harness.models.apply_tuning import apply, reset
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.forgetting_texts import LONGEST, SHORTEST, General, _halves, encode_texts, passage
from harness.study.load_study import read_study
from harness.study.packaged_files import packaged
from harness.training.forgetting import Forgetting
from harness.training.loss import ForwardPass
from tests.support.first_of_kind import first_of_kind
from tests.support.hub_stand_in import Repo, answers, serving
from tests.support.study_fixture import Place, Places, write_rows
from tools.world import general as world
from tools.world.datasets import evaluation_sources

SMALL = ("--set", "prompts=[bare]", "--set", "tuning=[none, head]")
"""One cell that trains, one that does not."""

OTHER_TASK = """\
from harness.study.task import Task
from harness.data.template import Template

task = Task("other", "data", [Template("ask", "{{ source }}?", shorten="source")], ["length_ratio", "chrf"], 5)
"""

PASSAGES = [
    "A short note about the meeting came late.",
    "The train left early, so the guests were there before the soup.",
    "Could you send me the small report about the room before noon?",
]


# The text that travels with the harness


def test_the_default_text_is_a_hundred_passages() -> None:
    texts = [row["text"] for row in read_rows(packaged() / "general" / "plain.txt")]
    assert 100 <= len(texts) == len(set(texts))
    assert all(40 <= len(text.split()) <= 80 and passage(text) == text for text in texts)
    assert sum(file.stat().st_size for file in (packaged() / "general").iterdir()) < 100 * 1024


def test_the_embedded_models_text_is_of_its_world_and_unseen() -> None:
    texts = [row["text"] for row in read_rows(world.FILE)]
    assert texts == world.documents()
    assert not evaluation_sources() & set(texts)
    assert all(passage(text) for text in texts)


# Passages and halves


@given(st.text(alphabet="ab \n", max_size=2 * LONGEST))
def test_a_passage_is_a_beginning_of_whole_words(text: str) -> None:
    found = passage(text)
    assert found == "" or SHORTEST <= len(found) <= LONGEST
    assert text.strip().startswith(found)
    if " " in found:
        assert found.split() == text.split()[: len(found.split())]


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=9), min_size=2, max_size=30))
def test_halves_meet_at_the_space_nearest_to_the_middle(words: list[str]) -> None:
    text = " ".join(words)
    first, second = _halves(text)
    assert f"{first} {second}" == text
    distances = {abs(len(" ".join(words[:count])) + 0.5 - len(text) / 2) for count in range(1, len(words))}
    assert abs(len(first) + 0.5 - len(text) / 2) == min(distances)


def test_a_line_break_stays_with_the_first_half() -> None:
    assert _halves("one two\n\nthree four") == ("one two\n", "three four")


# Perplexity


def plain_perplexity(loaded: Loaded, texts: list[str]) -> float:
    """Return the perplexity of second halves from the model's own forward pass, a text at a time, unpadded."""
    total, count = 0.0, 0
    for text in texts:
        cuts = [place for place, letter in enumerate(text) if letter == " "]
        cut = min(cuts, key=lambda place: abs(place + 0.5 - len(text) / 2))
        tokenizer = loaded.tokenizer
        prompt = tokenizer(text[:cut])["input_ids"]
        with torch.no_grad():
            if loaded.is_encoder_decoder:
                target = tokenizer(text_target=text[cut + 1 :])["input_ids"][:-1]
                wanted = torch.tensor([target])
                logits = loaded.model(input_ids=torch.tensor([prompt]), labels=wanted).logits[0]
            else:
                target = tokenizer(text[cut:], add_special_tokens=False)["input_ids"]
                logits = loaded.model(input_ids=torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
        total += cross_entropy(logits, torch.tensor(target), reduction="sum").item()
        count += len(target)
    return math.exp(total / count)


def measured(loaded: Loaded, texts: list[str]) -> Forgetting:
    return Forgetting(General(tuple(texts)), loaded, forward=ForwardPass(loaded.model), batch_size=16, prompts=64)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_perplexity_is_that_of_the_plain_model(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = tiny(family)
    retention = measured(loaded, PASSAGES)
    assert retention.before() == {"generality/perplexity": pytest.approx(plain_perplexity(loaded, PASSAGES), rel=1e-5)}
    trainable = apply(loaded.model, Tuning(kind="full"))
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.mul_(1.5)
    after = retention.measure()["generality/perplexity"]
    assert after == pytest.approx(plain_perplexity(loaded, PASSAGES), rel=1e-5)
    assert after != pytest.approx(retention.before()["generality/perplexity"], rel=1e-3)
    reset(loaded.model, trainable)
    assert retention.measure() == retention.before()


@pytest.mark.parametrize("family", ["gpt2", "llama", "bart"])
def test_long_texts_lose_their_end_where_the_context_is_short(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = tiny(family)
    texts = tuple(row["text"] for row in read_rows(packaged() / "general" / "plain.txt"))
    rows = encode_texts(texts, loaded).rows
    assert len(rows) == len(texts)
    for row, text in zip(rows, texts, strict=True):
        read = loaded.tokenizer.decode(row.prompt, skip_special_tokens=True)
        assert text.startswith(read)
        assert text.startswith(f"{read} {loaded.tokenizer.decode(row.target, skip_special_tokens=True).strip()}")
        assert loaded.tokenizer.eos_token_id not in row.target
        assert 30 < len(row.prompt) + len(row.target) <= (loaded.context or math.inf)


def test_a_model_that_overflows_has_an_infinite_perplexity(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("llama")
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight.mul_(1e6)
    assert measured(loaded, PASSAGES).measure() == {"generality/perplexity": math.inf}


# The section


REFUSED = {
    "{text: defalt}": "study.yaml:8: generality.text is 'defalt'; it must be default, a file (jsonl, json, csv",
    "{text: away.txt}": "study.yaml:8: generality.text 'away.txt' is no file",
    "{text: odd.jsonl}": "every row needs a column 'text' with a text; did you mean 'texts'?",
    "{text: short.txt}": "holds no text of at least 40 characters",
    "{config: en}": "generality.config and generality.revision belong to a Hub id",
    "{tasks: [translaton]}": "study.yaml:8: unknown task 'translaton'; did you mean 'translation'?",
    "{tasks: [./none.py]}": "task file './none.py' does not exist",
    "{tasks: [summarization]}": "generality.tasks names 'summarization', which the study has already",
    "{tasks: [translation, translation]}": "generality.tasks names 'translation', which the study has already",
    "{examples: 0}": "generality.examples is 0",
    "{txt: null}": "unknown key 'txt' in generality; did you mean 'text'?",
}


@pytest.mark.parametrize("section", REFUSED)
def test_the_section_is_checked(section: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "odd.jsonl", [{"texts": "a"}])
    (tmp_path / "short.txt").write_text("A heading\n\nAnother\n", encoding="utf-8")
    lines = ["# Why?", "name: s", "task: summarization", "data: {train: 8, validation: 4, test: 4}", "prompts: [bare]"]
    lines += ["tuning: [full]", "final: {seeds: []}", f"generality: {section}"]
    file = tmp_path / "study.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        check(read_study(Path("study.yaml")), test=False)
    assert REFUSED[section] in str(caught.value)


def test_text_from_the_hub_is_its_validation_split_at_a_commit(tmp_path: Path) -> None:
    script = """
import json, sys
from harness.core.errors import DataError
from harness.study.forgetting_texts import _texts
from harness.study.spec import Generality
answers = []
for fields in json.loads(sys.argv[1]):
    try:
        answers.append(_texts(Generality(**fields), embedded=False))
    except DataError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""
    rows = {split: [f"{split} {text}" for text in ["= A heading =", *PASSAGES]] for split in ("train", "validation")}
    files = {f"{s}.jsonl": "".join(json.dumps({"text": t}) + "\n" for t in rows[s]).encode() for s in rows}
    old = {"train.jsonl": files["train.jsonl"]}
    repos = {"datasets/org/texts": Repo({"a" * 40: old, "b" * 40: files}, {"main": "b" * 40, "v1": "a" * 40})}
    cases = [{"text": "org/texts", "examples": 2}, {"text": "org/texts", "revision": "v1"}, {"text": "org/text"}]
    with serving(repos) as hub:
        new, first, missing = answers(script, cases, tmp_path, HF_ENDPOINT=hub.url)
        assert hub.sent("b" * 40) == ["validation.jsonl"]
    assert new == rows["validation"][1:3]
    assert first == rows["train"][1:]
    assert missing.startswith("generality.text is read as data.hub would be: data.hub 'org/text'")


# Final runs


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    (place.folder / "other.py").write_text(OTHER_TASK, encoding="utf-8")
    place.run(*SMALL, "--set", "generality.tasks=[./other.py]", "--set", "generality.examples=7")
    return place


NAMES = [f"generality/{name}" for name in ("other/chrf", "other/length_ratio", "perplexity")]


def test_final_runs_say_what_the_model_knew_and_knows(done: Place) -> None:
    finals = done.runs("final")
    assert len({tuple(run.data.metrics[f"{name}_before"] for name in NAMES) for run in finals}) == 1
    for run in finals:
        trained = run.data.tags["cell"] == "bare/head"
        for name in NAMES:
            (point,) = done.client().get_metric_history(run.info.run_id, name)
            assert point.step == (2 if trained else 0)
        changed = [run.data.metrics[name] != run.data.metrics[f"{name}_before"] for name in NAMES]
        assert changed[-1] if trained else not any(changed)
    for run in done.runs("search"):
        assert not any(name.startswith("generality/") for name in run.data.metrics)


def test_cells_and_the_table_have_the_means(done: Place) -> None:
    for cell, row in done.table().items():
        finals, (parent,) = done.runs("final", cell=cell), done.runs("cell", cell=cell)
        for name in [*NAMES, *(f"{name}_before" for name in NAMES)]:
            mean = sum(run.data.metrics[name] for run in finals) / len(finals)
            assert parent.data.metrics[name] == pytest.approx(mean)
            assert float(row[name.replace("/", "_")]) == pytest.approx(mean)


@pytest.mark.slow
def test_another_text_does_final_runs_anew_and_no_search(done: Place, places: Places) -> None:
    place, anew = places.copy(done), places()
    searched = {run.info.run_id for run in place.runs("search")}
    for edited in (place, anew):
        (edited.folder / "text.txt").write_text("\n".join(PASSAGES), encoding="utf-8")
        edited.run(*SMALL, "--set", "generality.text=text.txt")
    assert {run.info.run_id for run in place.runs("search")} == searched
    place.clean()
    # A parent loses the other task's metrics, so it is replaced as well.
    place.count(cell=2, search=2, final=3, summary=1, superseded=2 + 3)
    assert place.results() == anew.results()
    before = place.results()
    place.run(*SMALL, "--set", "generality.text=text.txt")
    place.count(cell=2, search=2, final=3, summary=1, superseded=2 + 3)
    assert place.results() == before


@pytest.mark.parametrize("change", first_of_kind(["generality.text=null", "final.seeds=[]"]))
def test_nothing_is_measured_where_nothing_is_asked_for(change: str, places: Places) -> None:
    place = places()
    place.run(*SMALL, "--set", change)
    assert not any(name.startswith("generality/") for run in place.runs() for name in run.data.metrics)
    assert not any(column.startswith("generality") for row in place.table().values() for column in row)


def test_an_encoder_decoder_is_measured_as_well(places: Places) -> None:
    place = places("t5")
    place.run(*SMALL)
    trained = place.table()["bare/head"]
    assert 1 < float(trained["generality_perplexity_before"]) != float(trained["generality_perplexity"]) > 1
