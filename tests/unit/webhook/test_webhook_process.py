"""The process as a pod runs it: two replicas, one of which is restarted under load, and no review is lost.

What stands in front is what an API server does: it keeps connections, and it goes on using a pod for a while
after it began to end, as endpoints lag behind.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import socket
import ssl
import subprocess
import sys
from collections import Counter

import aiohttp
import pytest
import yaml

from coalmine.model import names
from coalmine_webhook.certificates import Mint

MINT = Mint((), ("127.0.0.1",))
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u",
        "operation": "CREATE",
        "namespace": "shop",
        "object": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "annotations": {names.CANARY: "steps: 7"}},
            "spec": {"template": {"spec": {"containers": []}}},
        },
    },
}


async def until(condition):
    """Asks again and again: another process is looked at, which tells nobody."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


class Webhook:
    """One process; `ports` are known once it listens."""

    def __init__(self, folder, name, *arguments):
        self.log = folder / f"{name}.log"
        kubeconfig = folder / "kubeconfig"
        cluster = {"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}
        context = {"name": "none", "context": {"cluster": "none", "user": "none"}}
        users = [{"name": "none", "user": {}}]
        kubeconfig.write_text(
            yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": users, "current-context": "none"})
        )
        command = [sys.executable, "-m", "coalmine_webhook", "--certs", str(folder), "--kubeconfig", str(kubeconfig)]
        command += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--image", "i", "--sidecar", "native"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=log, stderr=log, env={"PATH": os.defpath, "PYTHONUNBUFFERED": "1"}
            )

    def lines(self, event):
        found = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    async def listening(self):
        while not self.lines("listening"):
            assert self.process.poll() is None, self.log.read_text()
            await asyncio.sleep(0.05)
        return int(self.lines("listening")[0]["address"].rpartition(":")[2])

    async def said(self, event):
        await until(lambda: self.lines(event))

    async def ended(self):
        return await asyncio.to_thread(self.process.wait)


@pytest.fixture
def folder(tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    authority = MINT.authority(now)
    serving = MINT.serving(authority, now)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "tls.crt").write_bytes(serving.certificate)
    (tmp_path / "tls.key").write_bytes(serving.key)
    return tmp_path


@pytest.fixture
def start(folder):
    started = []

    def run(name, *arguments):
        started.append(Webhook(folder, name, *arguments))
        return started[-1]

    yield run
    for webhook in started:
        webhook.process.kill()
        webhook.process.wait()


def session(folder):
    trust = ssl.create_default_context(cadata=(folder / "ca.crt").read_text())
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=0))


def test_no_review_is_lost_over_a_restart(folder, start):
    async def story():
        first, second = (start(name, "--shutdown-delay", "600") for name in ("one", "two"))
        endpoints = [await first.listening(), await second.listening()]
        gone, answers, asking = asyncio.Event(), [], Counter()

        async def ask(client):
            while not gone.is_set():
                port = endpoints[len(answers) % len(endpoints)]
                asking[port] += 1
                async with client.post(f"https://127.0.0.1:{port}/deployments", json=REVIEW) as response:
                    answers.append((port, response.status, (await response.json())["response"]["allowed"]))
                asking[port] -= 1

        async def enough_of(port):
            begin = len(answers)
            await until(lambda: sum(of == port for of, _, _ in answers[begin:]) >= 20)

        async def restart():
            before = endpoints[0]
            await enough_of(before)
            first.process.terminate()
            await first.said("ending")
            await enough_of(before)  # it still answers
            endpoints.pop(0)
            await enough_of(endpoints[0])
            await until(lambda: not asking[before])  # endpoints have caught up, which the delay is there for
            first.process.terminate()
            assert await first.ended() == 0
            endpoints.append(await start("three").listening())
            await enough_of(endpoints[1])
            gone.set()

        async with session(folder) as client, asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(ask(client))
            group.create_task(restart())
        assert {(status, allowed) for _, status, allowed in answers} == {(200, False)}
        assert len({port for port, _, _ in answers}) == 3

    asyncio.run(story())


def test_a_review_in_flight_is_answered(folder, start):
    async def story():
        webhook = start("one", "--shutdown-delay", "0")
        port = await webhook.listening()
        trust = ssl.create_default_context(cadata=(folder / "ca.crt").read_text())
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        body = json.dumps(REVIEW).encode()
        head = ["POST /deployments HTTP/1.1", "Host: x", "Content-Type: application/json", "Expect: 100-continue"]
        writer.write("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100"), "it has begun to read it"
        webhook.process.terminate()
        await webhook.said("ending")
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
        assert await webhook.ended() == 0

    asyncio.run(story())


def test_ready_until_it_ends(folder, start):
    async def story():
        (folder / "tls.key").rename(folder / "hidden")
        webhook = start("one", "--shutdown-delay", "60", "--metrics-listen", "127.0.0.1:0", "--log-level", "debug")
        while not webhook.lines(f"certificates: {folder} has no tls.key: mount the Secret with the certificate there"):
            assert webhook.process.poll() is None, webhook.log.read_text()
            await asyncio.sleep(0.05)
        (port,) = listening_ports(webhook.process.pid)
        async with aiohttp.ClientSession() as plain:

            async def said():
                async with plain.get(f"http://127.0.0.1:{port}/readyz") as response:
                    return response.status, (await response.text()).strip()

            assert await said() == (503, f"no certificate in {folder} yet")
            (folder / "hidden").rename(folder / "tls.key")
            await webhook.listening()
            while (await said())[0] != 200:
                pass
            webhook.process.terminate()
            await webhook.said("ending")
            assert await said() == (503, "ending")

    asyncio.run(story())


def test_a_port_that_is_taken_is_said(folder, start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        webhook = start("one", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert webhook.process.wait() == 2
    last = webhook.log.read_text().splitlines()[-1]
    assert last.startswith("coalmine webhook: ")
    assert "address already in use" in last


def listening_ports(pid):
    """The TCP ports that a process listens on."""
    inodes = set()
    for descriptor in os.scandir(f"/proc/{pid}/fd"):
        target = os.readlink(descriptor.path)
        if target.startswith("socket:"):
            inodes.add(target[8:-1])
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return [int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes]
