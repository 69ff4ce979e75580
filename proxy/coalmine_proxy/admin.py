"""What the admin port answers: a function from a request to an answer, no I/O. An answer that takes
more than a moment is a coroutine, which whoever has the connection awaits.

``PUT /config`` takes a signed document from anybody; its signature is the permission. ``GET /config``
and ``POST /drain`` are for those on this pod alone. The rest tells nothing secret.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from coalmine.model import wire
from coalmine_proxy import exposition, stats
from coalmine_proxy.config import Configuration
from coalmine_proxy.exposition import Workload
from coalmine_proxy.log import log
from coalmine_proxy.service import Service
from coalmine_proxy.stats import Snapshot

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


#: Seconds between two lines about refused configurations.
REFUSALS_APART: Final = 10.0


class Reply(NamedTuple):
    """An answer of the admin port."""

    status: int
    body: bytes
    content_type: str = TEXT


Later = Coroutine[Any, Any, Reply]


class _Told(NamedTuple):
    """What an answer tells: which document is applied, the counters, by how many processes, and whether each of
    those has said so.
    """

    applied: wire.Version | None
    snapshot: Snapshot
    workers: int
    all_of_them: bool


class Others(Protocol):
    """The processes that serve, where it is not this one (`workers.Workers`)."""

    def __len__(self) -> int: ...

    def drain(self) -> None: ...

    async def snapshot(self) -> tuple[Snapshot, bool]: ...


class Admin:
    """The admin port of one sidecar."""

    def __init__(
        self,
        service: Service,
        configuration: Configuration,
        *,
        needs_configuration: bool,
        istio: Workload | None = None,
    ) -> None:
        """`needs_configuration`: a canary's sidecar is not ready before it has one; `istio`: whose it is, when
        Istio's metrics are wanted.
        """
        self._service = service
        self._configuration = configuration
        self._needs_configuration = needs_configuration
        self._istio = istio
        self.workers: Others | None = None
        #: Bytes of bodies that are not verified yet, or wait to be applied, over all connections.
        self.unverified = 0
        self._refused_at = -REFUSALS_APART

    @property
    def ready(self) -> bool:
        """May Services send requests here?"""
        configured = self._configuration.applied is not None or not self._needs_configuration
        return configured and self._service.accepting

    def handle(self, method: str, path: str, body: bytes, signature: str, inside: bool) -> Reply | Later:
        """Answer one request. `inside`: it comes from this pod."""
        allowed = _METHODS.get(path)
        if allowed is None:
            return _say(404, "The admin port serves /config, /metrics, /ready, /live, /identity and /drain.")
        if method not in allowed:
            return _say(405, f"{path} takes {' or '.join(allowed)}.")
        if path == "/config" and method == "PUT":
            return self._put(body, signature)
        if path in ("/config", "/drain") and not inside:
            return _say(403, f"{path} answers only to this pod itself.")
        if path == "/config":
            return self._counted(self._shown)
        if path == "/drain":
            self._drain()
            return _say(200, "Draining.")
        if path == "/metrics":
            return self._counted(self._metrics)
        if path == "/identity":
            return Reply(200, json.dumps({"uid": self._configuration.pod}).encode(), JSON)
        if path == "/ready" and not self.ready:
            return _say(503, "Not ready.")
        return _say(200, "OK")

    def _drain(self) -> None:
        if self._service.draining:
            return
        log("info", "drain begins")
        self._service.drain()
        if self.workers is not None:
            self.workers.drain()

    def _put(self, body: bytes, signature: str) -> Later:
        # counted on, as it may wait for others before it
        self.unverified += len(body)
        return self._offer(body, signature)

    async def _offer(self, body: bytes, signature: str) -> Reply:
        try:
            status, sentence = await self._configuration.offer(body, signature)
        except Exception as error:
            # Our bug. The old configuration stands: to end here would end every sidecar that gets this document.
            log("error", "bug while a configuration was applied", trace="".join(traceback.format_exception(error)))
            return _say(500, "The document could not be applied; the sidecar's log says why.")
        finally:
            self.unverified -= len(body)
        if status in (200, 409):
            reply = self._counted(partial(self._told, status))
            return reply if isinstance(reply, Reply) else await reply
        now = self._service.clock()
        if now >= self._refused_at + REFUSALS_APART:  # anybody can send them: the log is not theirs to fill
            self._refused_at = now
            log("error", "a pushed configuration was refused", status=status, reason=sentence)
        return _say(status, sentence)

    # --- answers that tell counters ---

    def _counted(self, reply: Callable[[_Told], Reply]) -> Reply | Later:
        """An answer of what is told: at once, where the counters are those of this process."""
        applied = self._configuration.applied
        if self.workers is None:
            return reply(_Told(applied, self._service.snapshot(), 1, True))
        return self._gathered(self.workers, applied, reply)

    async def _gathered(self, workers: Others, applied: wire.Version | None, reply: Callable[[_Told], Reply]) -> Reply:
        """The same of workers. Whoever answers has carried out what was applied when it was asked."""
        snapshot, all_of_them = await workers.snapshot()
        total = stats.added([self._service.snapshot(), snapshot])
        return reply(_Told(applied, total, len(workers), all_of_them))

    def _metrics(self, told: _Told) -> Reply:
        istio = self._istio
        if istio is not None:
            istio = replace(istio, versions={arm.name: arm.version for arm in self._service.table.routing.arms})
        state = exposition.State(told.applied, self.ready, told.workers)
        return Reply(200, exposition.text(told.snapshot, state, istio).encode(), PROMETHEUS)

    def _told(self, status: int, told: _Told) -> Reply:
        if status == 200 and not told.all_of_them:
            return _say(503, "A worker does not answer; send it again.")
        return Reply(status, wire.encode_answer(self._answer(told)), JSON)

    def _answer(self, told: _Told) -> wire.Answer:
        configuration = self._configuration
        return wire.Answer(
            pod=configuration.pod,
            nonce=configuration.nonce,
            applied=told.applied,
            ready=self.ready,
            counters=stats.counters(told.snapshot),
        )

    def _shown(self, told: _Told) -> Reply:
        """The answer to a push, and the routing in the words of the document."""
        version = told.applied or wire.Version(0, 0)
        document = wire.Document(version, "", "", self._service.table.routing)
        written = json.loads(wire.encode(document))
        envelope = ("schema", "term", "counter", "pod", "nonce")
        shown = json.loads(wire.encode_answer(self._answer(told)))
        shown["routing"] = {key: value for key, value in written.items() if key not in envelope}
        shown["draining"] = self._service.draining
        return Reply(200, json.dumps(shown, indent=1).encode() + b"\n", JSON)


_METHODS: Final = {
    "/config": ("GET", "PUT"),
    "/metrics": ("GET", "HEAD"),
    "/ready": ("GET", "HEAD"),
    "/live": ("GET", "HEAD"),
    "/identity": ("GET", "HEAD"),
    "/drain": ("POST",),
}


def _say(status: int, sentence: str) -> Reply:
    return Reply(status, sentence.encode() + b"\n")
