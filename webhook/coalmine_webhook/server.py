"""The HTTPS server: bytes in, one of the pure reviews, bytes out; counted and logged.

Rules:
- A rule's refusal is an answer (``allowed: false``). Our own bug is one only for Deployments: there it
  must refuse, as the hold may hang on it. For Pods and status it is HTTP 500, which the webhook
  configuration's ``failurePolicy: Ignore`` lets pass: a bug of ours never stops a pod.
- What is logged is one JSON line for each decision that changed or refused something; never an object.
- The answer of a review depends on nothing that an earlier one left behind.
- Nothing but reviews is answered here: who may reach this port need not reach the metrics, and the other way round.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from coalmine_webhook import lookup
from coalmine_webhook.deployment import claims_to_read, decide
from coalmine_webhook.intake import Intake
from coalmine_webhook.metrics import Metrics
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

Decide = Callable[[Review], Awaitable[Outcome]]


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


class InFlight:
    """How many reviews have begun to come in and are not decided."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def none(self, limit: float) -> None:
        """Returns once there is none, or after `limit` seconds.

        aiohttp's own end waits for handlers, and reads nothing more meanwhile: a review of which half has come in would
        wait in vain.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._none.wait()


def application(
    reviews: Reviews,
    metrics: Metrics,
    in_flight: InFlight,
    *,
    ending: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
    intake: Intake | None = None,
) -> web.Application:
    """The server's routes. While `ending`, each answer asks its client to connect elsewhere the next time.

    `intake` reads the bodies of them all.
    """
    intake = intake or Intake()
    app = web.Application(client_max_size=MAX_REVIEW)
    for path, resource, decision, refuse in (
        ("/deployments", "deployments", reviews.deployments, True),
        ("/deployments-status", "deployments/status", reviews.status, False),
        ("/pods", "pods", reviews.pods, False),
    ):
        endpoint = _Endpoint(resource, decision, metrics, in_flight, clock, intake, refuse_on_bug=refuse)
        app.router.add_post(path, endpoint.handle)

    async def prepare(_: web.Request, response: web.StreamResponse) -> None:
        if ending():
            response.force_close()
            response.headers["Connection"] = "close"  # what aiohttp says of it was written before we are asked

    app.on_response_prepare.append(prepare)
    return app


class _Endpoint:
    """One path: the same steps for every resource."""

    def __init__(
        self,
        resource: str,
        decision: Decide,
        metrics: Metrics,
        in_flight: InFlight,
        clock: Callable[[], float],
        intake: Intake,
        *,
        refuse_on_bug: bool,
    ) -> None:
        self._resource = resource
        self._decide = decision
        self._metrics = metrics
        self._in_flight = in_flight
        self._clock = clock
        self._intake = intake
        self._refuse_on_bug = refuse_on_bug

    async def handle(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send application/json\n")
        with self._in_flight:
            async with self._intake.body(request) as body:
                return await self._handle(body)

    async def _handle(self, body: bytes) -> web.Response:
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
