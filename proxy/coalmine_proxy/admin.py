"""What the admin port answers: a function from a request to an answer, no I/O.

``PUT /config`` takes a signed document from anybody; its signature is the permission. ``GET /config``
and ``POST /drain`` are for those on this pod alone. The rest tells nothing secret.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from coalmine.model import wire
from coalmine_proxy.config import Configuration
from coalmine_proxy.log import log
from coalmine_proxy.service import Service

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


class Admin:
    """The admin port of one sidecar."""

    def __init__(self, service: Service, configuration: Configuration, *, needs_configuration: bool) -> None:
        """`needs_configuration`: a canary's sidecar is not ready before it has one."""
        self._service = service
        self._configuration = configuration
        self._needs_configuration = needs_configuration
        #: Bytes of bodies that are not verified yet, over all connections.
        self.unverified = 0
        self._refused_at = -REFUSALS_APART

    @property
    def ready(self) -> bool:
        """May Services send requests here?"""
        configured = self._configuration.applied is not None or not self._needs_configuration
        return configured and self._service.accepting

    def handle(self, method: str, path: str, body: bytes, signature: str, inside: bool) -> Reply:
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
            return Reply(200, self._shown(), JSON)
        if path == "/drain":
            if not self._service.draining:
                log("info", "drain begins")
                self._service.drain()
            return _say(200, "Draining.")
        if path == "/metrics":
            text = self._service.stats.text(self._configuration.applied, self.ready)
            return Reply(200, text.encode(), PROMETHEUS)
        if path == "/identity":
            return Reply(200, json.dumps({"uid": self._configuration.pod}).encode(), JSON)
        if path == "/ready" and not self.ready:
            return _say(503, "Not ready.")
        return _say(200, "OK")

    def _put(self, body: bytes, signature: str) -> Reply:
        status, sentence = self._configuration.offer(body, signature)
        if status in (200, 409):
            return Reply(status, wire.encode_answer(self._answer()), JSON)
        now = self._service.clock()
        if now >= self._refused_at + REFUSALS_APART:  # anybody can send them: the log is not theirs to fill
            self._refused_at = now
            log("error", "a pushed configuration was refused", status=status, reason=sentence)
        return _say(status, sentence)

    def _answer(self) -> wire.Answer:
        configuration = self._configuration
        return wire.Answer(
            pod=configuration.pod,
            nonce=configuration.nonce,
            applied=configuration.applied,
            ready=self.ready,
            counters=self._service.stats.counters(),
        )

    def _shown(self) -> bytes:
        """The answer to a push, and the routing in the words of the document."""
        version = self._configuration.applied or wire.Version(0, 0)
        document = wire.Document(version, "", "", self._service.table.routing)
        written = json.loads(wire.encode(document))
        routing = {key: written[key] for key in ("arms", "localPaths", "pin", "close", "drain")}
        shown = json.loads(wire.encode_answer(self._answer()))
        shown["routing"] = routing
        shown["draining"] = self._service.draining
        return json.dumps(shown, indent=1).encode() + b"\n"


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
