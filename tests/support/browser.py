"""A headless Chromium that looks at a page: what it measures, and what axe-core finds.

Headless windows cannot be as narrow as a phone, so the page is shown in a frame of that width.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["AXE", "CHROMIUM", "look"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_PACKAGE = find_spec("axe_core_python")
AXE = Path(str(_PACKAGE.origin)).with_name("axe.min.js") if _PACKAGE else None
"""axe-core as its PyPI package carries it; where it is left out, nothing is audited."""

MEASURE = """
const frame = document.querySelector('iframe');
frame.addEventListener('load', async () => {
  const inner = frame.contentDocument, view = frame.contentWindow;
  inner.querySelectorAll('details').forEach(one => { one.open = true; });
  const box = element => { const b = element.getBoundingClientRect(); return [b.left, b.right, b.top, b.bottom]; };
  const svgs = [...inner.querySelectorAll('svg.panel')];
  const clipped = [...inner.querySelectorAll('h1, h2, h3, h4, p, pre, dd, blockquote, th, td, li, figcaption')]
    .filter(one => !one.closest('thead') && one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0)
    .map(one => one.textContent.slice(0, 60));
  const outside = [...inner.querySelectorAll('main > *, header > *')]
    .filter(one => one.getBoundingClientRect().right > inner.documentElement.clientWidth + 1).map(one => one.tagName);
  const color = element => view.getComputedStyle(element);
  const found = {
    paper: color(inner.body).backgroundColor,
    wide: inner.documentElement.scrollWidth, frame: frame.clientWidth, clipped, outside,
    svgs: svgs.map(svg => ({
      name: svg.getAttribute('aria-label'), frame: box(svg),
      texts: [...svg.querySelectorAll('text')].map(text => [text.textContent, box(text)]),
      marks: [...svg.querySelectorAll('use')].map(box),
    })),
    scrolled: [...inner.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1)
      .map(one => one.getAttribute('aria-label')),
    fetched: view.performance.getEntriesByType('resource').map(entry => entry.name),
    colors: [...inner.querySelectorAll(
      '.answer, .caption, .tag, thead th, .heat td, a, h2, .quiet, svg text'
    )].map(one => {
      let behind = one;
      const layers = [];
      for (; behind; behind = behind.parentElement) layers.push(color(behind).backgroundColor);
      return [one.matches('text') ? color(one).fill : color(one).color, layers, one.textContent.slice(0, 30)];
    }),
  };
  const audit = document.getElementById('axe').textContent;
  if (audit) {
    view.eval(audit);
    const said = await view.axe.run(inner, {resultTypes: ['violations']});
    found.axe = said.testEngine.version;
    found.violations = said.violations.map(one => [one.impact, one.id, one.nodes.slice(0, 3).map(node => node.html)]);
  }
  document.body.dataset.found = JSON.stringify(found);
});
"""


def look(page: str, folder: Path, *, width: int, dark: bool, axe: Path | None = AXE) -> dict[str, Any]:
    """Return what the browser finds in a page in a frame of some width, with all its details open."""
    audit = axe.read_text(encoding="utf-8").replace("</script", "<\\/script") if axe else ""
    frame = f'<iframe srcdoc="{html.escape(page)}" style="width:{width}px;height:900px;border:0"></iframe>'
    shell = folder / "shell.html"
    shell.write_text(
        f'<!doctype html><meta charset="utf-8"><body><script type="text/plain" id="axe">{audit}</script>{frame}'
        f"<script>{MEASURE}</script></body>",
        encoding="utf-8",
    )
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    flags += ["--virtual-time-budget=20000", "--window-size=1400,1000"]
    flags += [f"--blink-settings=preferredColorScheme={int(not dark)}"]
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", shell.as_uri()], capture_output=True, text=True, timeout=180, check=True
    )
    measured = re.search(r'data-found="([^"]*)"', done.stdout)
    assert measured, done.stderr
    found: dict[str, Any] = json.loads(html.unescape(measured[1]))
    return found
