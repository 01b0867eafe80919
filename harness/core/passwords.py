"""Passwords in addresses, masked wherever an address is printed, logged or stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

__all__ = ["addresses_in", "masked", "masked_all", "without_user"]

MASK = "***"

SECRETS = r"(?:pass|pwd|token|secret|api.?key|access.?key|credential|signature|\bsig\b|\bkey\b|\bauth\b)"

WEB_SCHEME = r"\b(?:https?|ftp|wss?|git|ssh)(?:\+\w+)?:/{1,2}"
"""An address that was taken for a path has one slash there."""

WEB = re.compile(rf"(?P<begin>{WEB_SCHEME})(?P<user>[^\s/?#'\"<>]*)@", re.IGNORECASE)
"""Of these the part before the host holds no slash, and may be a token as a whole."""

OTHER = re.compile(
    rf"(?P<begin>\b(?!{WEB_SCHEME})[a-z][\w+.-]*:/{{1,2}}[^\s:/?#@'\"<>]*:)(?!\d+[/?])[^\s'\"<>]*@", re.IGNORECASE
)
"""Of databases: a password may hold anything, as SQLAlchemy has it."""

QUERY = re.compile(rf"(?P<begin>[?&;][\w.-]*{SECRETS}[\w.-]*=)[^&;#\s'\"<>]+", re.IGNORECASE)

WHOLE = re.compile(r"(?:[a-z][\w+.-]*://[^:/@]*:|https?://)(?P<password>.*)@", re.IGNORECASE | re.DOTALL)
"""An address by itself, whatever its password holds."""

ADDRESS = re.compile(r"[a-z][\w+.-]*://.*", re.IGNORECASE)

SHORTEST = 4
"""Characters of a password, or of a part of one, that are looked for by themselves."""


def masked(text: str, *addresses: str) -> str:
    """Return a text without the passwords of all addresses in it.

    Args:
        text: Of a message, a record, a report.
        addresses: Those that it may be about: their passwords are masked wherever they stand, since a driver that
            fails may quote any part of one.

    >>> masked("cannot reach postgresql://ada:s3cr@t@db/runs?sslpassword=x")
    'cannot reach postgresql://ada:***@db/runs?sslpassword=***'
    """
    for address in addresses:
        for secret in _secrets(address):
            text = text.replace(secret, MASK)
    text = WEB.sub(lambda found: f"{found['begin']}{_user(found['user'])}@", text)
    return QUERY.sub(rf"\g<begin>{MASK}", OTHER.sub(rf"\g<begin>{MASK}@", text))


def addresses_in(value: Any) -> list[str]:
    """Return the texts in a value as JSON has it that are addresses, and may hold a password."""
    if isinstance(value, str):
        return [value] if ADDRESS.match(value) else []
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [address for inner in inside for address in addresses_in(inner)]


def _user(said: str) -> str:
    name, colon, _ = said.partition(":")
    return f"{name}:{MASK}" if colon else MASK


def _secrets(address: str) -> list[str]:
    """Return the passwords of an address as it has them, decoded, and in the parts that a driver may take them for."""
    found = [match["password"]] if (match := WHOLE.match(address)) else []
    found += [pair.partition("=")[2] for pair in re.split("[?&;]", address) if re.search(f"{SECRETS}.*=", pair, re.I)]
    decoded = [*found, *map(unquote, found)]
    parts = [part for secret in decoded for part in re.split("[@/:?#]", secret)]
    return sorted({secret for secret in [*decoded, *parts] if len(secret) >= SHORTEST}, key=len, reverse=True)


def masked_all(value: Any) -> Any:
    """Return a value as JSON has it, all its texts `masked`."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {key: masked_all(inner) for key, inner in value.items()}
    return [masked_all(inner) for inner in value] if isinstance(value, list | tuple) else value


def without_user(address: str) -> str:
    """Return an address that a browser is sent to, without what it has before the host."""
    return WEB.sub(r"\g<begin>", address)
