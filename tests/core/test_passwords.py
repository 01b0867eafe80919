"""No text that is masked holds a password of an address in it, whatever the password is made of."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import StoreAway, StoreError
from harness.core.passwords import masked, masked_all, without_user

SCHEMES = ("postgresql", "postgresql+psycopg2", "mysql", "mssql+pyodbc", "redis", "amqp", "mongodb+srv", "s3")
WEB = ("http", "https", "git+https", "ssh", "ftp")
SAFE = string.ascii_letters + string.digits
ODD = SAFE + "!$%&*()+,-.:;=@[]^_`{|}~/#?"

passwords = st.text(SAFE, min_size=3, max_size=12).map(lambda text: f"pW{text}0")
odd_passwords = st.text(ODD, min_size=3, max_size=12).map(lambda text: f"pW{text}0")
around = st.sampled_from(["{}", "'{}'", '"{}"', "({})", "cannot reach {}: no", "url={}, and", "[{}]", "\n{}\n", "<{}>"])


@given(st.sampled_from(SCHEMES), st.sampled_from(["ada", ""]), odd_passwords, around)
def test_a_database_s_password(scheme: str, user: str, password: str, text: str) -> None:
    address = f"{scheme}://{user}:{password}@db.example:5432/runs"
    shown = masked(text.format(address))
    assert password not in shown
    assert f"{scheme}://{user}:***@db.example:5432/runs" in shown


@given(st.sampled_from(WEB), passwords, st.booleans(), around)
def test_a_server_s_password_or_token(scheme: str, password: str, alone: bool, text: str) -> None:
    user = password if alone else f"ada:{password}"
    shown = masked(text.format(f"{scheme}://{user}@host.example/a@b?c=d"))
    assert password not in shown
    assert "@host.example/a@b?c=d" in shown


@pytest.mark.parametrize("address", ["https://ada:s3cr3t@host.example/a", "redis://ada:s3cr3t@host.example/1"])
def test_an_address_that_was_taken_for_a_path(address: str) -> None:
    shown = masked(f"{Path(address)}: it is not there")
    assert shown == f"{Path(address)}: it is not there".replace("s3cr3t", "***")


@given(
    st.sampled_from(
        ["password", "sslpassword", "passwd", "token", "access_token", "api_key", "X-Amz-Signature", "sig"]
    ),
    passwords,
    st.sampled_from(["?{}", "?a=b&{}", "?{}&a=b"]),
)
def test_a_parameter(name: str, password: str, query: str) -> None:
    shown = masked(f"postgresql://host/runs{query.format(f'{name}={quote(password)}')}")
    assert password not in shown
    assert f"{name}=***" in shown


@given(st.text(ODD + " '\"", min_size=4, max_size=14))
def test_a_password_that_is_known_is_found_in_any_part_of_a_message(password: str) -> None:
    address = f"postgresql://ada:{password}@host/runs"
    for said in (f"{address}", repr(address), f"authentication of '{password}' failed"):
        assert password not in masked(said, address) or password.strip("*") == ""


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/a:b/x@y.db",
        "models:/quickstart@champion and prompts:/a.b@best",
        "http://127.0.0.1:5000/#/models/x@y",
        "hf://datasets/a@0123",
        "postgresql://ada@host:5432/runs?sslmode=require",
        "see https://example.org/a?page=2 and mail ada@example.org",
        "git@github.com:a/b.git",
        "at 10:30@home",
    ],
)
def test_what_is_no_password_stays(text: str) -> None:
    assert masked(text) == text


def test_values_of_json() -> None:
    held = {"storage": "mysql://a:pWx0@h/d", "seeds": [1, 2.5, None, True], "list": ["redis://:pWx0@h"]}
    assert masked_all(held) == {
        "storage": "mysql://a:***@h/d",
        "seeds": [1, 2.5, None, True],
        "list": ["redis://:***@h"],
    }


def test_a_link_says_nobody_s_name() -> None:
    assert without_user("https://ada:pWx0@host:5000/#/x@y") == "https://host:5000/#/x@y"
    assert without_user("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


def test_no_error_of_ours_says_one() -> None:
    error = StoreAway("cannot reach mysql://a:pWx0@h/d", "GET https://pWx0@h/")
    for text in (str(error), repr(error), error.reason, repr(StoreError("redis://:pWx0@h").args)):
        assert "pWx0" not in text
