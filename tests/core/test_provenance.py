"""What a run says of the machine it ran on."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from harness.core import provenance
from harness.core.provenance import processor

LINUX = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC 9355

processor\t: 1
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9355
"""


def test_the_processor_of_a_linux_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(provenance, "PROCESSORS", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(LINUX)
    assert processor() == "AuthenticAMD family 26 AMD EPYC 9355"


@pytest.mark.parametrize("content", [None, "processor\t: 0\nBogoMIPS\t: 50.00\n"])
def test_the_processor_where_linux_does_not_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    monkeypatch.setattr(provenance, "PROCESSORS", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "AMD64 Family 25 Model 33, AuthenticAMD")
    if content:
        (tmp_path / "cpuinfo").write_text(content)
    assert processor() == "AMD64 Family 25 Model 33, AuthenticAMD"


def test_every_run_names_it(tmp_path: Path) -> None:
    found = provenance.provenance(tmp_path)
    assert found["processor"]
    assert {"commit", "python", "platform", "cpus", "version.torch"} <= found.keys()
