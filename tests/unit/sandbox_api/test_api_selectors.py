"""Selectors: what matches, and what is refused."""

from __future__ import annotations

import pytest

from coalmine_sandbox.api import selectors
from coalmine_sandbox.api.errors import StatusError

LABELS = {"app": "web", "tier": "front", "n": "5"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app!=web", False),
        ("other!=x", True),
        ("app in (web, api)", True),
        ("app in (api)", False),
        ("app notin (api,db),tier", True),
        ("!other", True),
        ("!app", False),
        ("n>4", True),
        ("n<4", False),
        ("app=", False),
    ],
)
def test_labels(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize("text", ["a=b c", "=x", "a in x", "a,,b", "(", "a in (b", "-"])
def test_what_is_no_selector_is_400(text: str) -> None:
    with pytest.raises(StatusError) as refused:
        selectors.parse_labels(text)
    assert refused.value.code == 400


def test_fields() -> None:
    terms = selectors.parse_fields("spec.nodeName=a,status.phase!=Running", ["spec.nodeName", "status.phase"])
    matches = selectors.matcher(selectors.Selector(), terms)
    assert matches is not None
    assert matches({"metadata": {}, "spec": {"nodeName": "a"}, "status": {"phase": "Pending"}})
    assert not matches({"metadata": {}, "spec": {"nodeName": "a"}, "status": {"phase": "Running"}})
    with pytest.raises(StatusError, match=r"field label not supported: spec\.x"):
        selectors.parse_fields("spec.x=1", ["spec.nodeName"])
