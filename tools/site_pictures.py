"""Pictures that pages show from ``reports/``: brought onto the site, and linked to there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

__all__ = ["on_files", "on_page_markdown"]

ROOT = Path(__file__).parents[1]

PICTURE = re.compile(r"\]\((?:\.\./)+(reports/[^)]+\.png)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pictures that are shown."""
    texts = [Path(page.abs_src_path).read_text(encoding="utf-8") for page in files.documentation_pages()]
    for name in sorted({name for text in texts for name in PICTURE.findall(text)}):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Lead to them from where the page is; ``docs/`` is the root of the site."""
    up = "../" * page.file.src_uri.count("/")
    return PICTURE.sub(lambda found: f"]({up}{found[1]})", markdown)
