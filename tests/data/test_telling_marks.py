"""Telling marks: which texts are searched for them."""

from __future__ import annotations

import re
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.data import telling_marks
from harness.data.telling_marks import pieces

CHARACTERS = "abM15 \n.,;:!?'\"()[]-–+=@/_$%&*\u2019\u00b2\u0663\u6f22\u30fb\ue000"


@settings(max_examples=600, deadline=None)
@given(st.text(CHARACTERS, max_size=14))
@example("5'")
@example("a .5")
@example("1,.'5")
@example('5" and 6')
@example("of Name12, and Name7.")
def test_no_text_is_passed_over_that_has_a_telling_mark(text: str) -> None:
    found = list(pieces(text))
    with patch.object(telling_marks, "_MAY_TELL", re.compile("")):
        searched = list(pieces(text))
    assert found == searched
