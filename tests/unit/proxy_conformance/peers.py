"""What nginx and HAProxy do with the request cases, beside what we do. A tool for people, no test.

    python tests/unit/proxy_conformance/peers.py [--nginx PATH] [--haproxy PATH] [--all]

It starts both on loopback before an application that writes down what it gets, sends each case in one piece to each of
the three, and prints a table of the cases in which they differ (with --all: of all cases). A proxy whose program is
not there is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parent))

from wire_case import RequestCase
from wire_cases import REQUESTS
from wire_play import OK, OK_HEAD
from wire_reading import Disagreement, Stream, answers, requests
from wire_sidecar import SocketSidecar

HOST = "127.0.0.1"
#: So long after the last byte a case counts as settled, in seconds. Loopback answers in a few milliseconds.
_QUIET = 0.12

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log /dev/null;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen {host}:{port};
    location / {{
      proxy_pass http://{host}:{origin}; proxy_http_version 1.1; proxy_request_buffering off;
      proxy_set_header Host $http_host; proxy_set_header Connection "";
    }}
  }}
}}
"""
_HAPROXY = """
global
  maxconn 256
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  option forwardfor
listen all
  bind {host}:{port}
  server one {host}:{origin}
"""


@dataclass(frozen=True)
class Verdict:
    """What became of a case: what the application read, and what the client got."""

    seen: tuple[tuple[bytes, bytes, bytes], ...]
    statuses: tuple[int, ...]
    closed: bool
    #: The application got something that a strict reader refuses, and what.
    unreadable: str = ""

    def __str__(self) -> str:
        text = ", ".join(str(status) for status in self.statuses) or "nothing"
        if self.closed:
            text += ", closed"
        if self.seen:
            text += "; reads " + ", ".join(
                f"{method.decode()} {_short(target)}" + (f" +{len(body)}" if body else "")
                for method, target, body in self.seen
            )
        return text + (f"; sends on {self.unreadable[:60]}" if self.unreadable else "")

    @property
    def kind(self) -> tuple[object, ...]:
        """What two proxies must agree on: which messages were accepted, and that the rest was refused."""
        return self.seen, tuple(min(status, 400) for status in self.statuses), bool(self.unreadable)


def _short(target: bytes) -> str:
    text = target.decode("latin-1")
    return text if len(text) < 30 else text[:27] + "..."


class Origin(asyncio.Protocol):
    """An application that answers 200 to what it can read, and writes everything down."""

    read: list[tuple[bytes, bytes, bytes]]
    unreadable: list[str]

    def __init__(self, read: list[tuple[bytes, bytes, bytes]], unreadable: list[str]) -> None:
        self.read = read
        self.unreadable = unreadable
        self._data = b""
        self._answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            found: Stream = requests(self._data, lenient=True)
        except Disagreement as error:
            self.unreadable.append(str(error))
            self._transport.abort()
            return
        for message in found.messages[self._answered :]:
            self._answered += 1
            self.read.append((message.start[0], message.start[1], message.body))
            self._transport.write(OK_HEAD if message.start[0] == b"HEAD" else OK)


class Peer:
    """A proxy that listens, and the application behind it."""

    def __init__(self, name: str, read: list[tuple[bytes, bytes, bytes]], unreadable: list[str]) -> None:
        self.name = name
        self.address = (HOST, 0)
        self._read = read
        self._unreadable = unreadable

    async def judge(self, case: RequestCase) -> Verdict:
        """Send the case in one piece and wait until nothing more comes."""
        self._read.clear()
        self._unreadable.clear()
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(case.sent)
        data, closed = b"", False
        while not closed:
            try:
                async with asyncio.timeout(_QUIET):
                    piece = await reader.read(65536)
            except TimeoutError:
                break
            except ConnectionError:
                piece = b""
            data += piece
            closed = not piece
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        methods = [method for method, _, _ in self._read]
        return Verdict(tuple(self._read), _statuses(data, methods), closed, "; ".join(self._unreadable))


def _statuses(data: bytes, methods: Sequence[bytes]) -> tuple[int, ...]:
    try:
        found = answers(data, [*methods, b"GET", b"GET"], ended=True)
    except Disagreement:
        return (0,)
    statuses = [message.status for message in found.messages]
    if found.begun is not None:
        statuses.append(found.begun.status)
    return tuple(statuses)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return cast("int", sock.getsockname()[1])


@contextlib.asynccontextmanager
async def started(name: str, program: str | None, folder: Path, tasks: asyncio.TaskGroup) -> AsyncIterator[Peer]:
    """Start a proxy: `program` with a configuration of its own, or ours."""
    loop = asyncio.get_running_loop()
    read: list[tuple[bytes, bytes, bytes]] = []
    unreadable: list[str] = []
    server = await loop.create_server(lambda: Origin(read, unreadable), HOST, 0)
    origin = server.sockets[0].getsockname()
    peer = Peer(name, read, unreadable)
    if program is None:
        sidecar = SocketSidecar(tasks, origin)
        peer.address = await sidecar.start()
        yield peer
        await sidecar.stop()
    else:
        port = _free_port()
        template = _NGINX if name == "nginx" else _HAPROXY
        file = folder / f"{name}.conf"
        file.write_text(template.format(folder=folder, host=HOST, port=port, origin=origin[1]))
        arguments = ("-c", str(file), "-p", str(folder)) if name == "nginx" else ("-q", "-db", "-f", str(file))
        process = await asyncio.create_subprocess_exec(program, *arguments)
        peer.address = (HOST, port)
        await _listening(peer.address, process)
        yield peer
        process.terminate()
        await process.wait()
    server.close()


async def _listening(address: tuple[str, int], process: asyncio.subprocess.Process) -> None:
    while True:
        if process.returncode is not None:
            raise SystemExit(f"the proxy ended with {process.returncode} instead of listening")
        try:
            _, writer = await asyncio.open_connection(*address)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def compare(
    programs: dict[str, str], cases: Sequence[RequestCase]
) -> list[tuple[RequestCase, dict[str, Verdict]]]:
    """All cases with all proxies: ours under the name ``coalmine``."""
    found: list[tuple[RequestCase, dict[str, Verdict]]] = [(case, {}) for case in cases]
    with tempfile.TemporaryDirectory() as folder:
        async with asyncio.TaskGroup() as owned, contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(started("coalmine", None, Path(folder), owned))]
            for name, program in programs.items():
                peers.append(await stack.enter_async_context(started(name, program, Path(folder), owned)))

            async def walk(peer: Peer) -> None:
                for case, verdicts in found:
                    verdicts[peer.name] = await peer.judge(case)

            await asyncio.gather(*[walk(peer) for peer in peers])
    return found


def table(found: list[tuple[RequestCase, dict[str, Verdict]]], everything: bool) -> str:
    """Markdown: where we differ from both, then where we differ from one, then where they differ from each other."""
    names = list(found[0][1])
    groups: dict[str, list[str]] = {}
    for case, verdicts in found:
        kinds = {name: verdict.kind for name, verdict in verdicts.items()}
        others = [name for name in names if name != "coalmine" and kinds[name] != kinds["coalmine"]]
        if len(others) == len(names) - 1:
            title = "Different from " + " and ".join(others)
        elif others:
            title = "Different from " + others[0]
        elif everything:
            title = "Alike"
        else:
            continue
        cells = " | ".join(str(verdicts[name]).replace("|", "\\|") for name in names)
        groups.setdefault(title, []).append(f"| {case.source}: {case.name.replace('|', '/')} | {cells} |")
    lines = []
    for title, rows in sorted(groups.items(), key=lambda group: -group[0].count(" and ")):
        lines += [
            f"## {title} ({len(rows)} of {len(found)})",
            "",
            f"| case | {' | '.join(names)} |",
            "|---" * (len(names) + 1) + "|",
        ]
        lines += [*rows, ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nginx", default="/usr/sbin/nginx")
    parser.add_argument("--haproxy", default="/usr/sbin/haproxy")
    parser.add_argument("--all", action="store_true", help="also the cases in which all agree")
    given = parser.parse_args()
    programs = {
        name: path for name, path in (("nginx", given.nginx), ("haproxy", given.haproxy)) if Path(path).exists()
    }
    print(table(asyncio.run(compare(programs, REQUESTS)), given.all))


if __name__ == "__main__":
    main()
