"""How long `harness check` takes, the whole process counted, on a study of three prompts."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPEATS = 7


def timed(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([Path(sys.executable).with_name("harness"), *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    rows = {
        "harness --help": ["--help"],
        "harness check experiments/quickstart.yaml": ["check", "experiments/quickstart.yaml"],
        "the same with all 2,400 rows": [
            *("check", "experiments/quickstart.yaml"),
            *("--set", "data.train=null", "--set", "data.validation=null", "--set", "data.test=null"),
        ],
    }
    found = {name: [timed(*arguments) for _ in range(REPEATS)] for name, arguments in rows.items()}
    print(f"{'command':45} {'median s':>9} {'worst s':>9}")
    for name, seconds in found.items():
        print(f"{name:45} {statistics.median(seconds):9.2f} {max(seconds):9.2f}")
    out = ROOT / "benchmarks" / "out"
    out.mkdir(exist_ok=True)
    (out / "check.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
