"""The sidecar as a process: it starts, answers, drains on SIGTERM and exits with 0."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        """Tests are quiet."""


def run(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "coalmine_proxy", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


def get(port: int, method: str, path: str, host: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


@pytest.mark.parametrize("own", ["127.0.0.1", "127.3.2.1"])
def test_it_serves_drains_and_exits(tmp_path: Path, own: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        file = tmp_path / "static.yaml"
        file.write_text(f"stable: ['127.0.0.1:{server.server_address[1]}']")
        listen = ["--listen", "127.0.0.1:0", "--admin", f"{own}:0"]
        with run(*listen, "--static", str(file), "--drain-seconds", "0") as process:
            assert process.stderr is not None
            started = json.loads(process.stderr.readline())
            assert started["event"] == "started"
            admin = started["admin_port"]
            assert get(started["port"], "GET", "/") == (200, b"ok")
            if own != "127.0.0.1":  # a connection from elsewhere on this machine comes from there
                assert get(admin, "POST", "/drain", own)[0] == 403
            assert get(admin, "GET", "/ready", own)[0] == 200
            with run("drain", "--admin-port", str(admin), "--seconds", "0", COALMINE_BIND=own) as drain:
                assert drain.wait(20) == 0
            assert get(admin, "GET", "/ready", own)[0] == 503
            assert get(started["port"], "GET", "/") == (200, b"ok")
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(20) == 0
            assert [json.loads(line)["event"] for line in rest.splitlines()] == ["drain begins", "ending", "ended"]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ((), 2, "COALMINE_POD_UID: is not set"),
        (("--static", "/nowhere"), 2, "/nowhere"),
        (("--listen", "here"), 2, "--listen"),
    ],
)
def test_it_says_what_is_missing(arguments: tuple[str, ...], status: int, sentence: str) -> None:
    with run(*arguments, COALMINE_POD_UID="") as process:
        assert process.stderr is not None
        assert sentence in process.stderr.read()
        assert process.wait(20) == status
