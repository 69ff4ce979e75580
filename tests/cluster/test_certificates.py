"""Certificates that the webhook keeps itself, on a control plane: Deployments are written the whole time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from coalmine.kube.client import Client
from coalmine.kube.resources import DEPLOYMENTS, MUTATING_WEBHOOKS, SECRETS, Object
from coalmine.kube.verbs import ApiError
from coalmine.model import names
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.ground import Endpoint
from coalmine_sandbox.lab import Lab
from coalmine_webhook import registration, secret
from coalmine_webhook.certificates import Mint
from coalmine_webhook.rotation import Contents, Published

pytestmark = pytest.mark.cluster

WHERE = (names.SYSTEM_NAMESPACE, names.CERTIFICATES_SECRET)
#: Seconds; an API server on this machine learns within milliseconds.
SETTLE = 2.0


async def contents(lab: Lab) -> Contents:
    found = secret.decode(await lab.client.get(SECRETS, *WHERE))
    assert found is not None
    return found


async def configuration(lab: Lab) -> Object:
    return await lab.client.get(MUTATING_WEBHOOKS, None, names.WEBHOOK_CONFIGURATION)


async def published(lab: Lab) -> Published:
    return registration.read(await configuration(lab))


async def agreed(lab: Lab) -> Contents | None:
    """What the Secret holds, once the configuration says just that and nothing is under way."""
    with contextlib.suppress(ApiError):
        found, now = await contents(lab), datetime.datetime.now(datetime.UTC)
        settled = found.upcoming is None and found.published is not None
        if settled and not registration.patch(await configuration(lab), found.bundle(now)):
            return found
    return None


async def served(lab: Lab, where: Endpoint) -> bytes:
    """The certificate that a webhook serves now, verified as an API server does by what is published."""
    bundle = b"".join((await published(lab)).everywhere).decode()
    trust = ssl.create_default_context(cadata=bundle)
    _, writer = await asyncio.open_connection(*where, ssl=trust)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return bytes(found)


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def annotated(name: str) -> Object:
    """A Deployment of ours without pods: each write of it is a review."""
    container = {"name": "app", "image": "none", "ports": [{"name": "web", "containerPort": 80}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": {names.CANARY: "steps: []"}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


class Load:
    """Writes a Deployment again and again; the first write that fails ends it, and the test."""

    def __init__(self, lab: Lab, namespace: str) -> None:
        self._lab = lab
        self._namespace = namespace
        self.writes = 0

    async def run(self) -> None:
        made = await self._lab.client.create(DEPLOYMENTS, self._namespace, annotated("web"))
        assert names.ROLLOUT_LABEL in made["metadata"]["labels"]
        while True:
            change = {"metadata": {"annotations": {"writes": str(self.writes)}}}
            await self._lab.client.patch(DEPLOYMENTS, self._namespace, "web", change)
            self.writes += 1
            await asyncio.sleep(0.02)

    async def go_on(self) -> None:
        """Returns after some more writes."""
        goal = self.writes + 20
        while self.writes < goal:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def written(lab: Lab, namespace: str) -> AsyncIterator[Load]:
    load = Load(lab, namespace)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(load.run())
        yield load
        await load.go_on()
        running.cancel()


@pytest.fixture(scope="module")
def replicas(installed: Lab, run: Any) -> Iterator[list[Endpoint]]:
    """Where two webhooks serve that settle quickly; API servers call the first."""
    host, port = installed.ground.webhook
    second = (host, port + 2)
    assert installed.webhook is not None
    usual = list(installed.webhook.command)
    quick = ("--certs-settle", f"{SETTLE:g}")

    async def start() -> Daemon:
        assert installed.webhook is not None
        installed.webhook.command += quick
        await installed.webhook.restart()
        await installed.webhook_ready()
        daemon = await installed.another_webhook("webhook-2", second, (host, port + 3), *quick)
        await installed.until(lambda: alike(daemon), "the second webhook serves")
        return daemon

    async def alike(daemon: Daemon) -> bool:
        daemon.check()
        try:
            return bool(await served(installed, second))
        except OSError:
            return False

    async def stop(daemon: Daemon) -> None:
        assert installed.webhook is not None
        await daemon.stop()
        installed.webhook.command[:] = usual
        await installed.webhook.restart()
        await installed.webhook_ready()

    daemon = run(start())
    yield [installed.ground.webhook, second]
    run(stop(daemon))


async def all_serve(lab: Lab, replicas: list[Endpoint], of: bytes) -> bool:
    """Each connection is verified on the way: whatever is served then is trusted."""
    return all([await served(lab, each) == der(of) for each in replicas])


async def until_all(lab: Lab, replicas: list[Endpoint], what: Callable[[], Awaitable[Any]], sentence: str) -> Any:
    found = await lab.until(what, sentence)
    await lab.until(lambda: all_serve(lab, replicas, found.serving.certificate), "all replicas serve it")
    return found


def test_it_registers_itself_and_touches_nothing_else(installed: Lab, run: Any) -> None:
    async def story() -> None:
        found = await installed.until(lambda: agreed(installed), "Secret and configuration agree")
        assert (await published(installed)).everywhere == {found.authority.certificate}
        assert await served(installed, installed.ground.webhook) == der(found.serving.certificate)
        managers = {
            entry["manager"]: entry["fieldsV1"]
            for entry in (await configuration(installed))["metadata"]["managedFields"]
            if entry["operation"] == "Update"
        }
        fields = managers[names.FIELD_MANAGER]["f:webhooks"]
        assert [each for each in fields.values() if each != {"f:clientConfig": {"f:caBundle": {}}}] == []

    run(story())


@pytest.mark.parametrize("resource", [SECRETS, MUTATING_WEBHOOKS], ids=lambda r: r.kind)
def test_it_may_watch_its_own_objects_by_name_and_list_nothing(installed: Lab, run: Any, resource: Any) -> None:
    namespace, name = WHERE if resource is SECRETS else (None, names.WEBHOOK_CONFIGURATION)

    async def first(client: Client, fields: str) -> str:
        async for event in client.watch(resource, namespace, "", fields=fields):
            return str(event.object["metadata"]["name"])
        return ""

    async def story() -> None:
        plane = installed.control_plane
        kubeconfig = await plane.kubeconfig_for(names.WEBHOOK_SERVICE_ACCOUNT, names.SYSTEM_NAMESPACE)
        async with await Client.connect(str(kubeconfig)) as client:
            assert await first(client, f"metadata.name={name}") == name
            for fields in ("", "metadata.name=other", f"metadata.name!={name}"):
                with pytest.raises(ApiError) as refused:
                    await first(client, fields)
                assert refused.value.status == 403
            with pytest.raises(ApiError) as refused:
                await client.list(resource, namespace, fields=f"metadata.name={name}")
            assert refused.value.status == 403

    run(story())


def test_a_bundle_that_is_emptied_is_written_again(installed: Lab, namespace: str, run: Any) -> None:
    """As a GitOps tool does that replaces objects."""

    async def story() -> None:
        before = await published(installed)
        found = await configuration(installed)
        for webhook in found["webhooks"]:
            del webhook["clientConfig"]["caBundle"]
        await installed.client.replace(MUTATING_WEBHOOKS, None, found)

        async def again() -> bool:
            return (await published(installed)).everywhere == before.everywhere

        await installed.until(again, "the bundle is written again")

        async def written_again() -> bool:
            await installed.client.raw("POST", f"{DEPLOYMENTS.path(namespace)}?dryRun=All", annotated("web"))
            return True

        await installed.until(written_again, "Deployments can be written")

    run(story())


def test_two_replicas_agree_and_a_deleted_secret_is_made_anew(
    installed: Lab, replicas: list[Endpoint], namespace: str, run: Any
) -> None:
    async def story() -> None:
        async with written(installed, namespace) as load:
            before = await until_all(installed, replicas, lambda: agreed(installed), "all agree")
            await load.go_on()
            await installed.client.delete(SECRETS, *WHERE)

            async def anew() -> Contents | None:
                found = await agreed(installed)
                return found if found is not None and found.authority != before.authority else None

            after = await until_all(installed, replicas, anew, "another authority signs")
            assert before.authority.certificate in after.old, "still trusted: a pair of it may be served somewhere"
            assert (await published(installed)).everywhere == {after.authority.certificate, *after.old}

    run(story())


def test_the_authority_turns(installed: Lab, replicas: list[Endpoint], namespace: str, run: Any) -> None:
    """The Secret's authority becomes an old one: it is followed by a new one, and both are trusted."""

    async def story() -> None:
        now = datetime.datetime.now(datetime.UTC)
        aged = Mint(()).authority(now - datetime.timedelta(days=250))
        async with written(installed, namespace) as load:
            before = await until_all(installed, replicas, lambda: agreed(installed), "all agree")
            await load.go_on()
            found = await installed.client.get(SECRETS, *WHERE)
            host = installed.ground.webhook[0]
            serving = Mint((), (host,)).serving(aged, now)
            await installed.client.replace(SECRETS, WHERE[0], secret.encode(found, Contents(aged, serving)))

            async def turned() -> Contents | None:
                for each in replicas:
                    await served(installed, each)  # verified at every moment that we look
                found = await agreed(installed)
                new = found is not None and found.authority.certificate not in (
                    aged.certificate,
                    before.authority.certificate,
                )
                return found if new else None

            after = await until_all(installed, replicas, turned, "a new authority signs")
            assert {before.authority.certificate, aged.certificate} <= set(after.old)
            await load.go_on()

    run(story())


def test_a_key_is_in_no_log(installed: Lab, replicas: list[Endpoint], run: Any) -> None:
    async def story() -> None:
        found = await contents(installed)
        for log in (installed.state / "logs").glob("webhook*.log"):
            text = log.read_text(errors="replace")
            assert "PRIVATE KEY" not in text
            for pair in (found.authority, found.serving):
                assert base64.b64encode(pair.key).decode()[40:80] not in text

    run(story())
