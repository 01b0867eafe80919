"""MLflow has one list of names for prompts and registered models: a clash is told before anything trains."""

from __future__ import annotations

import pytest

from tests.support.study_fixture import Place, Places

SMALL = ("--set", "prompts=[bare]", "--set", "tuning=[none]", "--set", "final.seeds=[11]")


@pytest.fixture
def place(places: Places) -> Place:
    return places()


def refused(place: Place, *arguments: str) -> str:
    done = place.command(*arguments)
    assert done.status == 2, done
    return " ".join(done.err.split())


def no_runs(place: Place) -> bool:
    experiment = place.client().get_experiment_by_name("tiny")
    return experiment is None or not place.client().search_runs([experiment.experiment_id])


def test_a_study_that_is_called_like_a_prompt_is_refused_before_it_trains(place: Place) -> None:
    place.client().register_prompt("tiny", "{{ source }}")
    said = refused(place, "run", "study.yaml", *SMALL)
    assert "the best model cannot be registered as 'tiny': a prompt is; set final.registered_as" in said
    assert no_runs(place)
    place.run(*SMALL, "--set", "final.registered_as=small")


@pytest.mark.slow
@pytest.mark.parametrize("without", [("--set", "final.models=none"), ("--set", "final.registered_as=null")])
def test_a_study_that_registers_no_model_may_be_called_like_a_prompt(without: tuple[str, ...], place: Place) -> None:
    client = place.client()
    client.register_prompt("tiny", "{{ source }}")
    place.run(*SMALL, *without)
    assert place.runs("summary")  # the study ended
    assert client.get_prompt_version("tiny", 1).template == "{{ source }}"


@pytest.mark.slow
def test_a_prompt_that_is_called_like_a_model_is_refused_before_it_trains(place: Place) -> None:
    place.client().create_registered_model("tiny_task.bare")
    said = refused(place, "run", "study.yaml", *SMALL)
    assert "prompt 'bare' cannot be registered as 'tiny_task.bare'" in said
    assert "rename the prompt or that model" in said
    assert no_runs(place)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_task.bare", "tiny_task.cue"])
def test_a_prompt_of_the_study_itself_is_told_by_check(name: str, place: Place) -> None:
    said = refused(place, "check", "study.yaml", "--set", f"final.registered_as={name}")
    assert f"cannot be registered as '{name}': a prompt of the study is" in said


@pytest.mark.slow
def test_a_registered_prompt_that_the_study_names_is_told_by_check(place: Place) -> None:
    place.client().register_prompt("tiny", "{{ source }}")
    said = refused(place, "check", "study.yaml", "--set", "prompts=['prompts:/tiny/1']")
    assert "cannot be registered as 'tiny': a prompt of the study is" in said
