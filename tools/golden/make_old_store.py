"""Make ``tests/fixtures/old_store.tar.xz``: ``python -m tools.golden.make_old_store --tree PATH``.

The archive was made with a checkout of commit 0d05755. It holds, ready to go on with, two studies in one store: one
that ended, and one that was killed while it was in its final runs. ``expected/`` holds what that commit itself makes of
the store: its report and a comparison, answers of the best model, and the results once the unfinished study was run to
its end, and once the finished one was given a trial and a seed more.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.support.old_store import ARCHIVE, AS_WRITTEN, PLACE, moved, rewrite
from tools.golden.material import rows, write_jsonl, write_model
from tools.golden.places import HERE, environment, harness

MORE = ("--set", "search.trials=3", "--set", "final.seeds=[11, 12, 13]")
"""One trial and one seed more than the finished study had."""
KILLED_IN = 3
"""The final run in which the unfinished study is killed; the first one is zero-shot and ends at once."""
LEFT_OUT = ("reports", ".harness/.recordings", "mlruns/*/*/artifacts/report/figures")
"""What a command writes again, and what would take most of the archive."""


class Maker:
    """Runs the commands of a code tree in a folder."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self.folder = folder
        self._tree = tree
        self._command = harness(tree)

    def __call__(self, *arguments: str) -> None:
        """Run a command and see it succeed."""
        subprocess.run([*self._command, *arguments], cwd=self.folder, env=environment(self._tree), check=True)

    def kill(self, *arguments: str, number: int) -> None:
        """Run a command and kill it in its so-many-th final run of a study.

        Raises:
            SystemExit: It ended before.
        """
        process = subprocess.Popen([*self._command, *arguments], cwd=self.folder, env=environment(self._tree))
        while process.poll() is None and not _is_in_final(self.folder / "mlflow.db", "unfinished", number):
            time.sleep(0.002)
        process.kill()
        if process.wait() == 0:
            raise SystemExit("the study ended before it could be killed; try again")

    def copy(self, folder: Path) -> Maker:
        """Return a maker in a copy of the folder, as it is now."""
        shutil.copytree(self.folder, folder)
        moved(folder, {str(self.folder): str(folder)})
        return Maker(folder, self._tree)


def _is_in_final(store: Path, study: str, number: int) -> bool:
    query = (
        "select r.status from runs r join experiments e using (experiment_id) join tags t on t.run_uuid = r.run_uuid "
        "where e.name = ? and t.key = 'phase' and t.value = 'final'"
    )
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        states = [state for (state,) in connection.execute(query, (study,))]
    return len(states) == number and "RUNNING" in states


def main() -> None:
    """Make the archive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True, help="a checkout of the harness, the commit of the archive")
    parser.add_argument("--out", type=Path, default=ARCHIVE)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary).resolve()
        make(Maker(top / "made", asked.tree.resolve()), top)
        pack(top, asked.tree.resolve(), asked.out)
    print(f"{asked.out}: {asked.out.stat().st_size:,} bytes")


def make(maker: Maker, top: Path) -> None:
    """Run both studies in ``made``, and write what the tree says of them to ``expected``."""
    write_place(maker.folder)
    maker("run", "study.yaml")
    maker.kill("run", "unfinished.yaml", number=KILLED_IN)
    for settings in maker.folder.rglob(AS_WRITTEN):  # before anything is answered: answers bear their digest
        rewrite(settings, {str(maker.folder): PLACE})
    expected = top / "expected"
    expected.mkdir()
    asked = maker.copy(top / "asked")
    asked("report", "finished")
    for name in ("results.csv", "verdicts.json", "references.csv"):
        shutil.copy(asked.folder / "reports" / "finished" / name, expected)
    asked("compare", "finished:cue/head", "finished:bare/last_blocks-1", "--out", str(expected / "compared.json"))
    asked("predict", "models:/finished@champion", "--input", "asked.jsonl", "--output", str(expected / "answers.jsonl"))
    for copy, arguments in {"resumed": ["unfinished.yaml"], "extended": ["study.yaml", *MORE]}.items():
        again = maker.copy(top / copy)
        again("run", *arguments)
        study = "unfinished" if copy == "resumed" else "finished"
        shutil.copy(again.folder / "reports" / study / "results.csv", expected / f"{copy}.csv")


def write_place(folder: Path) -> None:
    """Write both studies, their task, model and data, and rows to answer."""
    shutil.copytree(HERE / "old_store", folder, ignore=shutil.ignore_patterns("__pycache__"))
    write_model("gpt2-one-block", folder / "model", seed=3)
    for split, count in {"train": 24, "validation": 8, "test": 8}.items():
        write_jsonl(folder / "data" / f"{split}.jsonl", rows(split, count))
    write_jsonl(folder / "asked.jsonl", [{"id": row["id"], "source": row["source"]} for row in rows("test", 12)])


def pack(top: Path, tree: Path, out: Path) -> None:
    """Write the archive, with no path and no name of this machine in it."""
    for pattern in LEFT_OUT:
        for folder in (top / "made").glob(pattern):
            shutil.rmtree(folder)
    (top / "expected").rename(top / "made" / "expected")
    moved(top / "made", {str(top / "made"): PLACE, str(tree): "/old-tree", platform.platform(): platform.system()})
    out.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(out, "w:xz", preset=9) as archive:
        archive.add(top / "made", ".", filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out who owns a file, and what Python compiled."""
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
