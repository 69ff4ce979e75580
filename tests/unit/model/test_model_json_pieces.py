"""JSON in pieces: the same values and the same refusals as Python's own, whatever the bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.model import json_pieces
from coalmine.model.pieces import at_once

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=60,
)


def _python(body: bytes) -> Any:
    """What `json.loads` says; floats that are no numbers as text, as they are not equal to themselves."""
    try:
        return repr(json.loads(body))
    except (ValueError, RecursionError):
        return ValueError


def _pieces(body: bytes) -> Any:
    try:
        return repr(at_once(json_pieces.loads(body)))
    except (ValueError, RecursionError):
        return ValueError


@settings(deadline=None)
@given(_VALUES, st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_every_value(value: Any, indent: Any, ascii_only: bool) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    assert isinstance(_python(body), str)
    assert _pieces(body) == _python(body)


@settings(max_examples=300, deadline=None)
@given(_VALUES, st.data())
def test_every_value_with_a_mistake(value: Any, data: st.DataObject) -> None:
    body = json.dumps(value).encode()
    begin = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(begin, min(begin + 2, len(body))))
    body = body[:begin] + data.draw(st.text('{}[]",: \n\\x0-.', max_size=2)).encode() + body[end:]
    assert _pieces(body) == _python(body)


@settings(max_examples=300, deadline=None)
@given(st.text('{}[]",:1 ', max_size=16).map(str.encode) | st.binary(max_size=8))
def test_any_bytes(body: bytes) -> None:
    assert _pieces(body) == _python(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf[1]",
        '{"a": ["é"]}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32-be"),
        b"\xff\xff",
        b'{"a": [1], "a": {"b": 2}, "a": 3}',
        b"[NaN, -Infinity, 1e999]",
        b'{"a": 1,}',
        b"[1,]",
        b"[1 2]",
        b'{"a" 1}',
        b"{1: 2}",
        b'{"a": }',
        b'{"a": 1]',
        b"[1}",
        b"[1] 2",
        b'"' + b"x" * 100,
        b'["a\nb"]',
        b'{"\\u0061": "\\ud800"}',
        b" " * 100_000 + b"[" + b"\n" * 100_000 + b"]",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"9" * 5000,
        b"[[[[[[" + b"[" * 100 + b"]" * 106,
    ],
    ids=range(25),
)
def test_odd_bytes(body: bytes) -> None:
    assert _pieces(body) == _python(body)


def test_a_document_is_read_in_small_pieces() -> None:
    endpoints = [{"address": "10.0.0.1", "port": i} for i in range(1000)]
    document = {"arms": [{"name": "a", "endpoints": endpoints}, {"name": "b", "endpoints": endpoints}]}
    pieces = sum(1 for _ in json_pieces.loads(json.dumps(document).encode()))
    assert pieces >= 2 * (1000 // 16)
