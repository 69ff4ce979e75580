"""Messages between the processes of a sidecar: what was sent is read, however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coalmine_proxy import messages

MESSAGES = st.tuples(st.text(max_size=5), st.binary(max_size=300), st.integers())


@given(sent=st.lists(MESSAGES, max_size=5), size=st.integers(1, 400))
def test_what_was_sent_is_read(sent: list[tuple[str, bytes, int]], size: int) -> None:
    data = b"".join(messages.encode(kind, document, number=number) for kind, document, number in sent)
    reader = messages.Reader()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    found = [(message["kind"], document, message["number"]) for p in pieces for message, document in reader.feed(p)]
    assert found == sent
