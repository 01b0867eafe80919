"""A store that an early commit wrote is read, answered from and gone on with as that commit would have done.

Where tests compute anew, they expect the very bits on the processor and versions that the archive was made with; on
others, what the old store alone decides.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from tests.support.old_store import AS_WRITTEN, PLACE, unpacked
from tests.support.study_fixture import Done, Place

CHAMPION = "models:/finished@champion"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(unpacked(tmp_path / "old"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The old store for tests that leave it as it is."""
    return Place(unpacked(tmp_path_factory.mktemp("old") / "kept"))


def expected(place: Place, name: str) -> bytes:
    return (place.folder / "expected" / name).read_bytes()


def written(place: Place, study: str, name: str) -> bytes:
    return (place.folder / "reports" / study / name).read_bytes()


def commanded(place: Place, *arguments: str) -> str:
    """Run a command, see it succeed and return what it said."""
    done = place.command(*arguments)
    assert done.status == 0, done.out + done.err
    return done.out


def runs(place: Place, study: str, phase: str | None = None) -> list[Run]:
    experiment = place.client().get_experiment_by_name(study)
    assert experiment is not None
    found = place.client().search_runs([experiment.experiment_id], max_results=5000)
    return [run for run in found if phase in (None, run.data.tags["phase"])]


def phases(place: Place, study: str) -> dict[str, int]:
    return dict(Counter(run.data.tags["phase"] for run in runs(place, study)))


def is_at_home(place: Place, study: str) -> bool:
    """Return whether old and new runs of a study come from one kind of processor, and from the same versions."""
    tags = [run.data.tags for run in runs(place, study, "final")]
    names = ("processor", "version.torch", "version.transformers", "version.numpy")
    return len({tuple(each[name] for name in names) for each in tags}) == 1


def check_results(place: Place, study: str, name: str, *, but: str = "no cell") -> None:
    """See that a study's results are the expected ones, to the last byte where that can be; one cell's aside."""
    told, found = (
        b"".join(line for line in table.splitlines(keepends=True) if not line.startswith(f"{but},".encode()))
        for table in (expected(place, name), written(place, study, "results.csv"))
    )
    if is_at_home(place, study):
        assert found == told
    else:
        assert columns(found, "cell", "learning_rate", "seeds") == columns(told, "cell", "learning_rate", "seeds")


def columns(table: bytes, *names: str) -> list[list[str]]:
    return [[row[name] for name in names] for row in csv.DictReader(io.StringIO(table.decode()))]


def nearly(value: Any) -> Any:
    """Return what equals a value of JSON up to the last bits, which a processor may round otherwise."""
    if isinstance(value, dict):
        return {key: nearly(each) for key, each in value.items()}
    if isinstance(value, list):
        return [nearly(each) for each in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def test_only_models_say_where_they_were_written(place: Place) -> None:
    for file in place.folder.rglob("*"):
        if file.is_file() and file.name != AS_WRITTEN:
            assert PLACE.encode() not in file.read_bytes(), file


def test_the_report_is_the_same(place: Place) -> None:
    commanded(place, "report", "finished")
    for name in ("results.csv", "references.csv"):
        assert written(place, "finished", name) == expected(place, name), name
    told, before = json.loads(written(place, "finished", "verdicts.json")), json.loads(expected(place, "verdicts.json"))
    for key in ("best", "baseline", "split", "examples"):
        assert told[key] == before[key]
    assert differences(told) == nearly(differences(before)), "intervals and p-values are other ones by now"


def differences(verdicts: dict[str, Any]) -> dict[str, float]:
    rows = [row for row in verdicts["comparisons"] if row["family"] in ("baseline", "references")]
    return {f"{row['a']} - {row['b']}": row["difference"] for row in rows}


def test_a_comparison_is_the_same(kept: Place) -> None:
    file = kept.folder / "compared.json"
    commanded(kept, "compare", "finished:cue/head", "finished:bare/last_blocks-1", "--out", str(file))
    before = json.loads(expected(kept, "compared.json"))
    before["reason"] = None  # it came later
    told = json.loads(file.read_bytes())
    for key in ("low", "answer"):  # on the side of 0 the interval now goes as far as the test
        before[key] = told[key]
    for key in ("high", "p", "p_adjusted"):  # the spread over seeds is that of the whole study by now
        assert told[key] == pytest.approx(before[key], rel=0.2)
        before[key] = told[key]
    for side in before["sides"].values():
        if side["low"] == side["high"]:
            side["low"] = side["high"] = None  # no spread was seen
    assert told == nearly(before)


@pytest.mark.parametrize("name", [CHAMPION, "finished", "study.yaml"])
def test_answers_are_the_same(name: str, kept: Place) -> None:
    file = kept.folder / "answers.jsonl"
    file.unlink(missing_ok=True)
    commanded(kept, "predict", name, "--input", "asked.jsonl", "--output", file.name)
    assert file.read_bytes() == expected(kept, "answers.jsonl")


def test_half_a_file_of_answers_is_gone_on_with(kept: Place) -> None:
    told, file = expected(kept, "answers.jsonl"), kept.folder / "half.jsonl"
    file.write_bytes(told[: len(told) // 2])
    assert "were there" in commanded(kept, "predict", CHAMPION, "--input", "asked.jsonl", "--output", file.name)
    assert file.read_bytes() == told


def test_mlflow_loads_the_champion(kept: Place) -> None:
    mlflow.set_tracking_uri(kept.uri)
    asked = [json.loads(line) for line in (kept.folder / "asked.jsonl").read_text().splitlines()]
    told = [json.loads(line)["prediction"] for line in expected(kept, "answers.jsonl").splitlines()]
    assert any(told)
    with contextlib.chdir(kept.folder):  # its base goes by a relative name
        model = mlflow.pyfunc.load_model(CHAMPION)
    assert model.predict(pd.DataFrame({"source": [row["source"] for row in asked]})) == told


@pytest.mark.parametrize("cell", ["bare/none", "bare/last_blocks-1"])
def test_a_final_run_comes_out_the_same(cell: str, kept: Place) -> None:
    done = _reproduced(cell, kept)
    assert done.status == 0, done.out + done.err
    assert "are the same to the last bit" in done.out


def test_a_final_run_whose_answer_was_cut_inside_a_character_differs_by_that_mark_alone(kept: Place) -> None:
    """What stood there for half a character, U+FFFD, is no part of a prediction any more."""
    told = _reproduced("cue/head", kept).out.splitlines()
    apart = [line for line in told if ": then " in line and not line.startswith("changed:")]
    assert apart == [line for line in apart if "/chrf" in line]
    assert told[-1].endswith(f"{len(apart)} of 9 results differ")


def _reproduced(cell: str, kept: Place) -> Done:
    run = next(run for run in runs(kept, "finished", "final") if run.data.tags["cell"] == cell)
    done = kept.command("reproduce", run.info.run_id)
    if "changed: processor" in done.out or "changed: version." in done.out:
        pytest.skip("the archive was made on another processor or with other versions")
    return done


@pytest.mark.slow
def test_nothing_is_left_to_do(place: Place) -> None:
    before = phases(place, "finished")
    assert "6 cells, 0 runs to do" in commanded(place, "run", "study.yaml")
    assert phases(place, "finished") == before
    assert written(place, "finished", "results.csv") == expected(place, "results.csv")


@pytest.mark.slow
def test_a_killed_study_is_gone_on_with(place: Place) -> None:
    before = phases(place, "unfinished")
    assert before == {"summary": 1, "cell": 3, "search": 8, "reference": 1, "final": 3}
    assert Counter(run.info.status for run in runs(place, "unfinished", "final")) == {"FINISHED": 2, "RUNNING": 1}
    commanded(place, "run", "unfinished.yaml")
    assert phases(place, "unfinished") == {**before, "final": 5, "interrupted": 1}
    check_results(place, "unfinished", "resumed.csv")


@pytest.mark.slow
def test_a_finished_study_is_extended(place: Place) -> None:
    more = ("--set", "search.trials=3", "--set", "final.seeds=[11, 12, 13]")
    commanded(place, "run", "study.yaml", *more)
    assert phases(place, "finished")["search"] == 4 * 3
    # Two of its trials score 0: the version that wrote the store took the first, now the lower loss wins.
    check_results(place, "finished", "extended.csv", but="cue/last_blocks-1")
