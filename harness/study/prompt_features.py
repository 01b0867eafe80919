"""Features: parts of a prompt that come in several wordings, and one prompt for every combination of them.

A full factorial design (Box, Hunter & Hunter 2005, "Statistics for Experimenters", chapter 5): the effect of each part
is estimated from all cells, averaged over the other parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Any

from harness.core.plain_yaml import shown

__all__ = [
    "FEATURE",
    "LEVEL",
    "LONGEST",
    "MOST",
    "PLACE",
    "Wordings",
    "combinations",
    "feature_name",
    "filled",
    "refuse_features",
    "refuse_malformed_features",
]

Wordings = Mapping[str, Mapping[str, str]]
"""Of each feature the texts of its levels, by the levels' names."""

FEATURE, LEVEL = r"^[A-Za-z][A-Za-z0-9_]*$", r"^[A-Za-z0-9][A-Za-z0-9.-]*$"
"""Names of features, and of their levels: a prompt's name joins them by ``-`` and ``_``."""

LONGEST = 40
"""Characters of either."""

MOST = 64
"""Prompts that one set of features may make; each is a row of cells."""

PLACE = r"(?:\s*\{{\{{-|\{{\{{)\s*{0}\s*(?:-\}}\}}\s*|\}}\}})"
"""Where a feature stands in a text, with the white space that a dash leaves out, as in Jinja2."""


def feature_name(prompt: str, levels: Mapping[str, str]) -> str:
    """Return the name of one combination: ``f_role-1_cue-0``."""
    return "_".join([prompt, *(f"{feature}-{level}" for feature, level in levels.items())])


def combinations(features: Wordings) -> list[dict[str, str]]:
    """Return the levels of each combination by feature, the last feature changing first."""
    return [dict(zip(features, levels, strict=True)) for levels in product(*features.values())]


def refuse_malformed_features(features: Any) -> None:
    """Refuse what is no mapping of names to wordings, in a list or by name.

    Raises:
        ValueError: Says what is wrong with which.
    """
    form = "give each its wordings: {cue: ['', 'TL;DR:']}, or by name: {cue: {none: '', tldr: 'TL;DR:'}}"
    if not isinstance(features, Mapping):
        raise ValueError(f"features is {shown(features)}; {form}")
    for feature, wordings in features.items():
        _refuse_name("a feature", feature, FEATURE, "letters, digits and _, and begin with a letter")
        if not isinstance(wordings, Mapping | list | tuple):
            raise ValueError(f"features.{feature} is {shown(wordings)}; {form}")
        named = wordings if isinstance(wordings, Mapping) else dict(enumerate(wordings))
        for level, text in named.items():
            if named is wordings:
                _refuse_name(
                    f"a wording of features.{feature}", level, LEVEL, "letters, digits, . and -, no . or - first"
                )
            if not isinstance(text, str):
                raise ValueError(f"features.{feature}.{level} is {shown(text)}; it must be a text; quote it")


def _refuse_name(whose: str, name: Any, pattern: str, rule: str) -> None:
    if not isinstance(name, str):
        raise ValueError(f"{whose} is called {shown(name)}, which is no text; quote it")
    if not re.fullmatch(pattern, name) or len(name) > LONGEST:
        raise ValueError(f"{whose} is called {shown(name)}; use {rule}, {LONGEST} characters at most")


def refuse_features(features: Wordings, written: Mapping[str, Any]) -> None:
    """Refuse features that make no factorial: a single wording, one twice, no place in the prompt, too many prompts.

    Args:
        features: By name.
        written: The prompt's keys that may hold them.

    Raises:
        ValueError: Says what is wrong with which.
    """
    for feature, wordings in features.items():
        if len(wordings) < 2:
            raise ValueError(f"features.{feature} has one wording; give it two or more, or write it into the text")
        if len(set(wordings.values())) < len(wordings):
            raise ValueError(f"features.{feature} has the same wording twice; keep one of them")
        if not re.search(PLACE.format(feature), "\n".join(_texts(written))):
            rule = f"write {{{{ {feature} }}}} where it belongs"
            raise ValueError(f"features.{feature} has no place in the prompt; {rule}")
    if (count := prod(map(len, features.values()))) > MOST:
        raise ValueError(f"features make {count} prompts; the most are {MOST}: take fewer features or wordings")


def filled(value: Any, wordings: Mapping[str, str]) -> Any:
    """Return a prompt's key with the wording of each feature in its place, in every text that it holds."""
    if isinstance(value, Mapping):
        return {key: filled(inner, wordings) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [filled(inner, wordings) for inner in value]
    if not isinstance(value, str):
        return value
    names = "|".join(map(re.escape, wordings))
    return re.sub(PLACE.format(f"({names})"), lambda found: wordings[found[1]], value)


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []
