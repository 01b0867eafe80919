"""Format versions: what may be read is read, what is newer is told apart from what is damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import NewerError
from harness.core.format_versions import refuse_newer


@given(st.integers(1, 50), st.integers(1, 50))
def test_exactly_what_is_newer_is_refused(found: int, reads: int) -> None:
    refuse_newer("file", None, reads)
    if found <= reads:
        refuse_newer("file", found, reads)
    else:
        with pytest.raises(
            NewerError, match=rf"file .*newer .*format {found}, this one reads up to {reads}\): install"
        ):
            refuse_newer("file", found, reads)


@given(st.one_of(st.booleans(), st.integers(max_value=0), st.floats(), st.text(), st.lists(st.integers())))
def test_what_is_no_version_is_damage(found: object) -> None:
    with pytest.raises(ValueError, match="no version"):
        refuse_newer("file", found, 1)
