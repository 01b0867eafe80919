"""Energy counters in a folder that stands for the kernel's: packages alone, round and round, and never a guess."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.training.cost_meter.energy import POWERCAP, Counter, EnergyMeter, gpu_counter, package_counters

RANGE = 262_143_328_850


def domain(folder: Path, path: str, name: str, energy: int, *, wrap: int = RANGE) -> Path:
    """Write what the kernel shows of one counter; return the file that counts."""
    place = folder / path
    place.mkdir(parents=True)
    for file, content in {"name": name, "max_energy_range_uj": wrap, "energy_uj": energy}.items():
        (place / file).write_text(f"{content}\n")
    return place / "energy_uj"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two packages, with all that a kernel shows beside and below them."""
    packages = [domain(tmp_path, f"intel-rapl:{number}", f"package-{number}", 1_000_000) for number in range(2)]
    for path, name in {
        "intel-rapl:0:0": "core",
        "intel-rapl:0/intel-rapl:0:1": "dram",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }.items():
        domain(tmp_path, path, name, 10**9)
    (tmp_path / "intel-rapl").mkdir()
    (tmp_path / "dtpm").mkdir()
    return packages


def test_packages_alone_are_added_up(tmp_path: Path, files: list[Path]) -> None:
    counters = package_counters(tmp_path)
    assert [counter.name for counter in counters] == ["package-0", "package-1"]
    meter = EnergyMeter(counters)
    assert meter.joules() == 0.0
    files[0].write_text("3500000\n")
    assert meter.joules() == 2.5
    files[1].write_text("1000007\n")
    assert meter.joules() == 2.500007


@given(st.lists(st.integers(0, 999), max_size=30))
def test_a_counter_may_go_round(steps: list[int]) -> None:
    """Whatever was used between two readings, as long as it is less than a round."""
    used = [0]
    meter = EnergyMeter([Counter("package-0", lambda: (used[0] + 700) % 1000, 1000)])
    for step in steps:
        used[0] += step
        assert meter.joules() == pytest.approx(used[0] / 1e6)


def test_a_counter_that_cannot_be_read_leaves_nothing(tmp_path: Path, files: list[Path]) -> None:
    meter = EnergyMeter(package_counters(tmp_path))
    files[1].write_text("5000000\n")
    assert meter.joules() == 4.0
    files[0].unlink()
    assert meter.joules() is None
    files[0].write_text("9000000\n")
    assert meter.joules() is None, "what it counted meanwhile is not known"
    assert EnergyMeter(package_counters(tmp_path)).joules() == 0.0


@pytest.mark.parametrize("lost", ["energy_uj", "name", "max_energy_range_uj"])
@pytest.mark.parametrize("content", [None, "", "much"])
def test_one_of_two_is_not_enough(tmp_path: Path, files: list[Path], lost: str, content: str | None) -> None:
    file = files[1].parent / lost
    file.unlink()
    if content is not None and lost != "name":
        file.write_text(content)
    assert package_counters(tmp_path) == []
    assert EnergyMeter(package_counters(tmp_path)).joules() is None


def test_without_counters_nothing_is_known(tmp_path: Path) -> None:
    assert package_counters(tmp_path) == package_counters(tmp_path / "absent") == []
    assert EnergyMeter([]).joules() is None


def test_this_machine_counts_or_does_not() -> None:
    """Where its counters can be read they only grow; where not, nothing is said."""
    meter = EnergyMeter(package_counters())
    first = meter.joules()
    second = meter.joules()
    assert (first is None) == (second is None) == (not package_counters())
    if first is not None and second is not None:
        assert POWERCAP.is_dir()
        assert 0 <= first <= second


def test_a_gpu_that_is_not_here_has_no_counter() -> None:
    assert gpu_counter("GPU-00000000-0000-0000-0000-000000000000") is None
