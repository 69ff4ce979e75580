"""What disturbs the sidecar while it is probed: a scrape or a pushed document, again and again.

A process of its own (``python -m bench.disturb PORT SECONDS APART FOLDER``), as it must not take the
prober's turn. FOLDER holds finished requests, one a file, sent in the order of their names, and over
again if there is but one. Begins at the first line of its input. Prints, as JSON, when each began and
ended (monotonic, seconds) and its status.
"""

from __future__ import annotations

import gc
import json
import re
import socket
import sys
import time
from pathlib import Path

from bench.processes import HOST

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def ask(port: int, request: bytes) -> tuple[float, float, int]:
    """Send one finished request; when it began, when its answer was complete, and its status."""
    with socket.create_connection((HOST, port), timeout=10) as client:
        begin = time.monotonic()
        client.sendall(request)
        data = bytearray()
        while not _complete(data):
            more = client.recv(1 << 18)
            if not more:
                break
            data += more
        return begin, time.monotonic(), int(data[9:12] or b"0")


def _complete(data: bytearray) -> bool:
    end = data.find(b"\r\n\r\n")
    length = _LENGTH.search(data, 0, end) if end >= 0 else None
    return length is not None and len(data) >= end + 4 + int(length[1])


def main(port: int, seconds: float, apart: float, folder: Path) -> None:
    """Disturb for some seconds, once every `apart` seconds."""
    requests = [file.read_bytes() for file in sorted(folder.iterdir())]
    found = []
    gc.freeze()
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.monotonic()
    for i in range(int(seconds / apart)):
        time.sleep(max(0.0, start + (i + 0.5) * apart - time.monotonic()))
        if len(requests) > 1 and i >= len(requests):
            break
        found.append(ask(port, requests[i % len(requests)]))
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
