"""``docs/commands.md``, made from the command itself.

``python -m tools.commands_page`` writes it; ``tests/test_pages.py`` holds it to the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.main import get_command

from harness.cli.everywhere import EVERYWHERE
from harness.cli.main import EPILOG, app
from harness.core.whole_files import write_whole

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"

HEAD = """\
# Commands

Made by `python -m tools.commands_page` from what `harness COMMAND --help` says. `python -m harness` is the
same; `harness --install-completion` teaches your shell the names. A wrong name, key or value is answered with what was
meant.

"""


def page() -> str:
    """Return the whole page."""
    group: Any = get_command(app)
    context = group.make_context("harness", [], resilient_parsing=True)
    commands = [group.get_command(context, name) for name in group.list_commands(context)]
    shared = [param for param in group.params if param.name in EVERYWHERE]
    ends = [_section(part) for part in EPILOG.split("\n\n") if not part.startswith("Examples")]
    everywhere = f"## Options of every command\n\n{_table(shared)}"
    return HEAD + "\n".join([everywhere, *ends, *(_command(command) for command in commands)])


def _section(text: str) -> str:
    title, _, rest = text.partition(":\n")
    return f"## {title}\n\n```text\n{rest.rstrip()}\n```\n"


def _command(command: Any) -> str:
    params = [param for param in command.params if param.name not in {*EVERYWHERE, "help"}]
    words = [_usage(param) for param in params]
    example = (command.epilog or "").removeprefix("Example: ")
    usage = " ".join(["harness", command.name, *(word for word in words if word)])
    said = f"{command.help.strip()}\n\n```text\n{usage}\n```\n"
    table = f"\n{_table(params)}" if params else ""
    return f"## harness {command.name}\n\n{said}{table}\nExample: `{example}`\n"


def _usage(param: Any) -> str:
    if param.param_type_name == "argument":
        name = _argument(param)
        many = " ..." if param.nargs == -1 else ""
        return f"{name}{many}" if param.required else f"[{name}{many}]"
    return f"{max(param.opts, key=len)} {_value(param)}".strip() if param.required else ""


def _table(params: list[Any]) -> str:
    rows = []
    for param in params:
        is_argument = param.param_type_name == "argument"
        names = _argument(param) if is_argument else ", ".join(sorted(param.opts, key=len, reverse=True))
        value = "" if is_argument or param.is_flag else f" {_value(param)}"
        default = getattr(param.default, "value", param.default)
        left_out = f" Left out: `{default}`." if default and isinstance(default, str) else ""
        env = f" Or by `{param.envvar}`." if param.envvar else ""
        rows.append(f"| `{names}{value}` | {(param.help or '').rstrip('.')}.{left_out}{env} |")
    return "\n".join(["| | |", "|---|---|", *rows]) + "\n"


def _argument(param: Any) -> str:
    return str(param.metavar or param.name.upper()).strip("[]{}")


def _value(param: Any) -> str:
    return str(param.metavar or max(param.opts, key=len).lstrip("-").upper())


if __name__ == "__main__":
    write_whole(PAGE, page())
