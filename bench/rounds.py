"""Interleaved rounds of one workload: all peers run, one at a time is under load, in rotating order."""

from __future__ import annotations

import http.client
import math
import os
import time
from collections.abc import Callable, Sequence

from bench import accounting, load, peers
from bench.figures import Round, rotated
from bench.origin import Origins
from bench.processes import HOST, LOAD_CORE, PROXY_CORE, BenchError, Processes
from bench.workloads import Workload

#: Requests of the check before the rounds; 20 of them are the canary's.
_CHECKED = 100
#: Each round begins with as many new connections as the workload has, and the first request of each waits for all of
#: them. At about 25,000 requests a second, so many connections for a second of the round keep those requests below
#: a fifth of the one per cent that p99 leaves out.
_CONNECTIONS_PER_SECOND = 50


def run(
    workload: Workload,
    names: Sequence[str],
    processes: Processes,
    origins: Origins,
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> dict[str, list[Round]]:
    """Measure; a peer that fails is reported by `say` and left out. Raises BenchError if all do."""
    seconds = max(seconds, math.ceil(workload.load.connections / _CONNECTIONS_PER_SECOND))
    ports = origins.upload if workload.load.what == "upload" else origins.get
    running: dict[str, peers.Peer] = {}
    for name in names:
        try:
            peer = peers.start(name, processes, ports if workload.split else ports[:1])
            running[name] = peer
            check(peer, workload)
            load.run(workload.load, peer.port, 1)
        except (BenchError, OSError, http.client.HTTPException) as error:
            say(f"{workload.name}: {name} is left out: {error}")
            if name in running:
                processes.stop(running.pop(name).processes)
    if not running:
        raise BenchError(f"{workload.name}: nobody is left")
    found: dict[str, list[Round]] = {name: [] for name in running}
    try:
        for number in range(rounds):
            for name in rotated(list(running), number):
                found[name].append(once(workload, running[name], origins, seconds))
    finally:
        for peer in running.values():
            processes.stop(peer.processes)
    return found


def check(peer: peers.Peer, workload: Workload) -> None:
    """It answers, and it splits as the others do. Raises BenchError, OSError, HTTPException."""
    connection = http.client.HTTPConnection(HOST, peer.port, timeout=5)
    versions = []
    for i in range(_CHECKED):
        body = b"x" if workload.load.what == "upload" else None
        connection.request("POST" if body else "GET", f"/check/{i}", body)
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 201):
            raise BenchError(f"it answered {answer.status}")
        versions.append(answer.getheader("X-Version"))
    connection.close()
    canary = versions.count("canary")
    wanted = 20 if workload.split and peer.name != peers.DIRECT else 0
    if abs(canary - wanted) > 2:
        raise BenchError(f"{canary} of {_CHECKED} requests went to the canary, {wanted} should")


def once(workload: Workload, peer: peers.Peer, origins: Origins, seconds: float) -> Round:
    """One peer under load once."""
    cpu, origin, busy, own = accounting.cpu(peer.pids), accounting.cpu(origins.pids), accounting.cores(), _own()
    began = time.monotonic()
    report = load.run(workload.load, peer.port, seconds)
    took = time.monotonic() - began
    cpu, origin = accounting.cpu(peer.pids) - cpu, accounting.cpu(origins.pids) - origin
    after = accounting.cores()
    worked = {core: after[core] - busy[core] for core in after}
    memory = accounting.memory(peer.pids)
    if report.requests == 0:
        raise BenchError(f"{workload.name}: {peer.name} answered no request")
    known = cpu.total / 1e9 + origin.total / 1e9 + report.cpu + _own() - own
    us = cpu.total / 1e3 / report.requests
    # what wrk had read of an answer counts, also when the time was over before its end
    bodies = report.requests * workload.body if workload.load.what == "upload" else report.bytes
    return Round(
        user_us=us * cpu.user_share,
        system_us=us * (1 - cpu.user_share),
        requests_per_second=report.requests / report.seconds,
        p50_us=report.p50,
        p99_us=report.p99,
        worst_us=report.worst,
        cpu_per_gb=cpu.total / 1e9 / (bodies / 1e9) if workload.body else 0.0,
        resident=memory.resident,
        proportional=memory.proportional,
        errors=report.errors,
        origin_us=origin.total / 1e3 / report.requests,
        load_us=report.cpu * 1e6 / report.requests,
        proxy_busy=cpu.total / 1e9 / took,
        load_core_busy=min(1.0, worked.get(LOAD_CORE, 0.0) / took),
        foreign=max(0.0, sum(worked.get(c, 0.0) for c in (PROXY_CORE, LOAD_CORE)) - known) / took,
    )


def _own() -> float:
    """CPU seconds of this very process: no noise of others'."""
    times = os.times()
    return times.user + times.system
