"""The wheel carries tasks, their data and the embedded model, and works from an empty folder."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "tasks/summarization.py",
        "tasks/data/translation/test.jsonl.gz",
        "tasks/base_model/model.safetensors",
    ):
        assert f"harness/{part}" in names
    assert {name.split("/")[0] for name in names} == {"harness", "prompt_depth_harness-0.1.0.dist-info"}


@pytest.mark.slow
def test_its_page_leads_nowhere_that_is_not_there(wheel: Path) -> None:
    """What README links to within the repository is named there, and not linked; pictures are left out."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("prompt_depth_harness-0.1.0.dist-info/METADATA").decode()
    page = metadata.partition("\n\n")[2]
    tokens = [token for block in MarkdownIt().parse(page) for token in block.children or ()]
    assert not [token.attrGet("src") for token in tokens if token.type == "image"]
    leads = [str(token.attrGet("href")) for token in tokens if token.type == "link_open"]
    assert all(lead.startswith("https://") for lead in leads), leads
    assert "(`docs/first-study.md`)" in page
    assert "harness ui quickstart" in page


@pytest.mark.slow
def test_the_starter_study_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """The environment holds the wheel alone; what it depends on is lent by this one, to spare a download."""
    venv.create(tmp_path / "env", with_pip=False)
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    lent = [path for path in sysconfig.get_paths()["purelib"].splitlines() if path]
    (site / "lent.pth").write_text("\n".join(lent))
    work = tmp_path / "work"
    work.mkdir()

    def harness(*arguments: str) -> str:
        command = [
            str(tmp_path / "env" / "bin" / "python"),
            "-c",
            "from harness.cli.main import main; main()",
            *arguments,
        ]
        return subprocess.run(command, cwd=work, check=True, capture_output=True, text=True).stdout

    harness("init")
    code = "import harness; print(harness.__file__)"
    where = subprocess.run([tmp_path / "env" / "bin" / "python", "-c", code], cwd=work, capture_output=True, text=True)
    assert str(site) in where.stdout
    printed = harness("run", "study.yaml", "--set", "data.train=32", "--set", "search.trials=1")
    assert "next: harness ui" in printed
    assert (work / "reports" / "starter" / "results.csv").read_text().count("\n") == 9
