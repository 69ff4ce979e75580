"""Coalmine is replaced in the middle of a rollout, under load: new processes for old ones, in both orders.

What an older sidecar makes of a newer controller's documents, and the other way round, is told by
tests/unit/model/test_model_upgrade.py: no older sidecar can be run here.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import pytest
from releases import Stage

from coalmine.kube.resources import MUTATING_WEBHOOKS, annotations_of, name_of
from coalmine.kube.verbs import JSON_PATCH
from coalmine.model import names
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.ground import Endpoint
from coalmine_sandbox.lab import Lab, listening

pytestmark = [pytest.mark.cluster, pytest.mark.long]


class Order(Enum):
    """A Deployment's maxSurge, or its maxUnavailable."""

    NEW_FIRST = "the new one first"
    OLD_FIRST = "the old one first"


@contextlib.asynccontextmanager
async def new_controller(lab: Lab, old: Daemon, order: Order) -> AsyncIterator[None]:
    """Another controller in the place of `old`, which is back at the end."""
    identity = f"{old.name}-upgraded"
    if order is Order.OLD_FIRST:
        await old.stop()
    new = await lab.start_controller(identity)
    if order is Order.NEW_FIRST:
        await old.stop()

    async def leads() -> bool:
        return (await lab.leader()).startswith(identity)

    await lab.until(leads, "the new controller leads")
    yield
    await new.stop()
    lab.controllers.remove(new)
    old.start()


@contextlib.asynccontextmanager
async def new_webhook(lab: Lab, order: Order) -> AsyncIterator[None]:
    """Another webhook in the place of the lab's, which is back at the end. What a Service does for them in a cluster,
    the URL of the configuration does here."""
    old = lab.webhook
    assert old is not None
    host, port = lab.ground.webhook
    there: Endpoint = (host, port + 10)
    if order is Order.OLD_FIRST:
        await old.stop()
    new = await lab.another_webhook("webhook-upgraded", there, (host, port + 11))
    await lab.until(lambda: listening(*there), "the new webhook listens")
    await direct(lab, there)
    if order is Order.NEW_FIRST:
        await old.stop()
    yield
    old.start()
    await lab.webhook_ready()
    await direct(lab, lab.ground.webhook)
    await new.stop()


async def direct(lab: Lab, there: Endpoint) -> None:
    """Have the API server call the webhook at `there`."""
    configurations, _ = await lab.client.list(MUTATING_WEBHOOKS)
    for each in configurations:
        patch = []
        for index, webhook in enumerate(each["webhooks"]):
            url = str(webhook["clientConfig"].get("url", ""))
            if url:
                path = url.partition("://")[2].partition("/")[2]
                value = f"https://{there[0]}:{there[1]}/{path}"
                patch.append({"op": "replace", "path": f"/webhooks/{index}/clientConfig/url", "value": value})
        if patch:
            await lab.client.patch(MUTATING_WEBHOOKS, None, name_of(each), patch, kind=JSON_PATCH)


@pytest.mark.parametrize("order", Order, ids=lambda order: order.name)
def test_the_controller(whole: Stage, controller: Daemon, run: Any, order: Order) -> None:
    async def story() -> None:
        async with contextlib.AsyncExitStack() as upgraded:

            async def meanwhile(mark: str) -> None:
                await whole.app.until(lambda s: s.actual_weight.percent == 20)
                await upgraded.enter_async_context(new_controller(whole.app.lab, controller, order))

            await whole.good_release(meanwhile)

    run(story())


def test_the_webhook(whole: Stage, run: Any) -> None:
    async def story() -> None:
        async with contextlib.AsyncExitStack() as upgraded:

            async def meanwhile(mark: str) -> None:
                await whole.app.until(lambda s: s.actual_weight.percent == 20)
                await upgraded.enter_async_context(new_webhook(whole.app.lab, Order.NEW_FIRST))

            await whole.good_release(meanwhile)

    run(story())


def test_no_webhook_for_a_while(whole: Stage, run: Any) -> None:
    """The old one goes before the new one comes: an outage, which two replicas are there to prevent. A canary pod that
    is made meanwhile has no sidecar and gets requests that nobody weighed, until the controller has deleted it; but
    no request fails, no weight is skipped, and the rollout ends as it would."""

    async def story() -> None:
        app = whole.app
        seen, failed, release = len(app.weights), len(app.failures), whole.next_release()
        await app.set_image(release)
        mark = await app.fingerprint()
        await app.until(lambda s: s.actual_weight.percent == 20)
        async with new_webhook(app.lab, Order.OLD_FIRST):
            await whole.healthy(mark)
        assert app.failures[failed:] == []
        assert [w for w in app.weights[seen:] if w] == [20, 50, 100]
        injected = [names.INJECTED in annotations_of(pod) for pod in await app.pods()]
        assert injected == [True] * 5

    run(story())


def test_both_and_the_next_release_by_the_new_ones(whole: Stage, controller: Daemon, run: Any) -> None:
    async def story() -> None:
        async with contextlib.AsyncExitStack() as upgraded:

            async def meanwhile(mark: str) -> None:
                await whole.app.until(lambda s: s.actual_weight.percent == 20)
                await upgraded.enter_async_context(new_webhook(whole.app.lab, Order.NEW_FIRST))
                await upgraded.enter_async_context(new_controller(whole.app.lab, controller, Order.NEW_FIRST))

            await whole.good_release(meanwhile)
            await whole.good_release()

    run(story())
