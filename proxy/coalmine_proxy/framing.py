"""Where a body ends: readers that take any split of the bytes, and our own framing on the way out.

PURE. A reader is fed what arrives and returns the payload in it. Once `done`, `rest` holds the
bytes that belong to the next message. Chunk sizes and trailers are strict: what a second parser
could read otherwise is refused (RFC 9112 section 7).
"""

from __future__ import annotations

import re
from typing import Final

from coalmine_proxy.head import CRLF, FORBIDDEN, PLAIN, Malformed, kind_of
from coalmine_proxy.limits import Limits

# How a body ends that is not of a known number of bytes (0 or more, which is itself).
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

#: 15 digits stay below 2^63 whatever reads them.
_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")


#: Size lines that are read at a glance.
_LENGTHS: Final = {text: size for size in range(1, 513) for text in (b"%x" % size, b"%X" % size)}


class LengthReader:
    """A body of a known number of bytes."""

    __slots__ = ("_left", "done", "rest")

    chunked = False
    trailers = b""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`."""
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self.done = True
        self._left = 0
        if left:
            self.rest = data[left:]
            return data[:left]
        return data

    def end(self) -> bool:
        """The connection was closed: was the body complete?"""
        return self.done


class CloseReader:
    """A body that ends with its connection."""

    __slots__ = ("done",)

    chunked = False
    trailers = b""
    rest = b""

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """All of it is payload."""
        return data

    def end(self) -> bool:
        """The connection was closed: that is the end."""
        self.done = True
        return True


# States of a chunked body: the size line, the data, the CRLF after it, the trailers.
_SIZE_LINE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILERS: Final = 3


class ChunkedReader:
    """A chunked body. Extensions are dropped, trailers kept in `trailers` as whole lines."""

    __slots__ = ("_extensions", "_left", "_limits", "_line", "_seen", "_state", "done", "rest", "trailers")

    chunked = True

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._state = _SIZE_LINE
        self._line = b""
        self._left = 0
        self._extensions = 0
        self._seen = 0
        self.trailers = b""
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`. Raises Malformed."""
        out = []
        at = 0
        size = len(data)
        while at < size:
            if self._state == _DATA:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                out.append(piece)
                if self._left == 0:
                    self._state = _DATA_END
                continue
            if self._state == _SIZE_LINE and not self._line:
                # Most chunks are whole in one piece, with a plain size: streams of tokens have thousands of them.
                end = data.find(CRLF, at, at + 8)
                length = _LENGTHS.get(data[at:end], 0) if end > 0 else 0
                if length and data[end + 2 + length : end + 4 + length] == CRLF:
                    out.append(data[end + 2 : end + 2 + length])
                    at = end + 4 + length
                    continue
            newline = data.find(b"\n", at)
            stop = size if newline < 0 else newline + 1
            line = self._line + data[at:stop]
            at = stop
            self._bound(line)
            if newline < 0:
                self._line = line
                break
            self._line = b""
            self._take(line)
            if self.done:
                self.rest = data[at:]
                break
        return out[0] if len(out) == 1 else b"".join(out)

    def end(self) -> bool:
        """The connection was closed: was the body complete?"""
        return self.done

    def _bound(self, line: bytes) -> None:
        """Refuse a line as soon as it can no longer be right."""
        if self._state == _DATA_END:
            if not CRLF.startswith(line):
                raise Malformed(400, "A chunk is longer than its size.")
        elif self._state == _SIZE_LINE:
            if len(line) > self._limits.chunk_line:
                raise Malformed(400, f"A chunk-size line is longer than {self._limits.chunk_line} bytes.")
        elif self._seen + len(line) > self._limits.trailers:
            raise Malformed(431, f"The trailers are larger than {self._limits.trailers} bytes.")
        if b"\r" in line[:-2]:
            raise Malformed(400, "A chunked body contains a bare CR.")

    def _take(self, line: bytes) -> None:
        """Act on a whole line, its end included."""
        if line[-2:] != CRLF:
            raise Malformed(400, "A chunked body contains a bare LF.")
        line = line[:-2]
        if self._state == _DATA_END:
            self._state = _SIZE_LINE
        elif self._state == _SIZE_LINE:
            self._take_size(line)
        elif line:
            self._seen += len(line) + 2
            self._take_trailer(line)
        else:
            self.done = True

    def _take_size(self, line: bytes) -> None:
        digits, semicolon, extension = line.partition(b";")
        if semicolon:
            digits = digits.rstrip(b" \t")
            self._extensions += len(extension)
            if self._extensions > self._limits.chunk_extensions:
                raise Malformed(400, f"Chunk extensions are larger than {self._limits.chunk_extensions} bytes.")
            if len(extension.translate(None, FORBIDDEN)) != len(extension):
                raise Malformed(400, "A chunk extension contains a control character.")
        if not _SIZE.fullmatch(digits):
            raise Malformed(400, "A chunk size is not a hexadecimal number of at most 15 digits.")
        self._left = int(digits, 16)
        self._state = _DATA if self._left else _TRAILERS

    def _take_trailer(self, line: bytes) -> None:
        # What frames or routes a message has no meaning after it (RFC 9110 6.5.1).
        if kind_of(line) == PLAIN:
            self.trailers += line + CRLF


Reader = LengthReader | CloseReader | ChunkedReader


def chunk(payload: bytes) -> bytes:
    """One chunk. An empty payload gives nothing: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""


def last_chunk(trailers: bytes) -> bytes:
    """The end of a chunked body."""
    return b"0\r\n" + trailers + CRLF
