"""``python -m bench.admission``: what a review costs, and how long the API server waits for it.

The real webhook process has one core; the load, and a stand-in for the API server that answers look-ups of
ReplicaSets, have the other. Reviews are due at fixed times, whatever became of earlier ones, over kept TLS
connections; a latency counts from when the review was due until its whole answer is there. Every answer is checked
for what it must hold.

The stand-in speaks plain HTTP and answers at once: what a real API server takes for a GET comes on top for pods.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import datetime
import gc
import json
import os
import platform
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
import yaml
from aiohttp import web

from bench import accounting
from bench.figures import quantile
from bench.processes import HOST, LOAD_CORE, PROXY_CORE, BenchError, Processes, free_ports
from bench.reviews import REPLICA_SET, Asked, all_kinds
from coalmine_webhook.certificates import Mint

#: Reviews a second: a cluster of thousands of pods in the middle of many releases.
RATE: Final = 200
#: Milliseconds, of the 99th percentile.
TARGET: Final = 5.0
_WARM_UP: Final = 2.0
#: API servers keep a few connections for each webhook.
_CONNECTIONS: Final = 8
#: Said of a run under ``chrt -f 10``, for a machine that others use as well: their caches and clocks still show.
_REAL_TIME: Final = " Webhook and load ran at real-time priority, beside other work on both cores."
_TABLE: Final = Path(__file__).with_name("admission.md")


@dataclass(frozen=True, slots=True)
class Round:
    """One round: seconds from due to answered by kind of review, and what the webhook used meanwhile."""

    latencies: dict[str, list[float]]
    cpu_us: float
    resident: int
    #: Shares of the webhook's core: the webhook's, and what others took of it.
    busy: float
    foreign: float

    @property
    def all(self) -> list[float]:
        return [latency for each in self.latencies.values() for latency in each]


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 1 when something failed, or the target is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.admission", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round (default %(default)g)")
    parser.add_argument("--rounds", type=int, default=3, help="default %(default)d")
    parser.add_argument("--rate", type=int, default=RATE, help="reviews a second (default %(default)d)")
    parser.add_argument("--save", action="store_true", help=f"write {_TABLE.name}")
    given = parser.parse_args(argv)
    try:
        if (os.cpu_count() or 1) <= LOAD_CORE:
            raise BenchError("two cores are needed: one for the webhook, one for the load")
        os.sched_setaffinity(0, {LOAD_CORE})
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, Processes(Path(folder)).all() as processes:
            gc.disable()  # what the load does of its own is not the webhook's latency
            rounds = uvloop.run(_measure(processes, given.rate, given.seconds, given.rounds))
    except (BenchError, OSError, aiohttp.ClientError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    text = table(rounds, given.rate, given.seconds)
    print(text)
    if given.save:
        _TABLE.write_text(text)
    return 0 if _p99(rounds) < TARGET else 1


async def _measure(processes: Processes, rate: int, seconds: float, count: int) -> list[Round]:
    async with _stand_in() as api, _webhook(processes, api) as (pid, session):
        kinds = all_kinds()
        await _load(session, kinds, rate, _WARM_UP)
        rounds = []
        for _ in range(count):
            cpu, cores, began = accounting.cpu([pid]), accounting.cores(), time.monotonic()
            latencies = await _load(session, kinds, rate, seconds)
            used, took = (accounting.cpu([pid]) - cpu).total / 1e9, time.monotonic() - began
            busy = accounting.cores()[PROXY_CORE] - cores[PROXY_CORE]
            asked = sum(len(each) for each in latencies.values())
            resident = accounting.memory([pid]).resident
            foreign = max(0.0, busy - used) / took
            rounds.append(Round(latencies, used / asked * 1e6, resident, used / took, foreign))
        return rounds


async def _load(
    session: aiohttp.ClientSession, kinds: Sequence[Asked], rate: int, seconds: float
) -> dict[str, list[float]]:
    """Raises BenchError for an answer that is not as it must be."""
    turns = [kind for kind in kinds for _ in range(kind.of_twenty)]
    # spread over the twenty: neighbours are of different kinds
    turns = [turns[(n * 7) % len(turns)] for n in range(len(turns))]
    found: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    begin = time.perf_counter() + 0.1

    async def ask(number: int) -> None:
        kind, due = turns[number % len(turns)], begin + number / rate
        await asyncio.sleep(due - time.perf_counter())
        async with session.post(kind.path, data=kind.body, headers={"Content-Type": "application/json"}) as response:
            body = await response.read()
        found[kind.name].append(time.perf_counter() - due)
        _check(kind, response.status, body)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            group.create_task(ask(number))
    return found


def _check(kind: Asked, status: int, body: bytes) -> None:
    answer = json.loads(body)["response"] if status == 200 else {}
    patch = json.loads(base64.b64decode(answer.get("patch", ""))) if answer.get("patch") else []
    if not answer.get("allowed") or not kind.holds(patch):
        raise BenchError(f"{kind.name}: HTTP {status}, {body[:300]!r}")


@contextlib.asynccontextmanager
async def _stand_in() -> AsyncIterator[str]:
    """The URL of an API server that knows one ReplicaSet."""

    async def replica_set(_: web.Request) -> web.Response:
        return web.json_response(REPLICA_SET)

    app = web.Application()
    app.router.add_get("/apis/apps/v1/namespaces/{namespace}/replicasets/{name}", replica_set)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _webhook(processes: Processes, api: str) -> AsyncIterator[tuple[int, aiohttp.ClientSession]]:
    """The process, and a session that keeps connections to it."""
    mint, now = Mint((), (HOST,)), datetime.datetime.now(datetime.UTC)
    authority = mint.authority(now)
    pair = mint.serving(authority, now)
    (processes.folder / "tls.crt").write_bytes(pair.certificate)
    (processes.folder / "tls.key").write_bytes(pair.key)
    kubeconfig = processes.folder / "kubeconfig"
    cluster, context = {"server": api}, {"cluster": "bench", "user": "bench"}
    document = {
        "clusters": [{"name": "bench", "cluster": cluster}],
        "contexts": [{"name": "bench", "context": context}],
        "users": [{"name": "bench", "user": {}}],
        "current-context": "bench",
    }
    kubeconfig.write_text(yaml.safe_dump(document))
    port, observed = free_ports(2)
    command = [sys.executable, "-m", "coalmine_webhook", "--listen", f"{HOST}:{port}"]
    command += ["--metrics-listen", f"{HOST}:{observed}", "--certs", str(processes.folder)]
    command += ["--kubeconfig", str(kubeconfig), "--image", "coalmine:bench", "--sidecar", "native"]
    process = processes.start("webhook", [*command, "--shutdown-delay", "0"], PROXY_CORE)
    await asyncio.to_thread(processes.listening, "webhook", process, [port])
    trust = ssl.create_default_context(cadata=authority.certificate.decode())
    connector = aiohttp.TCPConnector(ssl=trust, limit=_CONNECTIONS)
    async with aiohttp.ClientSession(f"https://{HOST}:{port}", connector=connector) as session:
        yield process.pid, session


def table(rounds: Sequence[Round], rate: int, seconds: float) -> str:
    """The result as Markdown: medians over the rounds, the worst of all."""

    def row(name: str, latencies: Sequence[Sequence[float]]) -> str:
        p50, p99 = (statistics.median(quantile(sorted(each), q) * 1e3 for each in latencies) for q in (0.5, 0.99))
        count, worst = sum(len(each) for each in latencies), max(max(each) for each in latencies) * 1e3
        return f"| {name} | {count:,} | {p50:.2f} | {p99:.2f} | {worst:.2f} |"

    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    kinds = rounds[0].latencies
    noise = median([r.foreign for r in rounds])
    verdict = "reached" if _p99(rounds) < TARGET else "missed"
    lines = [
        "# Admission",
        "",
        f"`python -m bench.admission --save`: {rate} reviews a second, {len(rounds)} rounds of {seconds:g} s, the "
        f"webhook on one core; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, Python {platform.python_version()}. "
        "A stand-in on the load's core answers the look-ups of ReplicaSets, over plain HTTP and at once. "
        "All Deployments have one strategy, which the webhook reads once."
        + (_REAL_TIME if os.sched_getscheduler(0) != os.SCHED_OTHER else ""),
        "",
        "| review | reviews | p50 ms | p99 ms | worst ms |",
        "|---|---:|---:|---:|---:|",
        *(row(name, [r.latencies[name] for r in rounds]) for name in kinds),
        row("all", [r.all for r in rounds]),
        "",
        f"Target: p99 below {TARGET:g} ms: {verdict}.",
        "",
        "| CPU us a review | resident MB | core busy | taken by others |",
        "|---:|---:|---:|---:|",
        f"| {median([r.cpu_us for r in rounds]):.0f} | {max(r.resident for r in rounds) / 1e6:.1f} "
        f"| {median([r.busy for r in rounds]) * 100:.0f} % | {noise * 100:.0f} % |",
        "",
    ]
    return "\n".join(lines)


def _p99(rounds: Sequence[Round]) -> float:
    return statistics.median(quantile(sorted(r.all), 0.99) * 1e3 for r in rounds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
