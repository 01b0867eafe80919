"""The page in a real browser, at desktop and phone width, light and dark: nothing clipped, overlapping or fetched.

Needs a Chromium; without one the tests are skipped. Headless windows cannot be as narrow as a phone, so the page is
shown in a frame of that width.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.report.render import write_report
from tests.test_report import study

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

MEASURE = """
const frame = document.querySelector('iframe');
frame.addEventListener('load', () => {
  const inner = frame.contentDocument, view = frame.contentWindow;
  const boxes = [...inner.querySelectorAll('svg.panel')].map(svg => [...svg.querySelectorAll('text')].map(text => {
    const box = text.getBoundingClientRect();
    return [box.left, box.right, box.top, box.bottom];
  }));
  const svgs = [...inner.querySelectorAll('svg.panel')].map(svg => {
    const box = svg.getBoundingClientRect();
    return [box.left, box.right, box.top, box.bottom];
  });
  const clipped = [...inner.querySelectorAll('h1, h2, h3, h4, p, pre, dd, blockquote, th, td, li')]
    .filter(one => !one.closest('thead') && one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0)
    .map(one => one.textContent.slice(0, 60));
  const outside = [...inner.querySelectorAll('main > *, header > *')]
    .filter(one => one.getBoundingClientRect().right > inner.documentElement.clientWidth + 1).map(one => one.tagName);
  const color = element => view.getComputedStyle(element);
  document.body.dataset.found = JSON.stringify({
    paper: color(inner.body).backgroundColor,
    wide: inner.documentElement.scrollWidth, frame: frame.clientWidth, boxes, svgs, clipped, outside,
    fetched: view.performance.getEntriesByType('resource').map(entry => entry.name),
    colors: [...inner.querySelectorAll('.answer, .caption, .tag, thead th, .heat td, a, h2, .quiet')].map(one => {
      let behind = one;
      const layers = [];
      for (; behind; behind = behind.parentElement) layers.push(color(behind).backgroundColor);
      return [color(one).color, layers, one.textContent.slice(0, 30)];
    }),
  });
});
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_report(study(prompts=4, tunings=5, trials=6), folder)
    return (folder / "report.html").read_text(encoding="utf-8")


def look(page: str, folder: Path, *, width: int, dark: bool) -> dict[str, Any]:
    """Return what the browser measures of a page in a frame of some width."""
    frame = f'<iframe srcdoc="{html.escape(page)}" style="width:{width}px;height:900px;border:0"></iframe>'
    shell = folder / "shell.html"
    shell.write_text(
        f'<!doctype html><meta charset="utf-8"><body>{frame}<script>{MEASURE}</script></body>', encoding="utf-8"
    )
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    flags += [
        "--virtual-time-budget=5000",
        "--window-size=1400,1000",
        f"--blink-settings=preferredColorScheme={int(not dark)}",
    ]
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", shell.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    measured = re.search(r'data-found="([^"]*)"', done.stdout)
    assert measured, done.stderr
    found: dict[str, Any] = json.loads(html.unescape(measured[1]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_clipped_overlaps_or_is_fetched(report: str, tmp_path: Path, width: int, dark: bool) -> None:
    found = look(report, tmp_path, width=width, dark=dark)
    assert found["frame"] == width
    assert (_luminance(_channels(found["paper"])[:3]) < 0.1) == dark
    assert found["wide"] <= width
    assert (found["clipped"], found["outside"], found["fetched"]) == ([], [], [])
    assert found["boxes"]
    for texts, frame in zip(found["boxes"], found["svgs"], strict=True):
        assert len(texts) > 4
        assert all(_inside(text, frame) for text in texts)
        pairs = [(a, b) for place, a in enumerate(texts) for b in texts[:place]]
        assert not [pair for pair in pairs if _overlap(*pair)]
    faint = [(text, _contrast(ink, layers)) for ink, layers, text in found["colors"] if _contrast(ink, layers) < 4.5]
    assert found["colors"]
    assert not faint


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
