"""JSON patches, with `jsonpatch` as the oracle."""

from __future__ import annotations

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from coalmine_webhook.patch import members, pointer

KEYS = st.text(st.sampled_from("a/~1é "), min_size=1, max_size=4)
VALUES = st.text(max_size=3)


def test_pointers_are_escaped():
    assert pointer("metadata", "annotations", "coalmine.dev/hold") == "/metadata/annotations/coalmine.dev~1hold"
    assert pointer("a~/b", 0, "-") == "/a~0~1b/0/-"


@given(before=st.none() | st.dictionaries(KEYS, VALUES), wanted=st.dictionaries(KEYS, st.none() | VALUES))
def test_members_are_as_wanted_and_the_rest_is_left_alone(before, wanted):
    document = {"x": {}} if before is None else {"x": {"m~/": before}}
    operations = members(before, wanted, "x", "m~/")
    after = jsonpatch.apply_patch(document, list(operations))["x"].get("m~/", {})
    expected = {**(before or {}), **{k: v for k, v in wanted.items() if v is not None}}
    assert after == {k: v for k, v in expected.items() if not (k in wanted and wanted[k] is None)}
    assert members(after, wanted, "x", "m~/") == ()
    assert len(operations) <= len(wanted)
