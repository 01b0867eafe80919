"""Names that come from anywhere, as places in a folder: there, or refused, and never elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.core.errors import UserError
from harness.core.named_path import named_path
from harness.core.workspace import Workspace, inside, is_study_name

ODD = [
    "", ".", "..", "/", "//x", "../../victim", "/srv/x", "a/b", "a/../..", "~", "~/x", "~root/x", ".hidden", ".lock",
    "a\0b", "a\nb", "a b", "ä", "\ud800", "a" * 101, "a" * 5000, "ä" * 120, "tiny/", "./tiny", "-", "a\\..\\b",
]  # fmt: skip

PLACES: list[Callable[[Workspace, str], Path]] = [
    Workspace.study,
    Workspace.study_lock,
    Workspace.report,
    lambda workspace, name: workspace.journal(name, "0123abcd"),
]

names = st.one_of(st.sampled_from(ODD), st.text(alphabet="aB9_.-/~\\\0 ä\n", max_size=8), st.text(max_size=120))


@given(names)
def test_a_place_by_a_studys_name_is_in_the_folder_of_its_kind(name: str) -> None:
    whole = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name) is not None
    assert is_study_name(name) is whole
    for place in PLACES:
        ordinary = place(Workspace(Path("home")), "ordinary")
        if not whole:
            with pytest.raises(UserError):
                place(Workspace(Path("home")), name)
            continue
        found = place(Workspace(Path("home")), name)
        assert os.path.normpath(found.parent) == os.path.normpath(ordinary.parent)
        assert os.path.basename(os.path.normpath(found)) == ordinary.name.replace("ordinary", name)


def test_names_that_differ_by_case_or_by_dots_at_the_end_are_different_places() -> None:
    close = ["tiny", "Tiny", "TINY", "tiny.", "tiny..", "tiny-", "tiny_"]
    for place in PLACES:
        assert len({place(Workspace(), name) for name in close}) == len(close)


@given(names)
@example("..")
@example("x" * 200)
def test_what_is_inside_a_folder_can_be_made_there_and_nowhere_else(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("outer") / "folder"
    folder.mkdir()
    try:
        place = inside(folder, name)
    except UserError:
        return
    place.mkdir()
    assert os.listdir(folder) == [name]
    assert os.listdir(folder.parent) == ["folder"]


def test_plain_names_are_taken(tmp_path: Path) -> None:
    for name in ("my täsk #1?.py", "%20", "a b", "~", ".hidden", "x" * 200, "report.html"):
        assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("target", ["../victim", ".", "nowhere"])
def test_a_link_is_refused(target: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "folder" / "link").symlink_to(target)
    with pytest.raises(UserError, match="is a link, to"):
        inside(tmp_path / "folder", "link")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "/".join(["x" * 200] * 40), "~no-such-user-here/x"])
def test_a_path_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="is no path of a file or folder"):
        named_path(name)


@given(st.text(max_size=300))
def test_a_path_can_be_asked_about_or_is_refused(name: str) -> None:
    try:
        path = named_path(name)
    except UserError:
        return
    assert path.is_dir() <= path.exists()  # neither raises, and a folder is there
