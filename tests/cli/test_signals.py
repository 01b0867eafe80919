"""Signals at random instants to every command that runs long: none is lost, and the same command then finishes.

`SIGNALS=200 pytest -s -m slow tests/cli/test_signals.py` sends more of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import islice

import pytest

from tests.support.random_signals import Struck, seconds_of, struck_until_done
from tests.support.study_fixture import Place, Places, write_rows

COUNT = int(os.environ.get("SIGNALS", "20"))

STUDY = ("study.yaml", "--set", "prompts=[bare]", "--set", "tuning=[none, head]")


def run_in_a_process(place: Place, *arguments: str) -> None:
    process = place.process(*arguments)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


@pytest.mark.slow
def test_no_signal_is_lost_and_the_same_command_finishes(places: Places) -> None:
    draws, struck = random.Random(COUNT), list[Struck]()
    whole = places()
    rows = [{"id": f"row-{number}", "source": f"short note {number}"} for number in range(200)]
    write_rows(whole.folder / "rows.jsonl", rows)
    longest = {"run": seconds_of(lambda: run_in_a_process(whole, "run", *STUDY))}
    (final, *_) = (run.info.run_id for run in whole.runs("final", cell="bare/head"))
    answers = whole.folder / "answers.jsonl"
    others = {
        "predict": ("predict", "tiny", "--input", "rows.jsonl", "--output", "answers.jsonl"),
        "plan": ("plan", *STUDY),
        "report": ("report", "tiny"),
        "reproduce": ("reproduce", final),
        "check": ("check", *STUDY),
    }
    for name, command in others.items():
        longest[name] = seconds_of(lambda command=command: run_in_a_process(whole, *command))
    expected = whole.results(), answers.read_bytes()
    while len(struck) < COUNT:
        place = places()  # half of the signals go to runs, each of them struck until it is done
        struck += struck_until_done(place, ("run", *STUDY), 1.2 * longest["run"], draws)
        place.clean()
        assert place.results() == expected[0]
        for name, command in others.items():
            if name == "predict":
                answers.unlink()
            struck += islice(struck_until_done(whole, command, 1.2 * longest[name], draws), 2)
        run_in_a_process(whole, *others["predict"])
        run_in_a_process(whole, *others["report"])
        assert (whole.results(), answers.read_bytes()) == expected
    print(f"{len(struck)} signals to {dict(Counter(one.command for one in struck))}")
    print(f"statuses {dict(Counter(one.status for one in struck))}; at most {max(s.seconds for s in struck):.1f} s")
    assert [one for one in struck if not one.is_obeyed or not one.is_told or one.seconds > 10] == []
