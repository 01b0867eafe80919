"""Several models in one study, as far as their files tell: names, levels, what is refused, what is said of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness import Study
from harness.core.errors import StudyError
from harness.core.example import fingerprint
from harness.data.template import Template
from harness.study.cell_digests import cell_digests
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.grid import baseline_cell, cell_study, expand, neighbor
from harness.study.load_study import read_study
from harness.study.spec import StudySpec
from harness.study.study_text import study_text
from harness.testing import tiny_model
from tests.support.labelled_study import labelled_place
from tests.support.python_study import QUICK, inside
from tests.support.study_fixture import Place, Places, rows
from tests.support.two_models import with_models


def spec(**sections: Any) -> StudySpec:
    return StudySpec.model_validate({"name": "s", "task": "t", "prompts": ["a", "b"], "tuning": ["head"], **sections})


def test_a_model_is_called_by_the_last_part_of_its_name_or_as_it_is_told() -> None:
    study = spec(models=["gpt2", "org/large-model", "./folder/my model/", {"name": "org/gpt2", "as": "ours"}])
    assert [model.level for model in study.models] == ["gpt2", "large-model", "my_model", "ours"]
    assert [study.of_model(place).model.name for place in range(2)] == ["gpt2", "org/large-model"]
    assert study.of_model(3).model_dump() == spec(model={"name": "org/gpt2"}).model_dump()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"models": ["gpt2", "org/gpt2"]}, "models calls two of them gpt2; tell them apart by as: gpt2-2"),
        ({"models": ["gpt2"], "model": {"name": "gpt2"}}, "the study names model and models; keep one of the two"),
        ({"models": [{"name": "gpt2", "as": "a/b"}]}, "String should match pattern"),
        ({"models": [{"name": "gpt2", "dtpye": "float32"}]}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace(".", r"\.")):
        spec(**sections)


def test_the_axis_stands_behind_tuning_and_one_model_is_no_axis() -> None:
    prompts = [Template("a", "{{ x }}", "x"), Template("b", "b {{ x }}", "x")]
    two = spec(models=["m", {"name": "n", "dtype": "bfloat16"}], data={"train": [5, 9]})
    cells = expand(two, prompts)
    assert [cell.id for cell in cells[:8]] == [
        f"a/{tuning}/{model}/{size}" for tuning in ("none", "head") for model in ("m", "n") for size in (5, 9)
    ]
    assert cell_study(two, cells[3]).model.dtype == "bfloat16"
    assert cell_study(two, cells[3]).data.train == 9
    alone = spec(models=["n"])
    cells = expand(alone, prompts)
    assert [cell.id for cell in cells] == [cell.id for cell in expand(spec(model={"name": "n"}), prompts)]
    assert cell_study(alone, cells[0]).model.name == "n"


def test_searches_start_from_a_cell_of_their_own_model() -> None:
    study = spec(models=["m", "n"], data={"train": [5, 9]}, search={"warm_start": "neighbor"})
    cells = expand(study, [Template("a", "{{ x }}", "x"), Template("b", "b {{ x }}", "x")])
    starts = {cell.id: start.id if (start := neighbor(cell, study, cells)) else None for cell in cells}
    assert {id: start for id, start in starts.items() if "head" in id} == {
        "a/head/m/5": None,
        "a/head/m/9": "a/head/m/5",
        "a/head/n/5": None,
        "a/head/n/9": "a/head/n/5",
        "b/head/m/5": "a/head/m/5",
        "b/head/m/9": "a/head/m/9",
        "b/head/n/5": "a/head/n/5",
        "b/head/n/9": "a/head/n/9",
    }
    assert len(set(cell_digests(cells, study, {}).values())) == len(cells)


def test_a_baseline_names_its_model() -> None:
    named = {"prompt": "b", "tuning": "head", "model": "n"}
    study = spec(models=["m", "n"], final={"baseline": named})
    cells = expand(study, [Template("a", "{{ x }}", "x"), Template("b", "b {{ x }}", "x")])
    assert baseline_cell(study, cells).id == "b/head/n"
    assert (
        study.of_model(1).final.baseline == spec(final={"baseline": {"prompt": "b", "tuning": "head"}}).final.baseline
    )


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    place = with_models(places, store=False)
    tiny_model("llama", place.folder / "marked", tokenizer="sentencepiece-style")
    return place


def checked(place: Place, monkeypatch: pytest.MonkeyPatch, *options: str) -> Checked:
    monkeypatch.chdir(place.folder)
    return check(read_study(place.study, options))


def refusal(place: Place, monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    with pytest.raises(StudyError) as refused:
        checked(place, monkeypatch, *options)
    return str(refused.value)


DIFFERENT = "models=[./model, ./marked]"


def test_each_is_checked_as_a_study_of_it_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    found = checked(place, monkeypatch)
    assert list(found.models) == ["model", "small"]
    for name, folder in {"model": "./model", "small": "./models/other"}.items():
        text = place.study.read_text().replace(
            "models: [./model, {name: ./models/other, as: small}]", f"model: {{name: {folder}}}"
        )
        (place.folder / "alone.yaml").write_text(text, encoding="utf-8")
        alone = check(read_study(Path("alone.yaml")))
        assert found.models[name].fits == alone.fits
        assert found.models[name].description == alone.description
        assert found.models[name].study == alone.study
        assert fingerprint(found.examples["train"]) == fingerprint(alone.examples["train"])
    assert found.models["model"].fits != found.models["small"].fits, "they read an end token more"
    cell = next(cell for cell in found.cells if cell.id == "cue/head/small")
    assert found.of(cell) is found.models["small"]
    assert not [line for line in found.cautions if "tokenizers" in line], "both have the same vocabulary"


def test_problems_of_each_stand_at_its_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal(place, monkeypatch, "models=[./model, ./nowhere]")
    assert "nowhere" in told
    edited = place.study.read_text().replace("./models/other", "./missing")
    (place.folder / "wrong.yaml").write_text(edited, encoding="utf-8")
    with pytest.raises(StudyError, match=r"wrong\.yaml:6") as refused:
        check(read_study(Path("wrong.yaml")))
    assert len(refused.value.problems) == 1
    named = "final.baseline={prompt: cue, tuning: head, model: smal}"
    assert "final.baseline names model 'smal'; did you mean 'small'?" in refusal(place, monkeypatch, named)
    assert checked(place, monkeypatch, named.replace("smal}", "small}")).baseline.id == "cue/head/small"
    both = refusal(place, monkeypatch, 'prompts=[{name: b, text: "{{ nothing }}"}]')
    assert both.count("field 'nothing' is undefined") == 1, "what is wrong of both is said once"


def test_losses_by_the_token_do_not_rank_models_of_different_tokenizers(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in (["search.metric=perplexity"], ["search.metric=loss", "final.seeds=[]"]):
        told = refusal(place, monkeypatch, DIFFERENT, *options)
        assert "by the token, and its models have different tokenizers; rank by bits_per_byte" in told
        assert checked(place, monkeypatch, *options).models, "of one tokenizer they may"
    found = checked(place, monkeypatch, DIFFERENT, "search.metric=loss")
    assert [line for line in found.cautions if line.startswith("Models have different tokenizers")]


def test_models_that_would_read_other_rows_are_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = with_models(places, store=False)
    other = AutoTokenizer.from_pretrained(place.folder / "models" / "other")
    for file in (place.folder / "data").glob("*.jsonl"):
        file.write_text(file.read_text().replace('"}\n', f'{other.eos_token}"}}\n'), encoding="utf-8")
    assert checked(place, monkeypatch).models, "both end with it"
    other.eos_token = other.bos_token or "<s>"
    other.save_pretrained(place.folder / "models" / "other")
    told = refusal(place, monkeypatch)
    assert "models model and small would read other rows: their targets end with an end token of one of them" in told


def test_models_from_memory_are_saved_with_their_study(places: Places) -> None:
    place = with_models(places)
    pair = (
        AutoModelForCausalLM.from_pretrained(place.folder / "model"),
        AutoTokenizer.from_pretrained(place.folder / "model"),
    )
    sections = {key: value for key, value in QUICK.items() if key != "model"}
    held = {split: rows(split) for split in ("train", "validation", "test")}
    with inside(place):
        study = Study(**sections, models=[{"name": pair, "as": "held"}, "./models/other"], data=held)
        assert repr(study) == "Study('tiny', 2 prompts x 3 tunings x 2 models)"
        first = study.check()
        study.save("saved/study.yaml")
        written = yaml.safe_load(Path("saved/study.yaml").read_text(encoding="utf-8"))
        assert written["models"] == [{"name": "./study-model-1", "as": "held"}, {"name": "../models/other"}]
        again = Study.load("saved/study.yaml").check()
    assert [cell.id for cell in again.cells] == [cell.id for cell in first.cells]
    assert [*again.models] == ["held", "other"]
    assert again.models["held"].fits == first.models["held"].fits
    whole = StudySpec.model_validate(yaml.safe_load(study_text(study.file.study, defaults=True)))
    assert whole.models == study.file.study.models


def test_models_of_a_base_file_are_where_that_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place_of_base = place.folder / "bases"
    place_of_base.mkdir()
    text = place.study.read_text(encoding="utf-8").replace("./", "../").replace("path: data", "path: ../data")
    text = text.replace("[../model,", "[../model, {name: ../marked},")
    (place_of_base / "base.yaml").write_text(text, encoding="utf-8")
    (place.folder / "longer.yaml").write_text("extends: bases/base.yaml\nname: longer\n", encoding="utf-8")
    monkeypatch.chdir(place.folder)
    file = read_study(Path("longer.yaml"))
    assert [model.name for model in file.study.models] == ["model", "marked", "models/other"]
    found = check(file, test=False)
    assert list(found.models) == ["model", "marked", "small"]
    assert yaml.safe_load(file.text)["models"][0] == "model"


def test_labels_are_chosen_by_models_of_any_kind_and_their_losses_compared(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = labelled_place(places, store=False)
    tiny_model("bert", place.folder / "models" / "bert")  # one token more: its mask
    place.edit("model: {name: model}", "models: [./model, ./models/bert]")
    monkeypatch.chdir(place.folder)
    made = check(read_study(place.study, ("search.metric=loss", "final.seeds=[]")))
    assert not [caution for caution in made.cautions if "tokenizers" in caution]
    with pytest.raises(StudyError) as caught:
        check(read_study(place.study, ("prompts=[{name: m, text: '{{ source }} It was {{ mask }}.'}]",)))
    (problem,) = caught.value.problems
    assert problem.message.startswith("model: train example 'train-0': prompt 'm' uses {{ mask }}")
