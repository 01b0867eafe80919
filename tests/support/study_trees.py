"""Trees of study files with a value at a key, and values of every kind."""

from __future__ import annotations

from typing import Any

__all__ = ["VALUES", "put"]

VALUES = [None, 3, 1.5, -1, float("inf"), "word", "", [1], [], ["a"], {"a": 1}, {}, True, "2024-01-01", [[1]], [None]]


def put(key: str, value: object) -> dict[str, Any]:
    """Return a study with a value at a key."""
    tree: dict[str, Any] = {"name": "a", "task": "summarization", "prompts": ["bare"], "tuning": ["head"]}
    *sections, last = key.split(".")
    node = tree
    if sections[:1] == ["prompts"]:
        node = {"name": "x", "text": "{{ source }}"}
        tree["prompts"] = [node]
    else:
        for section in sections:
            node = node.setdefault(section, {})
    if sections == ["final", "baseline"]:
        node.update({"prompt": "bare", "tuning": "full"})
    node[last] = value
    return tree
