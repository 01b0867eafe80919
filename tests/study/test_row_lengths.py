"""What limits cost: rows dropped and shortened are a caution from 5% on, with the limit that would do."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from harness.core.example import SPLITS
from harness.study.check import check
from harness.study.load_study import read_study
from tests.support.study_fixture import Place, Places, rows, write_rows

REAL = Path(__file__).parents[3] / "shared"

PACKAGED = {
    "summarization": ("scitldr_a", "scitldr_title"),
    "translation": ("tatoeba_en_fr", "tico19_en_es"),
    "reply_generation": ("sgd", "self_dialogue"),
}


def longer(place: Place, share: float, **words: int) -> None:
    """Make columns of a share of all rows longer by so many words."""
    for split in SPLITS:
        content = rows(split)
        for row in content[: round(share * len(content))]:
            row |= {column: f"{row[column]} " + "word " * number for column, number in words.items()}
        write_rows(place.folder / "data" / f"{split}.jsonl", content)


@pytest.mark.parametrize(("share", "told"), [(0.5, True), (0.1, True), (0.04, False), (0.0, False)])
def test_dropped_rows_are_a_caution_from_five_percent_on(share: float, told: bool, places: Places) -> None:
    place = places(store=False)
    longer(place, share, target=5)
    done = place.command("check", "study.yaml")
    assert done.status == 0, done.err
    text = " ".join(done.out.split())
    assert ("training rows" in text) is told
    if told:
        assert re.search(rf"caution: {round(share * 24)} of 24 training rows \({share:.0%}|8%\) are dropped", text)


def test_the_limit_that_is_proposed_lets_the_rows_through(places: Places) -> None:
    place = places(store=False)
    longer(place, 0.5, target=5, source=12)
    first = " ".join(place.command("check", "study.yaml").out.split())
    target = int(re.findall(r"\(training.max_target_tokens: (\d+)\)", first)[0])
    source = int(re.findall(r"\(training.max_source_tokens: (\d+)\)", first)[0])
    put = (f"training.max_target_tokens={target}", f"training.max_source_tokens={source}")
    again = place.command("check", "study.yaml", "--set", put[0], "--set", put[1])
    assert "are dropped" not in again.out
    assert "are shortened" not in again.out
    lower = place.command("check", "study.yaml", "--set", f"training.max_target_tokens={target - 1}", "--set", put[1])
    assert "are dropped" in lower.out


def test_predictions_that_end_before_their_references_are_a_caution(places: Places) -> None:
    place = places(store=False)
    done = place.command("check", "study.yaml", "--set", "generation.max_new_tokens=1")
    text = " ".join(done.out.split())
    assert "more than the 1 tokens of a prediction" in text
    assert "generation.max_new_tokens: " in text


def test_the_report_repeats_what_was_lost(places: Places) -> None:
    place = places()
    longer(place, 0.5, target=5)
    place.run("--set", "tuning=[none]")
    report = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "12 of 24 training rows (50%) are dropped" in report


@pytest.mark.parametrize(("task", "data"), [(task, data) for task, names in PACKAGED.items() for data in names])
def test_packaged_limits_suit_real_data(task: str, data: str, tmp_path: Path) -> None:
    if not (REAL / "data" / data).is_dir():
        pytest.skip(f"{data} is not beside the checkout")
    for split in SPLITS:
        with gzip.open(REAL / "data" / data / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
            lines = file.readlines()[:300]
        (tmp_path / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    study = tmp_path / "study.yaml"
    study.write_text(
        f"name: real\ntask: {task}\nmodel: {{name: {REAL / 'models' / 'mix-llama-5m'}}}\ndata: {{path: {tmp_path}}}\n"
        "prompts: [bare, cue, instruction]\ntuning: [full]\n",
        encoding="utf-8",
    )
    checked = check(read_study(study))
    for fit in checked.fits:
        assert fit.dropped <= 0.05 * fit.rows
        assert max(fit.shortened.values()) <= 0.08  # half of this model's context of 512 is not enough for abstracts
