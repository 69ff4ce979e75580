"""Services: connections in turn, and none lost by a rolling update."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from pods import COLORAPI, colorapi, get, python, rolled_out

from coalmine.kube.resources import PODS
from coalmine_sandbox.lab import Lab

pytestmark = pytest.mark.cluster


def test_service_deals_connections_in_turn(lab: Lab, run: Any, namespace: str) -> None:
    program = """
        import http.server, os
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = ('{"pod": "%s"}' % os.environ["HOSTNAME"]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
        http.server.ThreadingHTTPServer((os.environ["IP"], 8080), Handler).serve_forever()
    """
    labels = {"app": "echo"}
    container = python(
        "main",
        program,
        env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        ports=[{"name": "web", "containerPort": 8080}],
        readinessProbe={"tcpSocket": {"port": "web"}, "periodSeconds": 1},
    )
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "echo"},
        "spec": {
            "replicas": 4,
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

    async def story() -> None:
        await lab.apply([deployment, service], namespace=namespace)
        await rolled_out(lab, namespace, "echo")
        pods = {p["metadata"]["name"] for p in (await lab.client.list(PODS, namespace))[0]}

        async def all_there() -> bool:
            try:
                return {(await get(lab, f"echo.{namespace}"))["pod"] for _ in range(4)} == pods
            except OSError:
                return False

        await lab.until(all_there, "every pod gets connections")
        seen = Counter([str((await get(lab, f"echo.{namespace}.svc.cluster.local"))["pod"]) for _ in range(40)])
        assert seen == Counter(dict.fromkeys(pods, 10))

    run(story())


def test_rolling_update_under_load_loses_nothing(lab: Lab, run: Any, namespace: str) -> None:
    colours: Counter[str] = Counter()
    stop = asyncio.Event()

    async def fresh(host: str) -> None:
        while not stop.is_set():
            colours[str((await get(lab, host))["color"])] += 1
            await asyncio.sleep(0.02)

    async def kept(host: str) -> None:
        """Uses a connection until the server says that it will close it."""
        while not stop.is_set():
            reader, writer = await lab.open_connection(host, 80)
            closing = False
            while not closing and not stop.is_set():
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
                head = await reader.readuntil(b"\r\n\r\n")
                closing = b"Connection: close" in head
                body = json.loads(await reader.readuntil(b"}"))
                assert body["received"] == 1000
                colours[body["color"]] += 1
                await asyncio.sleep(0.02)
            writer.close()

    async def story() -> None:
        await lab.apply([colorapi(replicas=3)], namespace=namespace)
        await lab.apply(COLORAPI / "service.yaml", namespace=namespace)
        await rolled_out(lab, namespace)
        host = f"colorapi.{namespace}"
        async with asyncio.TaskGroup() as group:
            for work in (fresh, kept, kept):
                group.create_task(work(host))
            image = "colorapi=particule/simplecolorapi:2.0"
            assert (await lab.kubectl("-n", namespace, "set", "image", "deployment/colorapi", image)).code == 0
            await rolled_out(lab, namespace)

            async def old_ones_gone() -> bool:
                return len((await lab.client.list(PODS, namespace))[0]) == 3

            await lab.until(old_ones_gone, "the old pods are gone")
            colours.clear()
            await asyncio.sleep(0.5)  # some requests with only new pods there
            stop.set()
        assert set(colours) == {"blue"}

    run(story())
