"""A real Chromium without a window, driven as a person would: by what is shown and by clicks.

It speaks the browser's own protocol (Chrome DevTools) over two pipes: messages of JSON, a zero byte behind each.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.browser import CHROMIUM

__all__ = ["Chromium"]

LAUNCH = "import os, sys; os.dup2({inward}, 3); os.dup2({outward}, 4); os.execv(sys.argv[1], sys.argv[1:])"
"""Chromium reads its orders from descriptor 3 and answers on 4."""

FIND = """
(wanted, selector, nth) => {
  const shown = one => { const box = one.getBoundingClientRect(); return box.width > 0 && box.height > 0; };
  const said = one => [one.innerText, one.getAttribute('aria-label'), one.getAttribute('title')]
    .some(text => text && text.trim().replace(/\\s+/g, ' ') === wanted);
  const found = [...document.querySelectorAll(selector)].filter(one => shown(one) && (wanted === null || said(one)));
  const inner = found.filter(one => !found.some(other => other !== one && one.contains(other)));
  const one = inner[nth];
  if (!one) return null;
  one.scrollIntoView({block: 'nearest', inline: 'nearest'});
  const box = one.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}
"""
"""The middle of the innermost element that says a text."""


class Chromium:
    """A browser with one page in front; a link that opens a new tab brings that tab to the front.

    Args:
        folder: Its own, for the profile.
        width: Of the window, in pixels.
        height: Of the window, in pixels.
    """

    def __init__(self, folder: Path, *, width: int = 1440, height: int = 900) -> None:
        self._folder = folder
        self._size = (width, height)
        self._number = 0
        self._left = b""
        self._session = ""

    def __enter__(self) -> Chromium:
        assert CHROMIUM is not None
        inward, self._orders = os.pipe()
        self._answers, outward = os.pipe()
        command = [sys.executable, "-c", LAUNCH.format(inward=inward, outward=outward), CHROMIUM]
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        flags += [f"--user-data-dir={self._folder / 'profile'}", "--remote-debugging-pipe", "--no-first-run"]
        flags += ["--window-size={},{}".format(*self._size), "about:blank"]
        self._process = subprocess.Popen(
            [*command, *flags], pass_fds=(inward, outward), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(inward)
        os.close(outward)
        self._to_front(self._pages()[0])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, AssertionError):
            self._ask("Browser.close", {}, page=False)
        self._process.wait(timeout=20)
        os.close(self._orders)
        os.close(self._answers)

    def go(self, address: str) -> None:
        """Open an address in the page in front."""
        self._ask("Page.navigate", {"url": address})

    def run(self, script: str) -> Any:
        """Return what an expression comes to in the page in front."""
        found = self._ask("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True})
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """Return what the first element of a kind shows."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def until(self, script: str, seconds: float = 30) -> Any:
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(AssertionError):
                if found := self.run(script):
                    return found
            time.sleep(0.1)
        raise AssertionError(f"never: {script}\nshown:\n{self.text()[:3000]}")

    def sees(self, *texts: str, selector: str = "body") -> None:
        """Wait until all these texts are shown, however their lines are broken."""
        for text in texts:
            shown = f"document.querySelector({json.dumps(selector)})?.innerText.replace(/\\s+/g, ' ')"
            self.until(f"{shown}.includes({json.dumps(text)})")

    def click(self, text: str | None = None, *, selector: str = "a, button, [role], label, span", nth: int = 0) -> None:
        """Click on what shows a text, or on what a selector finds, as soon as it is there."""
        before, where = self._pages(), f"({FIND})({json.dumps(text)}, {json.dumps(selector)}, {nth})"
        self.until(where)
        time.sleep(0.3)  # what was scrolled into view may still be moving
        x, y = self.until(where)
        for kind, button in (("mouseMoved", "none"), ("mousePressed", "left"), ("mouseReleased", "left")):
            press = {"type": kind, "x": x, "y": y, "button": button, "clickCount": int(button == "left")}
            self._ask("Input.dispatchMouseEvent", press)
        time.sleep(0.3)
        if opened := [page for page in self._pages() if page not in before]:
            self._to_front(opened[0])

    def shoot(self, file: Path) -> None:
        """Write what the window shows as a PNG."""
        file.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", {"format": "png"})["data"]))

    def _pages(self) -> list[str]:
        found = self._ask("Target.getTargets", {}, page=False)["targetInfos"]
        return [one["targetId"] for one in found if one["type"] == "page"]

    def _to_front(self, page: str) -> None:
        self._session = self._ask("Target.attachToTarget", {"targetId": page, "flatten": True}, page=False)["sessionId"]
        width, height = self._size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", screen)

    def _ask(self, method: str, params: dict[str, Any], *, page: bool = True) -> dict[str, Any]:
        self._number += 1
        order = {"id": self._number, "method": method, "params": params} | (
            {"sessionId": self._session} if page else {}
        )
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _next(self, seconds: float = 60) -> dict[str, Any]:
        while b"\0" not in self._left:
            assert select.select([self._answers], [], [], seconds)[0], "the browser does not answer"
            more = os.read(self._answers, 1 << 16)
            assert more, "the browser is gone"
            self._left += more
        message, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(message))
