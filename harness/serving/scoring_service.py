"""What a served model answers, and where: MLflow's scoring protocol over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from importlib.metadata import version

from harness.core.errors import DataError
from harness.serving.answer_queue import AnswerQueue
from harness.serving.callers import Callers
from harness.serving.http_server import Refused, Reply, Request
from harness.serving.scoring_request import TooManyRows, read_request, see_content_type

__all__ = ["INVOCATIONS", "ScoringService"]

HEALTH, VERSION, INVOCATIONS = ("/ping", "/health"), "/version", "/invocations"


class ScoringService:
    """Answers at the addresses of MLflow's scoring server.

    Args:
        callers: Who may ask.
        queue: To the model.
        fields: The columns that it reads.
    """

    def __init__(self, callers: Callers, queue: AnswerQueue, fields: Sequence[str]) -> None:
        self._callers, self._queue, self._fields = callers, queue, fields
        self._reading = ThreadPoolExecutor(1, "requests")

    def admit(self, request: Request) -> Reply | None:
        """Answer what needs no body; refuse what will not be answered with one."""
        self._callers.see_address(request)
        if request.path not in HEALTH:
            self._callers.see_token(request)
        if request.path in (*HEALTH, VERSION):
            _see_method(request, "GET", "HEAD")
            return Reply(HTTPStatus.OK, b"\n" if request.path in HEALTH else version("mlflow").encode())
        if request.path != INVOCATIONS:
            known = ", ".join([INVOCATIONS, *HEALTH, VERSION])
            raise Refused(HTTPStatus.NOT_FOUND, f"{ascii(request.path)[:200]} is not answered; known: {known}")
        _see_method(request, "POST")
        _kind(request)
        self._queue.see_room()
        return None

    async def answer(self, request: Request, body: bytes) -> Reply:
        """Answer rows."""
        try:
            read = partial(read_request, body, _kind(request), self._fields)
            asked = await asyncio.get_running_loop().run_in_executor(self._reading, read)
            said = await self._queue.answer(asked.rows, skip=asked.skip, probabilities=asked.probabilities)
        except TooManyRows as error:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from error
        except DataError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        return Reply(HTTPStatus.OK, json.dumps({"predictions": said}).encode())


def _see_method(request: Request, *known: str) -> None:
    if request.method not in known:
        message = f"{request.path} answers {known[0]}, not {ascii(request.method)[:40]}"
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, message, ("Allow", ", ".join(known)))


def _kind(request: Request) -> str:
    """Return a body's kind."""
    encoded = [each for each in request.all("content-encoding") if each.lower() != "identity"]
    if encoded:
        message = f"Content-Encoding {', '.join(encoded)!r} is not read; send the body as it is"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    try:
        return see_content_type(next(iter(request.all("content-type")), None))
    except DataError as error:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from error
