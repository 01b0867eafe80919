"""The promise of tests and intervals, in short: the benchmark's hardest settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "bench_calibration.py"


@pytest.mark.slow
def test_tests_err_in_one_study_in_twenty_and_intervals_cover() -> None:
    command = [sys.executable, str(BENCHMARK), "--hardest", "--studies", "300"]
    done = subprocess.run(command, cwd=BENCHMARK.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
