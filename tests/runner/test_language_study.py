"""A study's languages: checked at their place in the file, on every run, in the stored model, and in what is new."""

from __future__ import annotations

import shutil

import pytest

from tests.support.multilingual_models import write_multilingual
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import predict, stored_predictions

NAMED = "model: {name: model, source_language: en_XX, target_language: ro_RO}"


def place_of(places: Places, family: str, languages: str = NAMED) -> Place:
    place = places("t5")
    shutil.rmtree(place.folder / "model")
    write_multilingual(family, place.folder / "model")
    place.edit("model: {name: model}", languages)
    return place


@pytest.mark.parametrize(
    ("family", "languages", "messages"),
    [
        ("mbart50", NAMED.replace("ro_RO", "ro_Ro"), ("study.yaml:6: ", "'ro_Ro'", "did you mean 'ro_RO'")),
        ("nllb", NAMED, ("source_language 'en_XX'", "target_language 'ro_RO'", "known: ace_Arab")),
        ("m2m100", NAMED, ("source_language 'en_XX'", "did you mean 'en'")),
    ],
)
def test_a_language_that_the_model_lacks(
    places: Places, family: str, languages: str, messages: tuple[str, ...]
) -> None:
    """By `check`; of a tokenizer that only transformers can build, when it is loaded."""
    place = place_of(places, family, languages)
    done = place.command("check" if family != "m2m100" else "show", "study.yaml")
    assert done.status == 2
    assert all(message in done.err for message in messages), done.err


def test_a_model_without_languages(places: Places) -> None:
    place = places("bart")
    place.edit("model: {name: model}", NAMED)
    done = place.command("check", "study.yaml")
    assert done.status == 2
    assert "no language codes; remove target_language" in done.err


@pytest.mark.slow
def test_languages_reach_runs_and_models_and_make_another_study(places: Places) -> None:
    place = place_of(places, "mbart50")
    options = ("--set", "tuning=[none, full]", "--set", "prompts=[bare]", "--set", "final={seeds: [5], models: cells}")
    place.run(*options)
    place.clean()
    place.count(cell=2, search=2, final=2, summary=1)
    for run in place.runs("cell"):
        assert run.data.params["model.source_language"] == "en_XX"
        assert run.data.params["model.target_language"] == "ro_RO"
    (final,) = place.runs("final", cell="bare/full")
    assert predict(place, final.info.run_id) == stored_predictions(place, final.info.run_id)
    place.run(*options)
    place.count(cell=2, search=2, final=2, summary=1)
    before = {run.info.run_id for run in place.runs("search")}
    place.edit("target_language: ro_RO", "target_language: de_DE")
    place.run(*options)
    assert sum(run.data.params["model.target_language"] == "de_DE" for run in place.runs("cell")) == 2
    assert not before & {run.info.run_id for run in place.runs("search")}
