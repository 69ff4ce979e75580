"""System calls per request, by strace; and for the sidecar callbacks and Python calls per request.

Both slow the process down, so that more is ready each time it looks: calls like epoll_wait are a little
fewer per request than at full speed, for every peer alike.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import load, peers
from bench.origin import Origins
from bench.processes import PROXY_CORE, BenchError, Processes, program
from bench.workloads import Workload


def system_calls(
    workload: Workload, name: str, processes: Processes, origins: Origins, seconds: float
) -> dict[str, float]:
    """Calls per request by name, most frequent first. Raises BenchError."""
    ports = _ports(workload, origins)
    peer = peers.start(name, processes, ports)
    file = processes.folder / f"strace-{name.replace('/', '_')}"
    try:
        load.run(workload.load, peer.port, 1)
        command = [program("strace"), "-c", "-f", "-U", "name,calls", "-o", str(file)]
        for pid in peer.pids:
            command += ["-p", str(pid)]
        tracer = processes.start(f"strace-{name}", command, PROXY_CORE)
        _attached(peer.pids, tracer, processes.tail(f"strace-{name}"))
        report = load.run(workload.load, peer.port, seconds)
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
        counts = parse_strace(file.read_text())
    finally:
        processes.stop(peer.processes)
    return {call: count / report.requests for call, count in counts.items()}


def parse_strace(text: str) -> dict[str, int]:
    """Read ``strace -c -U name,calls``, most frequent first."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([a-z_0-9]+)\s+(\d+)\s*", line)
        if match and match[1] != "total":
            found[match[1]] = int(match[2])
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def callbacks(
    workload: Workload, processes: Processes, origins: Origins, seconds: float
) -> dict[str, dict[str, float]]:
    """The sidecar's callbacks and Python calls per request, by name; ``builtin`` has one sum. Raises BenchError."""
    file = processes.folder / "callbacks.json"
    command = (sys.executable, "-m", "bench.callbacks", str(file), "proxy")
    peer = peers.start(peers.COALMINE, processes, _ports(workload, origins), command)
    try:
        report = load.run(workload.load, peer.port, seconds)
    finally:
        processes.stop(peer.processes)
    try:
        raw = json.loads(file.read_text())
    except OSError as error:
        raise BenchError(f"the counted sidecar left no counts: {processes.tail(peers.COALMINE)}") from error
    return {
        "callbacks": {name: n / report.requests for name, n in raw["callbacks"].items()},
        "python": {name: n / report.requests for name, n in raw["python"].items()},
        "builtin": {"all": raw["builtin"] / report.requests},
    }


def lines(title: str, counts: dict[str, float], least: float = 0.01) -> list[str]:
    """Text: the sum, then what is called in at least one of a hundred requests."""
    shown = [f"  {count:7.2f}  {name}" for name, count in counts.items() if count >= least]
    return [f"{title}: {sum(counts.values()):.2f} per request", *shown]


def _ports(workload: Workload, origins: Origins) -> tuple[int, ...]:
    ports = origins.upload if workload.load.what == "upload" else origins.get
    return ports if workload.split else ports[:1]


def _attached(pids: Sequence[int], tracer: subprocess.Popen[bytes], log: str) -> None:
    end = time.monotonic() + 10
    for pid in pids:
        while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
            if tracer.poll() is not None or time.monotonic() > end:
                raise BenchError(f"strace could not attach: {log}")
            time.sleep(0.05)
