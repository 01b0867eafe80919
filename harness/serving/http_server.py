"""HTTP/1.1 with a bound on everything that a client may take: bytes, seconds, places. One request per connection.

h11 reads and writes messages. Each wait has its own limit, and whatever is refused is refused by a sentence in JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import NamedTuple, Protocol

import h11

__all__ = ["Application", "HttpServer", "Limits", "Refused", "Reply", "Request"]

LONGEST = 2_000
"""Characters of a refusal: it may quote what was sent."""


class Limits(NamedTuple):
    """What one client may take."""

    head_bytes: int = 16 * 1024
    """Request line and headers together."""
    body_bytes: int = 8 * 1024 * 1024
    head_seconds: float = 10.0
    """From connecting to the end of the headers."""
    body_seconds: float = 30.0
    answer_seconds: float = 600.0
    """Waiting for a turn included."""
    write_seconds: float = 30.0
    linger_seconds: float = 5.0
    """How long what a client still sends is read and thrown away, so that it comes to read the answer."""
    connections: int = 32
    """At a time; more are told to come back."""


LIMITS = Limits()


class Request(NamedTuple):
    """A request's head, without what follows a question mark."""

    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    """Names in lower case."""

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for found, value in self.headers if found == name]


class Reply(NamedTuple):
    """An answer."""

    status: int
    body: bytes
    headers: Sequence[tuple[str, str]] = ()


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: Of HTTP.
        message: The value, the rule and the remedy.
        headers: What belongs to the status.
    """

    def __init__(self, status: int, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        said = {"error_code": HTTPStatus(status).name, "message": message[:LONGEST]}
        self.reply = Reply(status, json.dumps(said).encode(), headers)


class Application(Protocol):
    """What is served."""

    def admit(self, request: Request) -> Reply | None:
        """Answer by the head alone, or return nothing: the body is read, and `answer` asked.

        Raises:
            Refused: Before anything of the body is read.
        """

    async def answer(self, request: Request, body: bytes) -> Reply:
        """Answer a request; cancelled when nobody waits for it any more.

        Raises:
            Refused: It is not answered.
        """


class HttpServer:
    """Serves an application to all who connect.

    Args:
        application: What answers.
        tell: Told, in a line, of what was not foreseen.
        limits: For each client.
    """

    def __init__(self, application: Application, tell: Callable[[str], None], limits: Limits = LIMITS) -> None:
        self._application = application
        self._tell = tell
        self._limits = limits
        self._open: set[asyncio.Task[None] | None] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold the one conversation of a connection; for `asyncio.start_server`."""
        talk = _Conversation(reader, writer, self._limits)
        self._open.add(asyncio.current_task())
        try:
            try:
                reply = await self._reply(talk)
            except Refused as refused:
                reply = refused.reply
            await talk.end(reply)
        except (OSError, asyncio.CancelledError):  # the client has gone, or the server is being stopped
            pass
        finally:
            self._open.discard(asyncio.current_task())
            writer.transport.abort()

    async def close(self, seconds: float) -> None:
        """Wait for the conversations that are going on, then end them."""
        talks = [talk for talk in self._open if talk]
        if talks:
            _, late = await asyncio.wait(talks, timeout=seconds)
            for talk in late:
                talk.cancel()

    async def _reply(self, talk: _Conversation) -> Reply:
        limits = self._limits
        if len(self._open) > limits.connections:
            message = f"more than {limits.connections} clients are connected; try again in some seconds"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, message, ("Retry-After", "5"))
        async with _within(limits.head_seconds, HTTPStatus.REQUEST_TIMEOUT, "headers took"):
            request = await talk.head()
        if reply := self._application.admit(request):
            return reply
        async with _within(limits.body_seconds, HTTPStatus.REQUEST_TIMEOUT, "the body took"):
            body = await talk.body(request)
        async with _within(limits.answer_seconds, HTTPStatus.GATEWAY_TIMEOUT, "the answer took"):
            return await talk.while_there(self._answer(request, body))

    async def _answer(self, request: Request, body: bytes) -> Reply:
        try:
            return await self._application.answer(request, body)
        except Refused:
            raise
        except Exception as error:  # the model's, or ours: the next request may fare better
            self._tell(f"a request failed: {ascii(error)[:LONGEST]}")
            message = f"the server failed with {type(error).__name__}; its own screen says more"
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, message) from error


@asynccontextmanager
async def _within(seconds: float, status: int, what: str) -> AsyncIterator[None]:
    """Refuse what takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        remedy = "send it faster, or less" if status == HTTPStatus.REQUEST_TIMEOUT else "send fewer rows"
        raise Refused(status, f"{what} longer than {seconds:g} s; {remedy}") from None


class _Conversation:
    """One request and its answer.

    Args:
        reader: What the client says.
        writer: What it is told.
        limits: Of bytes and seconds.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        writer.transport.set_write_buffer_limits(0)  # what was written has left when `drain` returns
        self._reader, self._writer, self._limits = reader, writer, limits
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self._method = b""

    async def head(self) -> Request:
        """Return the request, as far as its headers.

        Raises:
            Refused: It is none.
            ConnectionError: The client closed instead.
        """
        event = await self._event()
        if not isinstance(event, h11.Request):
            raise ConnectionAbortedError
        if event.http_version not in (b"1.0", b"1.1"):
            raise Refused(
                HTTPStatus.BAD_REQUEST, f"no valid HTTP/1.1, but {ascii(event.http_version)}; ask as curl does"
            )
        self._method = event.method
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
        path = event.target.decode("latin-1").partition("?")[0]
        return Request(event.method.decode("latin-1"), path, headers)

    async def body(self, request: Request) -> bytes:
        """Return the body, asking for it where the client waits to be asked.

        Raises:
            Refused: It is too large, or broken.
        """
        body, most = bytearray(), self._limits.body_bytes
        if sum(map(int, request.all("content-length"))) > most:
            raise _too_large(most)
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > most:
                raise _too_large(most)
        return bytes(body)

    async def while_there(self, answer: Awaitable[Reply]) -> Reply:
        """Wait for an answer; give it up when the client leaves.

        Raises:
            ConnectionError: The client left.
        """
        answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(self._throw_away())
        try:
            await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            raise ConnectionAbortedError
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def end(self, reply: Reply) -> None:
        """Send the answer, and wait for the client to take it."""
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(reply.body))),
            ("Connection", "close"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *reply.headers,
        ]
        body = [] if self._method == b"HEAD" else [h11.Data(data=reply.body)]
        reason = HTTPStatus(reply.status).phrase
        response = h11.Response(status_code=reply.status, headers=headers, reason=reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.write_seconds):
                await self._send(response, *body, h11.EndOfMessage())
                self._writer.write_eof()
            async with asyncio.timeout(self._limits.linger_seconds):
                await self._throw_away()

    async def _event(self) -> object:
        """Return what the client says next."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(self._limits.head_bytes))
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                raise Refused(status, f"headers are larger than {self._limits.head_bytes:,} bytes; send less") from None
            raise Refused(status, f"no valid HTTP/1.1: {error}; ask as curl does") from None
        return event

    async def _send(self, *events: h11.Event) -> None:
        for event in events:
            self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def _throw_away(self) -> None:
        """Read until the client closes."""
        with suppress(OSError):
            while await self._reader.read(self._limits.head_bytes):
                pass


def _too_large(most: int) -> Refused:
    message = f"the body is larger than {most:,} bytes; send fewer rows at a time, or a file to harness predict"
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
