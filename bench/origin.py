"""The origins: nginx for what is read, a small sink for uploads; two versions each, on the load's core.

nginx, because the answers should look like an application's and cost little. But it would answer an upload
before it has read it, which is not what is to be measured.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from bench.processes import HOST, LOAD_CORE, Processes, free_ports, program

#: About 100 bytes, as an API's answer.
BODY: Final = '{"item":1234,"name":"a yellow canary in a coal mine","price":"12.50","currency":"EUR","stock":17}'
#: Bytes of the files under /files.
SIZES: Final = {"100k": 100 * 1024, "10m": 10 * 1024 * 1024}

#: Addresses on which peers of a routing answer, so that a document can name real endpoints.
PEERS: Final = tuple(f"127.0.1.{i}" for i in range(1, 31))


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the versions listen; [0] is stable, [1] is canary."""

    get: tuple[int, int]
    upload: tuple[int, int]
    pids: tuple[int, ...]
    processes: tuple[subprocess.Popen[bytes], ...]


def uid(address: str) -> str:
    """The uid that the origin on an address of `PEERS` confirms, as long as a real one."""
    return f"00000000-0000-4000-8000-{address:0>12}"


def start(processes: Processes) -> Origins:
    """Start both. Raises BenchError."""
    stable, canary, upload_stable, upload_canary = free_ports(4)
    files = processes.folder / "files"
    files.mkdir()
    for name, size in SIZES.items():
        (files / name).write_bytes(b"0123456789abcdef" * (size // 16))
    configuration = processes.folder / "origin.conf"
    configuration.write_text(_configuration(processes, stable, canary))
    nginx = processes.start("origin", [program("nginx"), "-c", str(configuration)], LOAD_CORE)
    sink = processes.start(
        "sink", [sys.executable, "-m", "bench.sink", str(upload_stable), str(upload_canary)], LOAD_CORE
    )
    processes.listening("origin", nginx, [stable, canary])
    processes.listening("sink", sink, [upload_stable, upload_canary])
    return Origins((stable, canary), (upload_stable, upload_canary), (nginx.pid, sink.pid), (nginx, sink))


def _configuration(processes: Processes, stable: int, canary: int) -> str:
    folder = processes.folder
    servers = "".join(
        f"""
  server {{
    {"".join(f"listen {address}:{port} backlog=4096; " for address in (HOST, *PEERS))}
    add_header X-Version {name};
    add_header Cache-Control no-store;
    location ~ ^/(100k|10m)/ {{ rewrite ^/(100k|10m)/ /files/$1 break; root {folder}; }}
    location = /identity {{ default_type application/json; return 200 '{{"uid":"$peer_uid"}}'; }}
    location / {{ default_type application/json; return 200 '{BODY}'; }}
  }}"""
        for name, port in (("stable", stable), ("canary", canary))
    )
    uids = "".join(f"{address} {uid(address)}; " for address in PEERS)
    return f"""
daemon off; master_process off; worker_processes 1;
pid {folder}/origin.pid; error_log {folder}/origin.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  open_file_cache max=16 inactive=1h;
  keepalive_requests 1000000000; keepalive_timeout 1h; keepalive_time 24h;
  client_body_temp_path {folder}/origin-body; proxy_temp_path {folder}/origin-proxy;
  fastcgi_temp_path {folder}/origin-fastcgi; uwsgi_temp_path {folder}/origin-uwsgi; scgi_temp_path {folder}/origin-scgi;
  map $server_addr $peer_uid {{ default unknown; {uids}}}{servers}
}}
"""
