"""The page in a real browser, at desktop and phone width, light and dark: nothing clipped, overlapping or fetched.

Needs a Chromium; without one the tests are skipped, and without axe-core's package its audit is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.report.write_report import write_report
from tests.support.browser import AXE, CHROMIUM, look
from tests.support.made_up_results import study

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"), pytest.mark.slow]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_report(study(prompts=4, tunings=6, trials=6), folder)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=[(1280, False), (1280, True), (390, False), (390, True), (360, False)], ids=str)
def seen(request: pytest.FixtureRequest, report: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    width, dark = request.param
    return look(report, tmp_path_factory.mktemp("look"), width=width, dark=dark) | {"asked": width, "dark": dark}


def test_nothing_is_clipped_or_fetched(seen: dict[str, Any]) -> None:
    assert seen["frame"] == seen["asked"]
    assert (_luminance(_channels(seen["paper"])[:3]) < 0.1) == seen["dark"]
    assert seen["wide"] <= seen["asked"]
    assert (seen["clipped"], seen["outside"], seen["fetched"]) == ([], [], [])
    assert seen["scrolled"] == [] or (seen["scrolled"] == ["Scores by prompt and tuning"] and seen["asked"] < 400)


def test_a_value_and_its_deviation_and_a_verdict_and_its_reason_stay_together(report: str) -> None:
    """On a phone the parts of a table's cell go to its two ends."""
    assert report.count('class="deviation"') == report.count('&nbsp;<span class="deviation">±&nbsp;') > 0
    cells = re.findall(r'<td data-label="verdict">(.*?)</td>', report)
    assert cells
    assert all(cell.startswith("<span><span") and cell.endswith("</span></span>") for cell in cells)


def test_labels_of_drawings_keep_apart(seen: dict[str, Any]) -> None:
    assert len(seen["svgs"]) == 1 + 3 * 4 + 3
    for drawing in seen["svgs"]:
        texts = [box for _, box in drawing["texts"]]
        assert len(texts) > 4
        assert all(_inside(box, drawing["frame"]) for box in (*texts, *drawing["marks"])), drawing["name"]
        pairs = [(a, b) for place, a in enumerate(drawing["texts"]) for b in drawing["texts"][:place]]
        assert not [(a[0], b[0]) for a, b in pairs if _overlap(a[1], b[1])], drawing["name"]
        assert not [a for a, box in drawing["texts"] for mark in drawing["marks"] if _overlap(box, mark)]


def test_all_text_stands_out(seen: dict[str, Any]) -> None:
    faint = [(text, _contrast(ink, layers)) for ink, layers, text in seen["colors"] if _contrast(ink, layers) < 4.5]
    assert seen["colors"]
    assert not faint


@pytest.mark.skipif(AXE is None, reason="axe-core-python is not installed")
def test_axe_finds_no_serious_violation(seen: dict[str, Any]) -> None:
    assert seen["axe"]
    assert [one for one in seen["violations"] if one[0] in ("serious", "critical")] == []


@pytest.mark.skipif(AXE is None, reason="axe-core-python is not installed")
def test_axe_would_find_one(tmp_path: Path) -> None:
    bad = '<!doctype html><html><head><title>x</title></head><body><main><img src="data:,"></main></body></html>'
    found = look(bad, tmp_path, width=800, dark=False)["violations"]
    assert {"image-alt", "html-has-lang"} <= {name for _, name, _ in found}


def _inside(box: list[float], frame: list[float]) -> bool:
    return box[0] >= frame[0] - 1 and box[1] <= frame[1] + 1 and box[2] >= frame[2] - 1 and box[3] <= frame[3] + 1


def _overlap(a: list[float], b: list[float]) -> bool:
    return min(a[1], b[1]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[2], b[2])


def _contrast(ink: str, layers: list[str]) -> float:
    """Return the contrast of a text with what lies behind it (WCAG 2.2, relative luminance); 4.5 is asked for."""
    behind = (255.0, 255.0, 255.0)
    for layer in reversed(layers):
        red, green, blue, alpha = _channels(layer)
        behind = tuple(alpha * new + (1 - alpha) * old for new, old in zip((red, green, blue), behind, strict=True))
    light, dark = sorted((_luminance(_channels(ink)[:3]), _luminance(behind)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _channels(color: str) -> tuple[float, float, float, float]:
    red, green, blue, *alpha = (float(number) for number in re.findall(r"[\d.]+", color))
    return red, green, blue, alpha[0] if alpha else 1.0


def _luminance(color: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
