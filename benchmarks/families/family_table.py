"""The table of how every family ended, in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[2] / "reports" / "kept" / "families.md"
ENDS = ("equal", "refused", "draws", "not built", "refused late", "silent difference", "traceback")
LIBRARIES = ("transformers", "torch", "tokenizers", "safetensors")


def write_table(results: Sequence[Mapping[str, Any]], file: Path | None) -> None:
    """Write the table of all outcomes."""
    file = file or TABLE
    file.parent.mkdir(parents=True, exist_ok=True)
    counts = Counter(result["ended"] for result in results)
    seconds = sum(result["seconds"] for result in results)
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = [
        "# Families",
        "",
        "Every class of transformers' causal and sequence-to-sequence auto mappings, tiny and random, through the "
        "harness (check, show, three steps at `none`, `head`, `last_blocks: 1` and `full`, replay on and off, "
        "generation, store, reload, predict), against plain transformers one row at a time: the same texts, and losses "
        "within 1e-4 at learning rate 1e-5. Written by `benchmarks/bench_families.py`.",
        "",
        f"{versions}; {len(results)} classes and variants, {seconds / 60:.0f} minutes of processor time.",
        "",
        "| ended | classes |",
        "|---|---:|",
        *(f"| {end} | {counts[end]} |" for end in ENDS if counts[end]),
        "",
    ]
    for end in ENDS:
        chosen = sorted((result for result in results if result["ended"] == end), key=lambda result: result["name"])
        if chosen:
            lines += [f"## {end.capitalize()} ({len(chosen)})", "", *_rows(end, chosen), ""]
    file.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(f"{dict(counts)}; table: {file}")


def _rows(end: str, results: Sequence[Mapping[str, Any]]) -> list[str]:
    if end == "equal":
        head = ["| class | family | head | last_blocks: 1 | notes |", "|---|---|---|---|---|"]
        return head + [
            f"| {result['name']} | {result['model_type']} | {_trunk(result, 'head')} "
            f"| {_trunk(result, 'last_blocks-1')} | {_notes(result)} |"
            for result in results
        ]
    head = ["| class | family | at | what | notes |", "|---|---|---|---|---|"]
    return head + [
        f"| {result['name']} | {result['model_type']} | {result['stage']} "
        f"| {_cell('; '.join(filter(None, [result['sentence'], *result['faults']])))} | {_notes(result)} |"
        for result in results
    ]


def _trunk(result: Mapping[str, Any], tuning: str) -> str:
    return _cell(result["refused"].get(tuning) and "refused" or result["trunks"].get(tuning, ""))


def _notes(result: Mapping[str, Any]) -> str:
    drawn = [f"draws ({result['draws']})"] if result["draws"] else []
    refused = [f"{tuning}: {sentence}" for tuning, sentence in result["refused"].items()]
    said = [note for note in result["notes"] if not any(note.startswith(f"bare/{name}") for name in result["trunks"])]
    return _cell("; ".join([*drawn, *refused, *said]))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
