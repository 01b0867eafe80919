"""A study that travels: on a machine without its files it is the same study, or a sentence says what is missing."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from harness.core.errors import ModelError, TaskError
from harness.core.example import fingerprint
from harness.runner.study import Study
from harness.study.checked_study import Checked
from harness.study.shipped_study import Shipped, arrived, shipped
from tests.support.study_fixture import Place, Places, rows

LOSS = """\
def mine(batch):
    return batch.token_losses.mean()
"""


def checked_in(place: Place, monkeypatch: pytest.MonkeyPatch, *keys: str) -> Checked:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    return Study.load("study.yaml", keys).checked


def sent(checked: Checked) -> Shipped:
    found: Shipped = pickle.loads(pickle.dumps(shipped(checked)))
    return found


def text_in(text: str, pickled: bytes) -> bool:
    """Return whether a short text stands in a pickle, by itself."""
    return bytes([0x8C, len(text)]) + text.encode() in pickled


def elsewhere(place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to another folder, where a machine that reaches the model alone would be."""
    for name in ("task.py", "study.yaml", "losses.py", "other.py"):
        (place.folder / name).unlink(missing_ok=True)
    (place.folder / "data").rename(folder / "data that nobody finds")
    here = folder / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def test_it_is_the_same_study_where_its_files_are_not(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    (place.folder / "losses.py").write_text(LOSS, encoding="utf-8")
    checked = checked_in(place, monkeypatch, "training.loss=losses.py:mine", "tuning=[none, head, {lora: {rank: 2}}]")
    found = sent(checked)
    here = elsewhere(place, tmp_path, monkeypatch)
    there = arrived(found, here)
    assert [cell.id for cell in there.cells] == [cell.id for cell in checked.cells]
    assert there.prompts == checked.prompts
    assert there.examples == checked.examples
    assert {split: fingerprint(part) for split, part in there.examples.items()} == {
        split: fingerprint(part) for split, part in checked.examples.items()
    }
    assert there.metrics == checked.metrics
    assert there.fits == checked.fits
    assert there.description.tokenizer_file == place.folder / "model" / "tokenizer.json"
    assert there.study.training == checked.study.training.model_copy(update={"loss": there.study.training.loss})
    assert Path(there.study.training.loss.removesuffix(":mine")).read_text(encoding="utf-8") == LOSS
    assert there.task_file.read_text(encoding="utf-8") == found.code[str(place.folder / "task.py")]
    assert there.task_file.is_relative_to(here)


def test_the_test_split_and_the_address_of_the_store_stay_behind(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    monkeypatch.setenv("WORD", "se-cret")
    uri = "postgresql://me:${WORD}@nowhere/store"
    checked = checked_in(place, monkeypatch, "final.seeds=[11]")
    assert checked.test_ids
    file = checked.file
    spec = file.study.model_copy(update={"tracking": file.study.tracking.model_copy(update={"uri": uri})})
    named = type(file)(
        spec, file.path, f"{file.text}\ntracking: {{uri: {uri}}}\n", (f"tracking.uri={uri}",), {}, file.folder
    )
    travels = pickle.dumps(shipped(type(checked)(**{**vars(checked), "file": named})))
    assert b"postgresql" not in travels
    assert b"se-cret" not in travels
    assert not any(text_in(row["id"], travels) for row in rows("test"))
    assert all(text_in(row["id"], travels) for row in rows("validation"))


def test_a_model_that_is_not_there_is_refused_in_one_sentence(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    found = sent(checked_in(place, monkeypatch))
    (place.folder / "model").rename(tmp_path / "model")
    with pytest.raises(ModelError, match=rf"^model.name is {place.folder}/model, which is not on .*; put it there"):
        arrived(found, tmp_path)


def test_a_model_that_is_another_one_there_is_refused(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    found = sent(checked_in(place, monkeypatch))
    config = place.folder / "model" / "config.json"
    text = config.read_text(encoding="utf-8")
    assert '"n_layer": ' in text
    config.write_text(text.replace('"n_layer": ', '"n_layer": 1'), encoding="utf-8")
    with pytest.raises(ModelError, match=r"model .* is another one on .* than where the study was checked"):
        arrived(found, tmp_path)


def test_code_that_needs_what_lies_beside_it_says_so(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    task = place.folder / "task.py"
    beside = "from pathlib import Path\n\nWORDS = (Path(__file__).parent / 'words.txt').read_text()\n\n"
    task.write_text(beside + task.read_text(encoding="utf-8"), encoding="utf-8")
    (place.folder / "words.txt").write_text("a word", encoding="utf-8")
    found = sent(checked_in(place, monkeypatch))
    with pytest.raises(TaskError, match="words.txt"):
        arrived(found, tmp_path)
