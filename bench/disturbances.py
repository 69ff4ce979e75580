"""Windows with and without a disturbance, in turn: what a scrape and a push cost the requests beside them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import documents, origin, peers, prober
from bench.documents import Signer
from bench.origin import Origins
from bench.processes import HOST, LOAD_CORE, PROXY_CORE, BenchError, Processes, free_ports
from coalmine.model import names


@dataclass(frozen=True, slots=True)
class Disturbance:
    """`apart`: seconds from one to the next."""

    name: str
    title: str
    apart: float
    large: bool = False


DISTURBANCES: Final = (
    Disturbance("scrape", "a scrape of /metrics every 100 ms", 0.1),
    Disturbance("push", "a pushed configuration (3 arms, 30 endpoints) every 200 ms", 0.2),
    Disturbance("push-1mb", "a pushed configuration of the largest size (1 MiB) every 500 ms", 0.5, large=True),
)
#: Of a window: nobody, and the floor that another proxy shows on this machine at this time.
QUIET: Final = "quiet"
FLOOR: Final = "haproxy, quiet"

Windows = dict[str, list[prober.Probed]]


def run(which: Disturbance, processes: Processes, origins: Origins, *, rounds: int, seconds: float) -> Windows:
    """Probe in turns. Raises BenchError."""
    folder = processes.folder / which.name
    folder.mkdir()
    signer = Signer(folder / "keys")
    sidecar = _sidecar(processes, origins, folder)
    with contextlib.ExitStack() as stack:
        stack.callback(processes.stop, sidecar.processes)
        floor = None
        with contextlib.suppress(BenchError):  # not installed: then without
            floor = peers.start(peers.HAPROXY, processes, origins.get)
            stack.callback(processes.stop, floor.processes)
        nonce = documents.nonce(sidecar.admin, signer, origins.get[0])
        documents_sent = 1
        _apply(sidecar, documents.document(documents_sent, nonce, origins.get[0], which.large), signer)
        found: Windows = {QUIET: [], which.name: [], **({FLOOR: []} if floor else {})}
        with _first():
            prober.probe(sidecar.port, 0.5, _END, time.monotonic)
            for number in range(rounds):
                requests = folder / f"requests-{number}"
                requests.mkdir()
                if which.name == "scrape":
                    (requests / "0").write_bytes(b"GET /metrics HTTP/1.1\r\nHost: sidecar\r\n\r\n")
                else:
                    for i in range(int(seconds / which.apart)):
                        documents_sent += 1
                        body = documents.document(documents_sent, nonce, origins.get[0], which.large)
                        (requests / f"{i:06d}").write_bytes(_put(body, signer))
                if floor:
                    found[FLOOR].append(_window(floor.port, seconds))
                found[QUIET].append(_window(sidecar.port, seconds))
                found[which.name].append(_disturbed(which, sidecar, seconds, requests))
    return found


_END: Final = origin.BODY.encode()


def _sidecar(processes: Processes, origins: Origins, folder: Path) -> peers.Peer:
    """A sidecar as in a pod, with keys and a state directory."""
    port, admin = free_ports(2)
    state = folder / "state"
    state.mkdir()
    command = [
        *(*peers.PROGRAM, "--listen", f"{HOST}:{port}", "--admin", f"{HOST}:{admin}", "--drain-seconds", "0"),
        *("--app-port", str(origins.get[0]), "--keys", str(folder / "keys"), "--state", str(state)),
    ]
    environ = {"COALMINE_POD_UID": documents.POD, "COALMINE_POD_IP": HOST, **peers.compiled()}
    process = processes.start(peers.COALMINE, command, PROXY_CORE, environ)
    processes.listening(peers.COALMINE, process, [port, admin])
    return peers.Peer(peers.COALMINE, port, admin, (process,))


def _apply(sidecar: peers.Peer, body: bytes, signer: Signer) -> None:
    try:
        status, answer = documents.push(sidecar.admin, body, signer)
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"the sidecar's admin port: {error}") from error
    if status != 200:
        raise BenchError(f"the sidecar refused a document with {status}: {answer[:300]!r}")


def _put(body: bytes, signer: Signer) -> bytes:
    head = (
        f"PUT /config HTTP/1.1\r\nHost: sidecar\r\n{names.SIGNATURE_HEADER}: {signer.sign(body)}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _window(port: int, seconds: float) -> prober.Probed:
    taken, late = prober.probe(port, seconds, _END, time.monotonic)
    return prober.judge(taken, late, ())


def _disturbed(which: Disturbance, sidecar: peers.Peer, seconds: float, requests: Path) -> prober.Probed:
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.disturb", str(sidecar.admin), str(seconds), str(which.apart), str(requests)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdout.readline()  # its own start is not to be seen in the figures
            child.stdin.write("go\n")
            child.stdin.flush()
            taken, late = prober.probe(sidecar.port, seconds, _END, time.monotonic)
            printed, _ = child.communicate(timeout=seconds + 20)
        finally:
            child.kill()
    intervals = [(float(begin), float(end), int(status)) for begin, end, status in json.loads(printed or "[]")]
    refused = {status for *_, status in intervals if status != 200}
    if refused or not intervals:
        raise BenchError(f"{which.name}: the admin port answered {refused or 'nothing'}")
    return prober.judge(taken, late, [(begin, end) for begin, end, _ in intervals])


@contextlib.contextmanager
def _first() -> Iterator[None]:
    """The prober runs before the origins that share its core, where we are allowed to say so."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    except PermissionError:
        before = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is not None:
            os.setpriority(os.PRIO_PROCESS, 0, before)
