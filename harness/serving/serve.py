"""``harness serve``: a stored model behind HTTP, with what MLflow's scoring server answers, and limits."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness.core.bounded_files import read_json
from harness.core.errors import StoreError
from harness.core.permissions import Permissions
from harness.serving.answer_queue import AnswerQueue
from harness.serving.callers import TOKEN, Callers, is_loopback, token_from
from harness.serving.find_model import stored_model
from harness.serving.generator import Generator
from harness.serving.http_server import HttpServer
from harness.serving.scoring_service import INVOCATIONS, ScoringService

__all__ = ["serve_model", "serve_until_signal"]

GRACE = 2.0
"""Seconds in which connections, and then the model, end; whoever stopped the server waits no longer than twice that."""

EXAMPLE = "serving_input_example.json"
"""MLflow's file of a row that a stored model was given, in its folder."""

LONGEST_EXAMPLE = 400
"""Characters of a row that is printed."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve_model(
    name: str, *, host: str, port: int | None, token: str | None, tell: Callable[[str], None], allowed: Permissions
) -> None:
    """Serve a model until a signal comes.

    Args:
        name: See `harness.serving.find_model.stored_model`.
        host: An address or name of this machine.
        port: Left out: a free one.
        token: What callers must show; left out: that of the environment, if any.
        tell: Prints a line.
        allowed: What the model may do.

    Raises:
        UserError: There is no such model, or the token or the address cannot be had.
        KeyboardInterrupt: A signal came, whose number it holds.
    """
    in_process_list, token = token is not None, token_from(token)
    with _listening(host, port or 0) as listener:
        callers = Callers(host, listener.getsockname()[0], token)
        with stored_model(name) as folder:
            generator = Generator(folder, allowed)
            example = _example(folder, generator.fields)
        listener.listen()
        _announce(name, example, _address(host, listener), callers, tell)
        if in_process_list:
            tell(f"warning: --token is seen in the list of processes; {TOKEN} in the environment is not")
        queue = AnswerQueue(generator)
        number = asyncio.run(
            serve_until_signal(ScoringService(callers, queue, generator.fields), listener, queue, tell)
        )
    raise KeyboardInterrupt(number)


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that has the address; who connects is refused until it listens."""
    with ExitStack() as undo:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM) if host else []
            family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
            listener = undo.enter_context(socket.socket(family))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier server's last connections
            listener.bind(address)
        except (OSError, OverflowError, ValueError) as error:
            raise StoreError(f"the model cannot have --host {host!r} --port {port}: {error}; try another") from error
        undo.pop_all()
    return listener


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _example(folder: Path, fields: Sequence[str]) -> Mapping[str, Any]:
    """Return a row to try: the one that MLflow keeps with the model, unless there is none, or it is long."""
    try:
        table = read_json(folder / EXAMPLE)["dataframe_split"]
        row = dict(zip(table["columns"], table["data"][0], strict=True))
        if row.keys() == set(fields) and len(json.dumps(row)) <= LONGEST_EXAMPLE:
            return row
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return dict.fromkeys(fields or ["source"], "a text of yours")


def _announce(
    name: str, example: Mapping[str, Any], address: str, callers: Callers, tell: Callable[[str], None]
) -> None:
    body = shlex.quote(json.dumps({"dataframe_records": [example]}))
    shown = f' -H "Authorization: Bearer ${TOKEN}"' if callers.token else ""
    tell(f"model {name}: {address}{INVOCATIONS}")
    tell(f"curl {address}{INVOCATIONS} -H 'Content-Type: application/json'{shown} -d {body}")
    tell("Ctrl-C stops it")
    if not is_loopback(callers.address):
        who = "whoever has the token" if callers.token else f"anyone, since {TOKEN} is not set,"
        tell(f"warning: --host {callers.host} is no loopback address: {who} can ask from other machines, unencrypted")


async def serve_until_signal(
    service: ScoringService, listener: socket.socket, queue: AnswerQueue, tell: Callable[[str], None]
) -> int:
    """Answer until a signal comes; return its number. A second one ends the process at once."""
    came: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def stop(number: int) -> None:
        if came.done():
            os._exit(128 + number)
        came.set_result(number)

    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup has ignored SIGHUP
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
    http = HttpServer(service, tell)
    server = await asyncio.start_server(http.connected, sock=listener)
    ended_by = await came
    server.close()
    queue.stop()
    await http.close(GRACE)
    if not await asyncio.to_thread(queue.has_ended, GRACE):
        os._exit(128 + ended_by)  # the model is inside one long computation, for which Python would wait
    return ended_by
