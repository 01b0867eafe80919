"""Every block of README and of the documentation is done as a reader would do it; links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import harness
from harness.runner.best_cell import BestCell
from tests.support.pages import ROOT, Reader, anchors, blocks_of, links_of
from tools.commands_page import PAGE, page

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
CODE = {path: blocks_of(path.read_text(encoding="utf-8")) for path in PAGES}
DONE = [path for path, blocks in CODE.items() if any(block.kind in ("bash", "python", "server") for block in blocks)]
OWN_TEST = {"docs/study-file.md"}
"""Study files in part, which `tests/study/test_documented_keys.py` reads."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_blocks_are_of_known_kinds(path: Path) -> None:
    fences = re.findall(r"^\s*```", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(CODE[path])
    unknown = [block.line for block in CODE[path] if block.kind == "unknown"]
    assert unknown == [] or name_of(path) in OWN_TEST


@pytest.mark.slow
@pytest.mark.parametrize("path", DONE, ids=name_of)
def test_a_page_can_be_done(path: Path, tmp_path: Path) -> None:
    with Reader.at(tmp_path) as reader:
        for block in CODE[path]:
            reader.do(block)
        if reader.missing:
            pytest.skip(f"all but {', '.join(reader.missing)}, which is not installed")


def test_a_reader_writes_files_keeps_names_and_tells_of_errors(tmp_path: Path) -> None:
    text = (
        '```text title="sub/a.txt"\nx\n```\n```json title="a.json"\n{}\n```\n```bash\ntest -f a.json\n```\n'
        "```python\nimport inspect\ndef f(): return 7\n```\n```python\nassert f() == 7 and inspect.getsource(f)\n```\n"
    )
    text += "```bash\nfalse; true\n```\n```python\nassert f() == 8\n```\n"
    *well, bash, python = blocks_of(text)
    with Reader.at(tmp_path) as reader:
        for block in well:
            reader.do(block)
        for block in (bash, python):
            with pytest.raises(AssertionError, match=f"line {block.line}:"):
                reader.do(block)


@pytest.mark.parametrize("path", [*PAGES, *ROOT.glob("[A-Z]*.md"), ROOT / "llms.txt"], ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in links_of(path.read_text(encoding="utf-8")):
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{target}#{anchor}"


@pytest.mark.parametrize("path", PAGES[1:], ids=name_of)
def test_pages_link_to_nothing_outside_but_pictures(path: Path) -> None:
    for target, _ in links_of(path.read_text(encoding="utf-8")):
        file = (path.parent / target).resolve()
        assert file.is_relative_to(DOCS) or file.suffix == ".png", f"{target} is not on the site"


def test_every_page_is_reached_and_listed() -> None:
    pages = {path.relative_to(DOCS).as_posix() for path in PAGES[1:] if "decisions" not in path.parts}
    nav = set(re.findall(r"^\s*- .*?([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    listed = {path for path, _ in links_of((ROOT / "llms.txt").read_text(encoding="utf-8"))}
    assert pages == {path for path in nav if "decisions" not in path}
    assert {f"docs/{path}" for path in pages} <= listed


def test_every_decision_is_listed() -> None:
    index = DOCS / "decisions" / "index.md"
    listed = {path for path, _ in links_of(index.read_text(encoding="utf-8"))}
    assert {path.name for path in index.parent.glob("*.md")} - {index.name} == listed


def test_llms_txt_has_the_form_that_is_agreed() -> None:
    title, empty, summary, *_ = (ROOT / "llms.txt").read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ")
    assert (empty, summary[:2]) == ("", "> ")


def test_the_page_of_commands_is_that_of_the_command() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tools.commands_page`"


def test_the_page_of_python_names_all_that_is_public() -> None:
    text = (DOCS / "python-api.md").read_text(encoding="utf-8")
    classes = (harness.Study, harness.Result, BestCell)
    members = {name for kind in classes for name in vars(kind) if not name.startswith("_")}
    fields = {name for kind in classes for name in vars(kind).get("__annotations__", ()) if not name.startswith("_")}
    members |= fields - {"address", "cell"}
    assert [name for name in {*harness.__all__, *members} if not re.search(rf"\b{re.escape(name)}\b", text)] == []


def test_what_is_said_of_python_and_systems_is_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    stated = {c.rpartition(" :: ")[2] for c in project["classifiers"] if "Python :: 3." in c}
    assert project["requires-python"].removeprefix(">=") in stated
    assert not any("Windows" in classifier for classifier in project["classifiers"])


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is in the extra `docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
