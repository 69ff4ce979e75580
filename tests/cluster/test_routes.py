"""Header routes, mirror routes and affinity through a whole installation: who answers what, and who sees what.

The application counts what reaches it and says its release, so that copies, whose answers nobody gets, can be seen.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pods import python

from coalmine.kube.resources import PODS, ROLLOUTS, Object, name_of
from coalmine.model import names
from coalmine.model.rollout import Phase, Status
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.lab import Lab

pytestmark = pytest.mark.cluster

REPLICAS = 3
STRATEGY = """
trafficRouting: {managedRoutes: [{name: insiders}, {name: reads}]}
steps:
- setHeaderRoute: {name: insiders, match: [{headerName: X-Group, headerValue: {regex: insiders|staff}}]}
- pause: {}
- setMirrorRoute: {name: reads, percentage: 50, match: [{method: {exact: GET}, path: {prefix: /copied/}}]}
- pause: {}
- setMirrorRoute: {name: reads}
- setWeight: 20
- pause: {}
- setWeight: 70
- pause: {}
scaleDownDelaySeconds: 1
abortScaleDownDelaySeconds: 1
"""
#: The first is pushed, the others are for the sidecar's start.
SETTINGS = """
affinity: {cookie: place, maxAge: 1h}
timeouts: {idle: 90s}
metrics: {istio: true}
"""
PROGRAM = """
    import collections, http.server, json, os
    seen = collections.Counter()
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path not in ("/seen", "/healthz"):
                seen[self.command + " " + self.path.split("/")[1]] += 1
            body = json.dumps({"release": os.environ["RELEASE"], "seen": seen}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        do_POST = do_GET
        def log_message(self, *_): pass
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128
    Server((os.environ["IP"], 8080), Handler).serve_forever()
"""


def objects(release: str) -> list[Object]:
    labels = {"app": "echo"}
    container = python(
        "main",
        PROGRAM,
        env=[
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "RELEASE", "value": release},
        ],
        ports=[{"name": "web", "containerPort": 8080}],
        readinessProbe={"httpGet": {"path": "/healthz", "port": "web"}, "periodSeconds": 1},
        # no handler of its own for SIGTERM: what is under way is answered before it comes
        lifecycle={"preStop": {"sleep": {"seconds": 1}}},
    )
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "echo",
            "annotations": {names.CANARY: STRATEGY, names.PROXY: SETTINGS},
        },
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "echo"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "web"}]},
    }
    return [deployment, service]


class Echo:
    """The application in a namespace, and what one asks of it."""

    def __init__(self, lab: Lab, namespace: str) -> None:
        self.lab = lab
        self.namespace = namespace

    async def release(self, release: str) -> None:
        await self.lab.apply(objects(release), namespace=self.namespace, manager="kubectl")

    async def until(self, phase: Phase, step: int | None = None) -> Status:
        async def reached() -> Status | None:
            found = await self.lab.client.find(ROLLOUTS, self.namespace, "echo")
            status = Status.from_json((found or {}).get("status") or {})
            here = status.phase is phase and step in (None, status.step) and status.replicas.available >= REPLICAS
            return status if here else None

        found = await self.lab.until(reached, f"the rollout is {phase} at step {step}", 120.0)
        assert isinstance(found, Status)
        return found

    async def verb(self, *arguments: str) -> None:
        done = await self.lab.coalmine(*arguments, "--namespace", self.namespace)
        assert done.code == 0, done.stderr

    async def ask(self, path: str = "/", method: str = "GET", **headers: str) -> tuple[str, str]:
        """A request through the Service: the release that answered, and the cookie that came, if any."""
        host = f"echo.{self.namespace}"
        reader, writer = await self.lab.open_connection(host, 80)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if method == "POST":
            lines.append("Content-Length: 0")
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        answered = head.decode("latin-1").split("\r\n")
        assert answered[0].startswith("HTTP/1.1 200"), answered[0]
        cookies = [line.partition(": ")[2] for line in answered if line.lower().startswith("set-cookie:")]
        assert len(cookies) <= 1
        return str(json.loads(body)["release"]), "".join(cookies).partition(";")[0]

    async def releases(self, count: int, path: str = "/", method: str = "GET", **headers: str) -> set[str]:
        return {(await self.ask(path, method, **headers))[0] for _ in range(count)}

    async def arguments(self) -> list[str]:
        """The settings that each pod's sidecar was started with."""
        pods, _ = await self.lab.client.list(PODS, self.namespace, labels="app=echo")
        every = [c for p in pods for c in (*p["spec"].get("initContainers", ()), *p["spec"]["containers"])]
        sidecars = [c["args"] for c in every if c["name"] == names.SIDECAR_CONTAINER]
        return [args[args.index("--settings") + 1] for args in sidecars]

    async def seen(self, release: str) -> dict[str, int]:
        """What the pods of a release have been asked, by their own word, past every sidecar."""
        pods, _ = await self.lab.client.list(PODS, self.namespace, labels="app=echo")
        found: dict[str, int] = {}
        for pod in pods:
            address = (pod.get("status") or {}).get("podIP")
            if not address or pod["metadata"].get("deletionTimestamp"):
                continue
            reader, writer = await asyncio.open_connection(address, 8080)
            writer.write(b"GET /seen HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            said = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
            writer.close()
            if said["release"] == release:
                for key, count in said["seen"].items():
                    found[key] = found.get(key, 0) + count
        return found


@pytest.fixture
def echo(installed: Lab, controller: Daemon, namespace: str, run: Any) -> Echo:
    """Release 1 everywhere, healthy."""
    here = Echo(installed, namespace)

    async def begin() -> None:
        await here.release("1")
        await here.until(Phase.HEALTHY)

    run(begin())
    return here


def test_routes_copies_and_places(echo: Echo, run: Any) -> None:
    async def story() -> None:
        await echo.release("2")
        # a route at weight 0: who has the header gets the canary, nobody else does
        status = await echo.until(Phase.PAUSED, 1)
        assert await echo.arguments() == ['{"metrics":{"istio":true},"timeouts":{"idle":"90s"}}'] * (REPLICAS + 1)
        assert (status.actual_weight.percent, status.routes) == (0, ("insiders",))
        assert await echo.releases(40, X_Group="insiders") == {"2"}
        assert await echo.releases(40, X_Group="staff") == {"2"}
        assert await echo.releases(40) == await echo.releases(20, X_Group="insiders-not") == {"1"}
        # copies: the canary sees half of what matches, and the clients see stable alone
        await echo.verb("promote", "echo")
        status = await echo.until(Phase.PAUSED, 3)
        assert status.routes == ("insiders", "reads")
        assert await echo.releases(100, "/copied/x") == {"1"}
        assert await echo.releases(20, "/copied/x", "POST") == await echo.releases(20, "/kept/x") == {"1"}

        async def copied() -> bool:
            # within two of the half, at each of the pods that were asked
            return abs((await echo.seen("2")).get("GET copied", 0) - 50) <= 2 * (REPLICAS + 2)

        await echo.lab.until(copied, "the canary's application has seen the copies")
        assert {"POST copied", "GET kept"} & (await echo.seen("2")).keys() == set()
        assert (await echo.seen("1"))["GET copied"] == 100
        # places: whoever got the canary once keeps it while the weight grows
        await echo.verb("promote", "echo")
        status = await echo.until(Phase.PAUSED, 6)
        assert (status.actual_weight.percent, status.routes) == (20, ("insiders",))
        clients = [await echo.ask() for _ in range(60)]
        assert all(cookie.startswith("place=") for _, cookie in clients)
        assert 0 < [release for release, _ in clients].count("2") < 30
        again = [await echo.ask(Cookie=f"a=b; {cookie}") for _, cookie in clients]
        assert again == [(release, "") for release, _ in clients]
        await echo.verb("promote", "echo")
        await echo.until(Phase.PAUSED, 8)
        later = [await echo.ask(Cookie=cookie) for _, cookie in clients]
        assert all(now == "2" for (now, _), (before, _) in zip(later, clients, strict=True) if before == "2")
        assert [now for now, _ in later].count("2") > [before for before, _ in clients].count("2")
        # the end: everybody has it, and no place is needed any more
        await echo.verb("promote", "echo", "--full")
        await echo.until(Phase.HEALTHY)
        assert await echo.ask() == ("2", "")

    run(story())


def test_an_abort_takes_routes_away(echo: Echo, run: Any) -> None:
    async def story() -> None:
        await echo.release("2")
        await echo.until(Phase.PAUSED, 1)
        await echo.verb("promote", "echo")
        await echo.until(Phase.PAUSED, 3)
        assert await echo.releases(10, X_Group="insiders") == {"2"}
        await echo.verb("abort", "echo")
        status = await echo.until(Phase.DEGRADED, 0)
        assert status.routes == ()

        async def gone() -> bool:
            return await echo.releases(20, X_Group="insiders") == {"1"}

        await echo.lab.until(gone, "every sidecar has let go of the route")
        assert await echo.releases(40, "/copied/y", X_Group="insiders") == {"1"}
        rollout = await echo.lab.client.get(ROLLOUTS, echo.namespace, "echo")
        assert name_of(rollout) == "echo"
        assert "routes" not in rollout["status"]

    run(story())
