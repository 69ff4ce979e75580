"""Who is compared: the sidecar, HAProxy, nginx, and no proxy. Each as it would be run with care.

Rules:
- All do the same: keep connections to the origins, split 80/20 by weight (or send everything to one origin), add
  X-Forwarded-For, -Proto, -Host and Via, have timeouts, write no access log, use one core.
- Nobody is given a handicap: nginx may neither write bodies to disk nor hold an upload back.
- ``coalmine@REVISION`` is the sidecar of another commit, beside that of the working tree.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.processes import HOST, PROXY_CORE, BenchError, Processes, free_ports, program

DIRECT: Final = "direct"
NGINX: Final = "nginx"
HAPROXY: Final = "haproxy"
#: Compiled if it was (`make compiled`), and as plain Python.
COALMINE: Final = "coalmine"
PURE: Final = "coalmine-pure"
COMPILED: Final = Path(__file__).parent.parent / "build" / "compiled"
#: The sidecar, started as it is in a pod.
PROGRAM: Final = (str(Path(sys.executable).with_name("coalmine")), "proxy")
#: In the order of the tables.
ALL: Final = (DIRECT, NGINX, HAPROXY, COALMINE, PURE)

#: Connections kept to each origin: our sidecar's default.
_IDLE_CONNECTIONS: Final = 512
_CANARY_PERCENT: Final = 20
#: What the sidecar is made of.
_ROOTS: Final = ("cli", "core", "proxy")


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them, running. `port` takes requests, `admin` is the sidecar's other port (0: none)."""

    name: str
    port: int
    admin: int = 0
    processes: Sequence[subprocess.Popen[bytes]] = field(default=(), repr=False)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]


def start(name: str, processes: Processes, origins: Sequence[int], program_of_ours: Sequence[str] = PROGRAM) -> Peer:
    """Start one in front of `origins`: one port (idle state), or two (split). Raises BenchError.

    `program_of_ours` is what runs as the sidecar.
    """
    if name == DIRECT:
        return Peer(DIRECT, origins[0])
    port, admin = free_ports(2)
    kind, _, revision = name.partition("@")
    if kind not in _COMMANDS or (revision and kind != COALMINE):
        raise BenchError(f"{name!r} is no peer: write some of {', '.join(ALL)}, or {COALMINE}@REVISION")
    command, environ = _COMMANDS[kind](processes.folder, port, admin, origins)
    if revision:
        environ = {**environ, "PYTHONPATH": _checked_out(processes.folder, revision)}
    ours = kind in (COALMINE, PURE)
    if ours:
        command = [*program_of_ours, *command]
        if kind == COALMINE and not revision:
            environ = {**environ, **compiled()}
    process = processes.start(name, command, PROXY_CORE, environ)
    processes.listening(name, process, [port, admin] if ours else [port])
    return Peer(name, port, admin if ours else 0, (process,))


def compiled() -> Mapping[str, str]:
    """The environment in which the sidecar is the compiled one, if there is one."""
    return {"PYTHONPATH": str(COMPILED)} if COMPILED.exists() else {}


def _checked_out(folder: Path, revision: str) -> str:
    """The sidecar's sources as of a revision of this repository, before those that are installed."""
    where = folder / f"source-{revision.replace('/', '_')}"
    if not where.exists():
        root = Path(__file__).parent.parent
        found = subprocess.run(["git", "archive", revision, *_ROOTS], cwd=root, capture_output=True, check=False)
        if found.returncode:
            raise BenchError(f"git archive {revision}: {found.stderr.decode(errors='replace').strip()}")
        with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
            archive.extractall(where, filter="data")
    return os.pathsep.join(str(where / name) for name in _ROOTS)


_Command = tuple[Sequence[str], Mapping[str, str]]


def _nginx(folder: Path, port: int, admin: int, origins: Sequence[int]) -> _Command:
    weights = (100,) if len(origins) == 1 else (100 - _CANARY_PERCENT, _CANARY_PERCENT)
    servers = " ".join(f"server {HOST}:{o} weight={w};" for o, w in zip(origins, weights, strict=True))
    file = folder / "nginx.conf"
    file.write_text(f"""
daemon off; master_process off; worker_processes 1;
pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_time 24h; keepalive_timeout 75s;
  client_header_timeout 15s; client_body_timeout 600s; send_timeout 600s;
  client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  upstream versions {{
    {servers}
    keepalive {_IDLE_CONNECTIONS}; keepalive_requests 1000000000; keepalive_time 24h; keepalive_timeout 4s;
  }}
  server {{
    listen {HOST}:{port} backlog=1024;
    location / {{
      proxy_pass http://versions;
      proxy_http_version 1.1;
      proxy_connect_timeout 2s; proxy_read_timeout 600s; proxy_send_timeout 600s;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header Via "1.1 nginx";
    }}
  }}
}}
""")
    return [program("nginx"), "-c", str(file)], {}


def _haproxy(folder: Path, port: int, admin: int, origins: Sequence[int]) -> _Command:
    weights = (100,) if len(origins) == 1 else (100 - _CANARY_PERCENT, _CANARY_PERCENT)
    servers = "\n".join(
        f"  server v{i} {HOST}:{o} weight {w} pool-max-conn {_IDLE_CONNECTIONS} pool-purge-delay 4s"
        for i, (o, w) in enumerate(zip(origins, weights, strict=True))
    )
    file = folder / "haproxy.cfg"
    file.write_text(f"""
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  no log
  timeout connect 2s
  timeout client 600s
  timeout http-request 15s
  timeout http-keep-alive 75s
  timeout server 600s
  option http-keep-alive
  http-reuse always
  option forwardfor
frontend requests
  bind {HOST}:{port} backlog 1024
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request add-header Via "1.1 haproxy"
  default_backend versions
backend versions
  balance roundrobin
{servers}
""")
    return [program("haproxy"), "-db", "-f", str(file)], {}


def _coalmine(folder: Path, port: int, admin: int, origins: Sequence[int]) -> _Command:
    """Its arguments only: which program is for the caller."""
    ports = ["--listen", f"{HOST}:{port}", "--admin", f"{HOST}:{admin}", "--drain-seconds", "0"]
    if len(origins) == 1:
        # In a pod, without a rollout: what every user runs all year.
        pod = {"COALMINE_POD_UID": "00000000-0000-4000-8000-000000000000", "COALMINE_POD_IP": HOST}
        return [*ports, "--app-port", str(origins[0])], pod
    file = folder / "static.json"
    stable, canary = (f"{HOST}:{origin}" for origin in origins)
    file.write_text(json.dumps({"stable": [stable], "canary": [canary], "weight": _CANARY_PERCENT}))
    return [*ports, "--static", str(file)], {}


_COMMANDS: Final[Mapping[str, Callable[[Path, int, int, Sequence[int]], _Command]]] = {
    NGINX: _nginx,
    HAPROXY: _haproxy,
    COALMINE: _coalmine,
    PURE: _coalmine,
}
