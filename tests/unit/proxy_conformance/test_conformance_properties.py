"""Whatever is sent and written, in whatever pieces: the oracle holds, and the pieces change nothing."""

from __future__ import annotations

import wire_mutation
import wire_oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_case import CLOSE, KEEP

_SETTINGS = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@given(st.data())
@_SETTINGS
def test_requests(data: st.DataObject) -> None:
    sent = data.draw(wire_mutation.requests())
    whole = wire_oracle.sent([sent])
    wire_oracle.alike(whole, wire_oracle.sent(data.draw(wire_mutation.pieces(sent))))


@given(st.data(), st.sampled_from([KEEP, CLOSE]))
@_SETTINGS
def test_answers(data: st.DataObject, then: str) -> None:
    written = data.draw(wire_mutation.answers())
    wire_oracle.written([written], then)
    wire_oracle.written(data.draw(wire_mutation.pieces(written)), then)


@given(wire_mutation.answers())
@_SETTINGS
def test_answers_to_head_and_to_old_clients(written: bytes) -> None:
    wire_oracle.written([written], CLOSE, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    wire_oracle.written([written], CLOSE, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")


@given(st.binary(max_size=200))
@_SETTINGS
def test_any_bytes(anything: bytes) -> None:
    wire_oracle.sent([anything])
    wire_oracle.written([anything], CLOSE)
    wire_oracle.written([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + anything], CLOSE)
