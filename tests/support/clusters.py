"""PostgreSQL clusters for tests; skips where PostgreSQL's programs or its driver are not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import create_engine, make_url, text

from benchmarks.tracking_server import Cluster, NoDatabase, running_cluster

__all__ = ["a_cluster", "new_database"]


@contextmanager
def a_cluster() -> Iterator[Cluster]:
    """Run a cluster for the length of a block."""
    pytest.importorskip("psycopg2")
    with ExitStack() as until_the_end:
        try:
            cluster = until_the_end.enter_context(running_cluster())
        except NoDatabase as reason:
            pytest.skip(str(reason))
        yield cluster


def new_database(address: str, name: str = "trials") -> str:
    """Make another database beside the one of an address, and return its address."""
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'create database "{name}"'))
    engine.dispose()
    return make_url(address).set(database=name).render_as_string(hide_password=False)
