"""``${NAME}``: what it stands for where it is used, and the text itself where it is stored."""

from __future__ import annotations

import pytest

from harness.core.environment_names import resolved, written
from harness.core.errors import UnsetName


def test_names_are_read_and_other_dollars_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1st")
    monkeypatch.setenv("TWO_2", "${ONE}")
    monkeypatch.setenv("EMPTY", "")
    said = {
        "a": "x${ONE}y${TWO_2}",
        "b": ["$ONE", "${}", "${1}", "$$", "${EMPTY}", "a$", 3, None],
        "c": {"d": "${ONE}"},
    }
    assert resolved(said, "data") == {
        "a": "x1sty${ONE}",  # once: what a variable holds is no text of the study's
        "b": ["$ONE", "${}", "${1}", "$$", "", "a$", 3, None],
        "c": {"d": "1st"},
    }


def test_a_name_that_is_not_set_is_named_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(
        UnsetName, match=r"data\.columns\.source reads \$\{ABSENT\}, which the environment does not have"
    ):
        resolved({"columns": {"source": "${ABSENT}"}}, "data")


def test_what_is_stored_has_the_name_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER", "/secret/place")
    monkeypatch.setenv("OTHER", "another")
    text = "/secret/place/train.jsonl, row 3 of another"
    assert written(text, "path: ${FOLDER}") == "${FOLDER}/train.jsonl, row 3 of another"
