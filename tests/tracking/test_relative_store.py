"""A store that is named from the working folder is that folder's, whatever store a process had open before."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.tracking.mlflow.connect import connect


def test_two_folders_have_a_store_each_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        connect("sqlite:///mlflow.db").create_experiment(name)
        assert {found.name for found in connect("sqlite:///mlflow.db").search_experiments()} == {"Default", name}
        assert (tmp_path / name / "mlflow.db").is_file()
