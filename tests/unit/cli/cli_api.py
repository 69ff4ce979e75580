"""A small API server in memory, for what is hard to bring about on a real one.

It serves raw objects by list, get, watch and patch, and keeps what is written, so that tests
look at the state of the world. It admits nothing and defaults nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jsonpatch
from aiohttp import web

from coalmine_cli import program
from coalmine_cli.call import Call
from coalmine_cli.terminal import Terminal

PLURALS = {
    "Deployment": "deployments",
    "Rollout": "rollouts",
    "ReplicaSet": "replicasets",
    "Pod": "pods",
    "AnalysisRun": "analysisruns",
}


class Api:
    """`missing` are plurals that it does not know; `forbidden` ones are answered 403."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.version = 100
        self.missing: set[str] = set()
        self.forbidden: set[str] = set()
        self.down = False
        #: Called before a patch: what somebody else does at that moment.
        self.meanwhile: Callable[[], None] | None = None
        self.url = ""
        #: plural -> watches; None ends one.
        self.watches: dict[str, list[asyncio.Queue[dict[str, Any] | None]]] = {}
        self.watching = asyncio.Condition()

    def put(self, *objects: dict[str, Any]) -> None:
        for obj in objects:
            plural = PLURALS[obj["kind"]]
            key = (plural, obj["metadata"]["name"])
            self.version += 1
            obj["metadata"]["resourceVersion"] = str(self.version)
            kind = "MODIFIED" if key in self.objects else "ADDED"
            self.objects[key] = json.loads(json.dumps(obj))
            self._tell(plural, kind, self.objects[key])

    def remove(self, plural: str, name: str) -> None:
        self._tell(plural, "DELETED", self.objects.pop((plural, name)))

    def gone(self, plural: str) -> None:
        """Tell the watches of `plural` that their version is too old."""
        status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
        self._tell(plural, "ERROR", status)

    async def watched(self, plural: str) -> None:
        """Wait until somebody watches `plural`."""
        async with self.watching:
            await self.watching.wait_for(lambda: bool(self.watches.get(plural)))

    def _tell(self, plural: str, kind: str, obj: dict[str, Any]) -> None:
        for queue in self.watches.get(plural, []):
            queue.put_nowait({"type": kind, "object": obj})

    def cut(self) -> None:
        """End all watches, as a server that goes away."""
        for queues in self.watches.values():
            for queue in queues:
                queue.put_nowait(None)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            self.cut()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        namespace, plural, *rest = _parts(request)
        if self.down:
            return web.Response(status=503, text="down")
        if plural in self.missing:
            return web.Response(status=404, text="404 page not found")
        if plural in self.forbidden:
            return _status(403, "Forbidden", f'{plural} is forbidden: User "jane" cannot list resource')
        if not rest:
            return await (self._watch if "watch" in request.query else self._list)(request, plural)
        found = self.objects.get((plural, rest[0]))
        if found is None or found["metadata"]["namespace"] != namespace:
            return _status(404, "NotFound", f'{plural} "{rest[0]}" not found')
        if request.method == "PATCH":
            patch = await request.json()
            if self.meanwhile is not None:
                self.meanwhile()
                found = self.objects[plural, rest[0]]
            if isinstance(patch, list):
                return self._json_patch(found, patch)
            strategic = request.content_type == "application/strategic-merge-patch+json"
            self.put(merged(found, patch, strategic))
        return web.json_response(self.objects[plural, rest[0]])

    def _json_patch(self, found: dict[str, Any], patch: list[dict[str, Any]]) -> web.Response:
        changed = jsonpatch.apply_patch(found, patch)
        if changed["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified")
        changed["metadata"]["generation"] = found["metadata"].get("generation", 1) + 1
        self.put(changed)
        return web.json_response(self.objects["deployments", changed["metadata"]["name"]])

    async def _list(self, request: web.Request, plural: str) -> web.StreamResponse:
        items = [o for (of, _), o in self.objects.items() if of == plural and _selected(o, request)]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.watches.setdefault(plural, []).append(queue)
        async with self.watching:
            self.watching.notify_all()
        try:
            while (event := await queue.get()) is not None:
                if event["type"] == "ERROR" or _selected(event["object"], request):
                    await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self.watches[plural].remove(queue)
        return response


def _parts(request: web.Request) -> list[str]:
    """The namespace ("" for all), the plural, and what follows."""
    parts = request.path.split("/")
    if "namespaces" in parts:
        return parts[parts.index("namespaces") + 1 :]
    return ["", parts[-1]]


def _selected(obj: dict[str, Any], request: web.Request) -> bool:
    metadata = obj["metadata"]
    if _parts(request)[0] not in ("", metadata["namespace"]):
        return False
    fields, labels = request.query.get("fieldSelector", ""), request.query.get("labelSelector", "")
    if fields and fields != f"metadata.name={metadata['name']}":
        return False
    wanted = dict(pair.split("=") for pair in labels.split(",") if pair)
    return all((metadata.get("labels") or {}).get(k) == v for k, v in wanted.items())


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code)


def merged(old: Any, patch: Any, strategic: bool) -> Any:
    """RFC 7386; lists of named entries by name when `strategic`."""
    if isinstance(patch, dict):
        base = dict(old) if isinstance(old, dict) else {}
        for key, value in patch.items():
            if value is None:
                base.pop(key, None)
            else:
                base[key] = merged(base.get(key), value, strategic)
        return base
    if strategic and isinstance(patch, list):
        assert isinstance(old, list)
        changes = {entry["name"]: entry for entry in patch}
        return [merged(entry, changes.get(entry["name"], {}), strategic) for entry in old]
    return patch


class Screen(io.StringIO):
    """A stream on which one can wait for what is written."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        return super().write(text)

    async def shows(self, met: Callable[[str], bool]) -> str:
        """The whole text, as soon as `met` holds for it."""
        while not met(self.getvalue()):
            self._written.clear()
            await self._written.wait()
        return self.getvalue()


class Cli:
    """The program against an `Api`. Virtual time: `pause` returns at once."""

    def __init__(self, api: Api, folder: Path, clock: Callable[[], float], *, tty: bool = False) -> None:
        self.api = api
        self.out, self.err = Screen(), Screen()
        self.terminal = Terminal(self.out, self.err, tty=tty, colour=False, columns=lambda: 120)
        self.kubeconfig = folder / "kubeconfig"
        self._clock = clock

    def write_kubeconfig(self) -> None:
        cluster = {"name": "here", "cluster": {"server": self.api.url}}
        context = {"name": "here", "context": {"cluster": "here", "user": "jane"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [cluster],
            "contexts": [context, {"name": "elsewhere", "context": context["context"] | {"namespace": "shop"}}],
            "users": [{"name": "jane", "user": {"token": "t"}}],
        }
        self.kubeconfig.write_text(json.dumps(config))

    async def run(self, *argv: str) -> int:
        self.write_kubeconfig()
        arguments = program.parser("coalmine").parse_args(["--kubeconfig", str(self.kubeconfig), *argv])
        return await program.perform(Call(arguments, self.terminal, self._clock, _no_time))


async def _no_time(seconds: float) -> None:
    await asyncio.sleep(0)
