"""Probe and lifecycle handlers: exec, httpGet, tcpSocket, sleep. One attempt each.

An answer is `Outcome`: whether it went well, and what to tell when not. The time limit is the
caller's (`asyncio.timeout`): cancelling ends the command or the connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.node.process import Process, execute

#: A kubelet reads 10 KiB of a probe's answer; the status line and headers are all that we need.
_MOST: Final = 10 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The running container that a handler is about."""

    address: str
    ports: Mapping[str, int]
    process: Process
    environment: Mapping[str, str] = field(repr=False)
    directory: str = ""


def named_ports(container: Object) -> dict[str, int]:
    """The container's ports by name."""
    return {str(p["name"]): int(p["containerPort"]) for p in container.get("ports") or () if p.get("name")}


async def perform(handler: Mapping[str, Any], target: Target) -> Outcome:
    """Carry out the one handler that is set. Raises only when cancelled."""
    try:
        if "exec" in handler:
            return await _exec(handler["exec"], target)
        if "httpGet" in handler:
            return await _http_get(handler["httpGet"], target)
        if "tcpSocket" in handler:
            return await _tcp(handler["tcpSocket"], target)
    except _BadPortError as error:
        return Outcome(False, str(error))
    if "sleep" in handler:
        await asyncio.sleep(float(handler["sleep"]["seconds"]))
        return Outcome(True)
    return Outcome(False, f"a handler of kind {', '.join(handler) or 'none'} is not known to this node")


async def _exec(action: Mapping[str, Any], target: Target) -> Outcome:
    command = [str(part) for part in action.get("command") or ()]
    process = execute(command, target.environment, target.process, target.directory)
    try:
        code = await process.wait()
    finally:
        process.kill()
    return Outcome(code == 0, f"command {command} exited with {code}")


async def _tcp(action: Mapping[str, Any], target: Target) -> Outcome:
    host, port = str(action.get("host") or target.address), _port(action.get("port"), target)
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return Outcome(False, f"dial tcp {host}:{port}: {error.strerror or error}")
    writer.close()
    return Outcome(True)


async def _http_get(action: Mapping[str, Any], target: Target) -> Outcome:
    host, port = str(action.get("host") or target.address), _port(action.get("port"), target)
    path = str(action.get("path") or "/")
    context = None
    if str(action.get("scheme", "HTTP")).upper() == "HTTPS":
        # as a kubelet: the probe asks whether the server answers, not who it is
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/sandbox", "Accept": "*/*", "Connection": "close"}
    for header in action.get("httpHeaders") or ():
        headers[str(header["name"]).title()] = str(header["value"])
    lines = [f"GET {path if path.startswith('/') else '/' + path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    try:
        reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_MOST)
    except OSError as error:
        return Outcome(False, f"Get http://{host}:{port}{path}: {error.strerror or error}")
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status = (await reader.readline()).split()
        if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or not status[1].isdigit():
            return Outcome(False, f"Get http://{host}:{port}{path}: not an HTTP answer")
        code = int(status[1])
        return Outcome(200 <= code < 400, f"HTTP probe failed with statuscode: {code}")
    except (OSError, ValueError) as error:
        return Outcome(False, f"Get http://{host}:{port}{path}: {error}")
    finally:
        writer.transport.abort()  # the answer's body does not matter


class _BadPortError(Exception):
    pass


def _port(raw: object, target: Target) -> int:
    if isinstance(raw, int):
        return raw
    text = str(raw)
    if text.isdigit():
        return int(text)
    if text not in target.ports:
        raise _BadPortError(f"the container has no port named {text!r}")
    return target.ports[text]
