"""Who may ask a server: by the name that they call this machine, the page that they come from, and a token."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from harness.core.errors import UserError
from harness.serving.http_server import Refused, Request

__all__ = ["TOKEN", "Callers", "is_loopback", "token_from"]

TOKEN = "HARNESS_TOKEN"
"""The environment's, which the process list does not show."""

NAMED = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)
"""A Host header."""


def token_from(option: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token that callers must show, if any.

    Raises:
        UserError: It is no token; an empty one would let everyone in.
    """
    token = environment.get(TOKEN) if option is None else option
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise UserError(f"{TOKEN} or --token is empty or holds more than visible ASCII; set it to such, or not at all")
    return token


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine alone."""
    return ipaddress.ip_address(host).is_loopback


class Callers(NamedTuple):
    """Those who may ask."""

    host: str
    """As the user names it."""
    address: str
    """What it stands for."""
    token: str | None

    def see_address(self, request: Request) -> None:
        """See that a request means this server, and comes from no other site that is open in a browser.

        Raises:
            Refused: It does not.
        """
        hosts = request.all("host")
        if len(hosts) != 1 or not self._is_here(hosts[0]):
            message = (
                f"Host {', '.join(hosts)!r} is not this server; ask it by an address of this machine, or by --host"
            )
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, message)
        for origin in request.all("origin"):
            if not _is_same(origin, hosts[0]):
                message = f"Origin {origin!r} is another site; only programs and this server's own pages may ask"
                raise Refused(HTTPStatus.FORBIDDEN, message)

    def see_token(self, request: Request) -> None:
        """See that a request shows the token, if there is one.

        Raises:
            Refused: It does not.
        """
        if self.token is None:
            return
        shown = request.all("authorization")
        scheme, _, token = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self.token.encode()):
            message = f"the token is missing or wrong; send the header Authorization: Bearer, with the server's {TOKEN}"
            raise Refused(HTTPStatus.UNAUTHORIZED, message, ("WWW-Authenticate", "Bearer"))

    def _is_here(self, host: str) -> bool:
        """Say whether a Host header names this server, and not a name that anyone could have pointed at it."""
        if not (named := NAMED.fullmatch(host)):
            return False
        name = named[1].strip("[]").lower()
        try:
            asked = ipaddress.ip_address(name)
        except ValueError:
            names = {self.host} if is_loopback(self.address) else {self.host, socket.gethostname()}
            return name in {"localhost", *(each.lower() for each in names)}
        return asked.is_loopback or not is_loopback(self.address)


def _is_same(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()
