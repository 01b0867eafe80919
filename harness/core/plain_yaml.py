"""YAML as plain values, within bounds: a few aliases of aliases would stand for gigabytes, and a date is a text."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError

__all__ = ["cut", "repeated_key", "shown", "yaml_nodes", "yaml_text", "yaml_value"]

NODES = 20_000
"""Values that a text may hold, what an alias stands for counted again each time."""

QUOTED = 200
"""The most characters of a value that a message shows."""

DATE = "tag:yaml.org,2002:timestamp"


def yaml_nodes(text: str) -> yaml.Node | None:
    """Return a text's nodes, with their lines; ``None`` where it is empty.

    Raises:
        yaml.YAMLError: It is no YAML, or out of bounds.
    """
    return _composed(_Loader(text))


def yaml_value(text: str) -> Any:
    """Return what a text says: texts, numbers, truth values, lists and mappings.

    Raises:
        yaml.YAMLError: It is no YAML, or out of bounds.
    """
    loader = _Loader(text)
    root = _composed(loader)
    return None if root is None else loader.construct_document(root)


def repeated_key(node: yaml.Node | None) -> str | None:
    """Return a key that stands twice in a mapping, of which `yaml_value` takes the last; ``None``: there is none."""
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            return str(repeated[0])
        inside = [value for _, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inside = node.value
    return next((key for one in inside if (key := repeated_key(one)) is not None), None)


def shown(value: object) -> str:
    """Return a value as a study file has it, texts in quotes, long ones cut.

    >>> shown({"a": [None, True, "b", 1.5]})
    "{a: [null, true, 'b', 1.5]}"
    """
    return cut(_yaml(value))


def _yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_yaml(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    return repr(value)


def cut(text: str) -> str:
    """Return a text, or its beginning if it is long."""
    return text if len(text) <= QUOTED else f"{text[:QUOTED]} ..."


class _Loader(yaml.SafeLoader):
    """Reads dates as texts, and says where a value is none of its kind."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML has it
        sign: [(tag, pattern) for tag, pattern in resolvers if tag != DATE]
        for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._composed = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._composed += 1
        if self._composed > NODES:
            raise ConstructorError(None, None, f"it holds more than {NODES:,} values", self.get_mark())
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        kind = node.tag.rpartition(":")[2]
        try:
            value = super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            raise ConstructorError(None, None, f"{str(node.value)[:40]!r} is no {kind}", node.start_mark) from None
        if isinstance(value, int) and value.bit_length() > 63:
            raise ConstructorError(None, None, "a whole number has at most 63 bits", node.start_mark)
        return value


def _composed(loader: _Loader) -> yaml.Node | None:
    try:
        root: yaml.Node | None = loader.get_single_node()
        if root is not None:
            _count(root, {})
    except RecursionError:
        raise yaml.YAMLError("it is nested too deep") from None
    return root


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """Return for how many values a node stands; it is counted once, however often aliases name it."""
    if id(node) in counted:
        if not counted[id(node)]:
            raise yaml.YAMLError("an alias stands inside what it names")
        return counted[id(node)]
    counted[id(node)] = 0  # not yet known
    inside = node.value if isinstance(node, yaml.CollectionNode) else ()
    values = [part for item in inside for part in (item if isinstance(item, tuple) else (item,))]
    count = 1 + sum(_count(value, counted) for value in values)
    if count > NODES:
        raise ConstructorError(None, None, f"its aliases stand for more than {NODES:,} values", node.start_mark)
    counted[id(node)] = count
    return count


def yaml_text(value: Any) -> str:
    """Return plain values as YAML, keys in their order; `yaml_value` gives them back.

    Raises:
        yaml.YAMLError: A value is not plain.
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes a value in full wherever it stands, and texts of several lines as such."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escape line ends that only some programs take for such: YAML would read a plain one back as a space."""
        style = '"' if set("\x85\u2028\u2029") & set(data) else "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)
