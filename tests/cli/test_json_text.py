"""JSON for programs is what Python's own writer makes of it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from saltbranch.cli.options.common import json_text

data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(data)
@example({"broken": "salt/\udcff.sls", "empty": [[], {}]})
@example({"\u2028": "\0 \x1b[31m \u00e4"})
def test_it_is_indented_as_ever(value: Any) -> None:
    assert json_text(value) == json.dumps(value, indent=2) + "\n"
