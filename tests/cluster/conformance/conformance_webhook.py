"""A small mutating webhook: what the API server sends it is kept, and the test decides what it answers.

It is called for one namespace only, by address rather than through a Service, and speaks through our
webhook's own reading and writing of reviews, so that those are proven as well.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from conformance_app import App

from coalmine.kube.resources import CONFIG_MAPS, MUTATING_WEBHOOKS, Object
from coalmine.kube.verbs import ApiError
from coalmine_sandbox.certificates import Authority
from coalmine_sandbox.lab import MANIFESTS, read
from coalmine_webhook.review import MAX_REVIEW, Allowed, Outcome, Review, parse, render

Decide = Callable[[Review], Outcome | Awaitable[Outcome]]
#: One entry of a MutatingWebhookConfiguration: its rule, and any field that differs from the usual.
Entry = dict[str, Any]
_PROBE = "/probe"
_numbers = iter(range(1, 1_000_000))


def rule(resource: str, *operations: str, group: str = "apps", **fields: Any) -> Entry:
    """An entry for `resource`; its path is the resource's."""
    rules = [{"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": list(operations)}]
    return {"rules": rules, **fields}


def ours(webhook: str) -> Entry:
    """The entry of our own configuration for `webhook`, as it is installed, but for where and for whom it is called."""
    (configuration,) = read(MANIFESTS / "base" / "webhook.yaml")
    (entry,) = (e for e in configuration["webhooks"] if e["name"] == f"{webhook}.coalmine.dev")
    return {key: value for key, value in entry.items() if key not in ("name", "clientConfig", "namespaceSelector")}


class Webhook:
    """The reviews that came in, by path, and what is answered there."""

    def __init__(self) -> None:
        self.reviews: dict[str, list[Review]] = {}
        self._decide: dict[str, Decide] = {}
        self._runner: web.AppRunner | None = None

    def answer(self, path: str, decide: Decide) -> None:
        self._decide[path] = decide

    def at(self, path: str) -> list[Review]:
        """The reviews of a path that were no dry runs, in order."""
        return [review for review in self.reviews.get(path, []) if not review.dry_run]

    async def start(self, context: ssl.SSLContext) -> int:
        """Listen; the port."""
        application = web.Application(client_max_size=MAX_REVIEW)
        application.router.add_post("/{path:.*}", self._review)
        runner = self._runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Listen no more: from now on the webhook is down."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _review(self, request: web.Request) -> web.Response:
        review = parse(await request.read())
        self.reviews.setdefault(request.path, []).append(review)
        decided = self._decide.get(request.path, _allow)(review)
        outcome = await decided if isinstance(decided, Awaitable) else decided
        return web.Response(body=render(review.uid, outcome), content_type="application/json")


def _allow(_: Review) -> Outcome:
    return Allowed()


@contextlib.asynccontextmanager
async def registered(app: App, directory: Path, **entries: Entry) -> AsyncIterator[Webhook]:
    """A webhook with one entry for each keyword, reached at ``/<keyword>``; in force when this returns."""
    webhook = Webhook()
    authority = Authority("conformance", datetime.datetime.now(datetime.UTC))
    pair = authority.issue("webhook", hosts=["127.0.0.1"])
    certificate, key = directory / "tls.crt", directory / "tls.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    port = await webhook.start(context)
    name = f"conformance-{next(_numbers)}"
    # an entry that lets the test see when the API server knows the configuration
    every = {**entries, "probe": rule("configmaps", "CREATE", group="")}
    configuration: Object = {
        "apiVersion": MUTATING_WEBHOOKS.api_version,
        "kind": MUTATING_WEBHOOKS.kind,
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": f"{path}.conformance.coalmine.dev",
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/{path}",
                    "caBundle": base64.b64encode(authority.certificate).decode(),
                },
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": app.namespace}},
                **entry,
            }
            for path, entry in every.items()
        ],
    }
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}}

    async def called() -> bool:
        with contextlib.suppress(ApiError):
            await app.lab.client.raw("POST", f"{CONFIG_MAPS.path(app.namespace)}?dryRun=All", probe)
        return bool(webhook.reviews.get(_PROBE))

    try:
        await app.lab.client.create(MUTATING_WEBHOOKS, None, configuration)
        await app.lab.until(called, "the API server calls the webhook")
        yield webhook
    finally:
        # shielded, so that a test that was given up leaves no webhook which nobody serves
        await asyncio.shield(app.lab.client.delete(MUTATING_WEBHOOKS, None, name))
        await webhook.stop()
