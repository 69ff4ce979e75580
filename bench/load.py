"""The load: wrk, pinned to the load's core, and what its script printed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.processes import HOST, LOAD_CORE, BenchError, program

_SCRIPT: Final = Path(__file__).with_name("requests.lua")
_MARK: Final = "BENCH "


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `what` is get, close or upload; `body` the bytes of an upload."""

    what: str = "get"
    prefix: str = "/api/items"
    connections: int = 64
    body: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What wrk saw. Latencies in microseconds, from the sent request to the end of its answer."""

    requests: int
    seconds: float
    #: Of answers, heads included.
    bytes: int
    p50: float
    p99: float
    worst: float
    #: Sockets that failed, answers that were not 2xx or 3xx, and answers after 2 s.
    errors: int
    #: Seconds of CPU that wrk itself has used.
    cpu: float = 0.0


def parse(text: str, cpu: float = 0.0) -> Report:
    """Read wrk's output. Raises BenchError when the script's line is not there."""
    for line in text.splitlines():
        if line.startswith(_MARK):
            raw: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return Report(
                requests=int(raw["requests"]),
                seconds=float(raw["seconds"]),
                bytes=int(raw["bytes"]),
                p50=float(raw["p50"]),
                p99=float(raw["p99"]),
                worst=float(raw["worst"]),
                errors=sum(int(raw[key]) for key in ("connect", "read", "write", "status", "timeout")),
                cpu=cpu,
            )
    raise BenchError(f"wrk printed no result: {text[-500:].strip()}")


def command(load: Load, port: int, seconds: float) -> Sequence[str]:
    """wrk's command line. It takes whole seconds only."""
    return [
        program("wrk"),
        *("--threads", "1", "--connections", str(load.connections), "--duration", f"{max(1, round(seconds))}s"),
        *("--timeout", "10s", "--script", str(_SCRIPT), f"http://{HOST}:{port}/"),
        *("--", load.what, load.prefix, str(load.body)),
    ]


def run(load: Load, port: int, seconds: float) -> Report:
    """Send `load` to `port` for some seconds. Raises BenchError."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command(load, port, seconds),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds + 60,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return parse(done.stdout, used)
