"""Selectors: what their texts mean, and what is said of texts that mean nothing."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.kube.resources import Object
from coalmine_sandbox.api import selectors
from coalmine_sandbox.api.errors import StatusError

LABELS = {"app": "web", "tier": "front", "empty": "", "n": "5"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("  ", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier=front", True),
        ("app=other", False),
        ("app!=web", False),
        ("app!=other", True),
        ("missing!=x", True),
        ("missing=x", False),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("! app", False),
        ("app in (web,db)", True),
        ("app in (db)", False),
        ("app notin (db),tier", True),
        ("missing notin (x)", True),
        ("app notin (web)", False),
        ("empty=", True),
        ("empty in ()", True),
        ("app in (,web)", True),
        ("missing in ()", False),
        ("n>4", True),
        ("n<5", False),
        ("n>4,n<6", True),
        ("app>1", False),
        ("missing>1", False),
        ("in=x", False),
        ("coalmine.dev/sidecar=true", False),
    ],
)
def test_labels(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        (
            "a>x",
            'unable to parse requirement: values[0]: Invalid value: "x": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "-a",
            'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric '
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
            "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
    ],
)
def test_labels_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(StatusError) as refused:
        selectors.parse_labels(text)
    assert (refused.value.code, refused.value.message) == (400, said)


@given(st.text(alphabet="ab=!(), <>\\.-/in", max_size=40))
def test_no_text_ends_in_another_error(text: str) -> None:
    for parse in (selectors.parse_labels, lambda t: selectors.parse_fields(t, ("a",))):
        with contextlib.suppress(StatusError):
            parse(text)


def test_long_texts_are_refused_before_they_are_read() -> None:
    for parse in (selectors.parse_labels, lambda t: selectors.parse_fields(t, ("a",))):
        with pytest.raises(StatusError, match="more than"):
            parse("a=b," * 10_000)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, None),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "missing", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}, False),
    ],
)
def test_selectors_in_objects(selector: Object | None, matches: bool | None) -> None:
    found = selectors.of_object(selector)
    assert (None if found is None else found.matches(LABELS)) is matches


OBJECT = {"metadata": {"name": "a,b=c\\d"}, "spec": {"on": True}, "status": {"phase": "Running"}}
KNOWN = ("metadata.name", "spec.on", "status.phase")


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("status.phase=Running", True),
        ("status.phase==Running,spec.on=true", True),
        ("status.phase!=Running", False),
        ("status.phase!=Failed,", True),
        ("status.phase=", False),
        (r"metadata.name=a\,b\=c\\d", True),
        (r"metadata.name!=a\,b\=c\\d", False),
    ],
)
def test_fields(text: str, matches: bool) -> None:
    terms = selectors.parse_fields(text, KNOWN)
    chosen = selectors.matcher(selectors.parse_labels(""), terms)
    assert (chosen is None or chosen(OBJECT)) is matches


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("foo=bar", "field label not supported: foo"),
        ("foo", "invalid selector: 'foo'; can't understand 'foo'"),
        ("spec.on=a=b", "invalid field selector: unescaped character in value: 61"),
        (r"spec.on=a\b", r"invalid field selector: invalid escape sequence: \b"),
        ("spec.on=a\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_fields_that_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(StatusError) as refused:
        selectors.parse_fields(text, KNOWN)
    assert (refused.value.code, refused.value.message) == (400, said)


def test_a_kind_without_fields_of_its_own_says_which_there_are() -> None:
    with pytest.raises(StatusError) as refused:
        selectors.parse_fields("spec.x=1", ("metadata.name", "metadata.namespace"), default=True)
    said = '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"'
    assert refused.value.message == said


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("metadata.name=x", "x"),
        ("metadata.name==x", "x"),
        ("metadata.namespace=y,metadata.name=x", "x"),
        ("metadata.name=x,metadata.name=y", "x"),
        (r"metadata.name=a\,b", "a,b"),
        ("", ""),
        ("metadata.name=", ""),
        ("metadata.name!=x", ""),
        ("metadata.namespace=x", ""),
        ("metadata.name=a/b", ""),
        ("metadata.name=..", ""),
        ("metadata.name=a%2Fb", ""),
        ("metadata.name=a=b", ""),
        ("metadata.name", ""),
    ],
)
def test_the_one_name_that_is_asked_for(text: str, name: str) -> None:
    """What a role that is bound to names goes by for lists and watches."""
    assert selectors.exact_name(text) == name
