"""The HTTPS server: bytes in, one of the pure reviews, bytes out; counted and logged.

Rules:
- A rule's refusal is an answer (``allowed: false``). Our own bug is one only for Deployments: there it
  must refuse, as the hold may hang on it. For Pods and status it is HTTP 500, which the webhook
  configuration's ``failurePolicy: Ignore`` lets pass: a bug of ours never stops a pod.
- What is logged is one JSON line for each decision that changed or refused something; never an object.
- The answer of a review depends on nothing that an earlier one left behind.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from coalmine_webhook import lookup
from coalmine_webhook.deployment import claims_to_read, decide
from coalmine_webhook.pod import decide_pod, owner_of, wants_sidecar
from coalmine_webhook.review import (
    MAX_REVIEW,
    Allowed,
    Denied,
    Errored,
    Outcome,
    Patched,
    Review,
    ReviewError,
    codes,
    parse,
    render,
)
from coalmine_webhook.sidecar import Settings
from coalmine_webhook.status import decide_status

_log = logging.getLogger(__name__)

#: The API server gives us 5 s (`timeoutSeconds`); finer edges where answers should be.
_EDGES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

Decide = Callable[[Review], Awaitable[Outcome]]


class Metrics:
    """What is counted. A registry of its own, so that two servers in one process do not clash."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reviews = Counter(
            "coalmine_webhook_reviews",
            "Reviews answered, by resource and by code of the outcome.",
            ("resource", "code"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "coalmine_webhook_review_seconds",
            "Time from the last byte of a review to its answer.",
            ("resource",),
            buckets=_EDGES,
            registry=self.registry,
        )


class Reviews:
    """The three reviews, with what they have to ask of the cluster."""

    def __init__(self, reader: lookup.Reader, settings: Settings) -> None:
        self._reader = reader
        self._settings = settings

    async def deployments(self, review: Review) -> Outcome:
        names = claims_to_read(review)
        claims = await lookup.access_modes(self._reader, review.namespace, names) if names else {}
        return decide(review, claims)

    async def status(self, review: Review) -> Outcome:
        return decide_status(review)

    async def pods(self, review: Review) -> Outcome:
        replica_set = None
        if wants_sidecar(review) and review.object is not None:
            name = owner_of(review.object)
            if name is not None:
                replica_set = await lookup.owner(self._reader, review.namespace, name)
        return decide_pod(review, replica_set, self._settings)


def application(reviews: Reviews, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> web.Application:
    """The server's routes."""
    app = web.Application(client_max_size=MAX_REVIEW)
    for path, resource, decision, refuse in (
        ("/deployments", "deployments", reviews.deployments, True),
        ("/deployments-status", "deployments/status", reviews.status, False),
        ("/pods", "pods", reviews.pods, False),
    ):
        app.router.add_post(path, _Endpoint(resource, decision, metrics, clock, refuse_on_bug=refuse).handle)

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def expose(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), content_type="text/plain", charset="utf-8")

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", expose)
    return app


class _Endpoint:
    """One path: the same steps for every resource."""

    def __init__(
        self,
        resource: str,
        decision: Decide,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        refuse_on_bug: bool,
    ) -> None:
        self._resource = resource
        self._decide = decision
        self._metrics = metrics
        self._clock = clock
        self._refuse_on_bug = refuse_on_bug

    async def handle(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send application/json\n")
        body = await request.read()
        started = self._clock()
        try:
            review = parse(body)
        except ReviewError as error:
            self._metrics.reviews.labels(self._resource, "Malformed").inc()
            _log.warning("review refused: %s", error)
            return web.Response(status=400, text=f"{error}\n")
        outcome = await self._answer(review)
        self._metrics.seconds.labels(self._resource).observe(self._clock() - started)
        self._metrics.reviews.labels(self._resource, codes(outcome)[0]).inc()
        self._tell(review, outcome)
        if isinstance(outcome, Errored) and not self._refuse_on_bug:
            return web.Response(status=outcome.code, text=f"{outcome.message}\n")
        return web.Response(body=render(review.uid, outcome), content_type="application/json")

    async def _answer(self, review: Review) -> Outcome:
        try:
            return await self._decide(review)
        except Exception as error:
            # the trace is for our log; the writer gets a sentence
            _log.exception("review failed", extra={"fields": _about(self._resource, review)})
            return Errored(f"Coalmine's webhook failed on this object ({type(error).__name__}); see its log")

    def _tell(self, review: Review, outcome: Outcome) -> None:
        if isinstance(outcome, Allowed) and not outcome.notices:
            return
        fields = _about(self._resource, review) | {"codes": list(codes(outcome))}
        if isinstance(outcome, Denied | Errored):
            fields |= {"denied": True, "message": outcome.message}
        elif isinstance(outcome, Patched):
            fields["operations"] = len(outcome.patch)
        _log.info("review", extra={"fields": fields})


def _about(resource: str, review: Review) -> dict[str, object]:
    return {
        "resource": resource,
        "namespace": review.namespace,
        "name": review.name,
        "operation": review.operation,
        "user": review.user,
        "dryRun": review.dry_run,
    }


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """What the server speaks: TLS 1.2 and later."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
