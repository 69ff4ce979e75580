"""Tells sidecars their routing, and remembers what each has acknowledged.

Rules: what a sidecar is to be told is the newest routing that was asked for; one push a sidecar
at a time; a push that fails is asked for again by the next look at the Deployment,
which `settled` brings about, never by a timer here. What was acknowledged is forgotten when the
sidecar's container was started again, and as soon as anything else is on its way to it: an answer that
was lost does not tell which of the two it holds. Nothing is remembered across a restart of the
controller: a push that says nothing new is cheap. An answer is hostile until shown otherwise: whatever
runs at a pod's address wrote it.

While keys turn (`rotation_plan`) a sidecar is tried with the next key, and, if it does not know that one yet, sent
the same document signed by the current one, in the same push. One that has its routing is told it again by the
next key, now and then, until it takes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

from coalmine.model.errors import RemoteError
from coalmine.model.names import SIGNATURE_HEADER
from coalmine.model.wire import Answer, ArmCounters, Document, Routing, Version, decode_answer, encode
from coalmine_controller.keys import Keyring, SigningKey
from coalmine_controller.observed import Pod

_log = logging.getLogger(__name__)

#: A sidecar answers in a millisecond; a pod that is gone must not hold up a weight for long.
_PUSH_SECONDS = 2.0
#: A sidecar's answer is some kilobytes of counters.
_MAX_ANSWER = 1 << 20
#: A counter that a sidecar names is counted on from; a document's is below 1 << 63, and a pod that lies must not
#: use up what is left for all others.
_HIGHEST = 1 << 62
#: Pushes under way at once: each costs a connection.
_PARALLEL = 64
#: Seconds for which a sidecar that did not know the next key, or could not be reached, is not tried with it: a kubelet
#: takes a minute. Each push that fails doubles it, up to the longest: who is away for hours holds no slot up.
_TRY_AGAIN = 5.0
_LONGEST = 300.0


@dataclass(slots=True)
class _Sidecar:
    boot: str
    nonce: str = ""
    wanted: Routing | None = None
    applied: Routing | None = None
    error: str = ""
    counters: Mapping[str, ArmCounters] = field(default_factory=dict)
    schema: int | None = None
    #: Id of the key that signed what it has applied; until when it is not tried with another, after so many failures.
    key: str = ""
    not_before: float = 0.0
    failures: int = 0
    task: asyncio.Task[None] | None = None


class Sidecars:
    """The pushes of one term of leadership."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        ring: Keyring,
        term: int,
        group: asyncio.TaskGroup,
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._ring = ring
        self._clock = clock
        self._term = term
        self._counter = 0
        self._group = group
        self._sidecars: dict[str, _Sidecar] = {}
        self._slots = asyncio.Semaphore(_PARALLEL)

    def applied(self, uid: str, boot: str) -> tuple[Routing | None, str]:
        """What the sidecar of pod `uid` has acknowledged since it was started as `boot`, and the last error."""
        sidecar = self._sidecars.get(uid)
        if sidecar is None or sidecar.boot != boot:
            return None, ""
        return sidecar.applied, sidecar.error

    def schema(self, uid: str) -> int | None:
        """What it understands, by its last answer; None before there is one."""
        sidecar = self._sidecars.get(uid)
        return sidecar.schema if sidecar else None

    def lacks_key(self, uid: str) -> bool:
        """Whether what it has applied, as far as this controller knows, is by a key that is going, or gone."""
        sidecar = self._sidecars.get(uid)
        return self._outdated(sidecar.key if sidecar else "")

    def due(self, uid: str) -> bool:
        """Whether it lacks the key, and may be tried with it now."""
        sidecar = self._sidecars.get(uid)
        return self.lacks_key(uid) and (sidecar is None or self._clock() >= sidecar.not_before)

    def counters(self, uid: str) -> Mapping[str, ArmCounters]:
        """What it had counted when it last answered."""
        sidecar = self._sidecars.get(uid)
        return sidecar.counters if sidecar else {}

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        sidecar = self._sidecars.pop(uid, None)
        if sidecar is not None and sidecar.task is not None:
            sidecar.task.cancel()

    def tell(self, pod: Pod, boot: str, routing: Routing, settled: Callable[[bool], None]) -> None:
        """Have `routing` pushed to `pod` unless it has it; `settled` is told whether it was acknowledged."""
        sidecar = self._sidecars.get(pod.uid)
        if sidecar is None or sidecar.boot != boot:
            nonce, key = (sidecar.nonce, sidecar.key) if sidecar else ("", "")
            if sidecar is not None and sidecar.task is not None:
                sidecar.task.cancel()
            sidecar = self._sidecars[pod.uid] = _Sidecar(boot, nonce, key=key)
        sidecar.wanted = routing
        owed = sidecar.applied != routing or self._owes_key(sidecar)
        if sidecar.task is None and owed and pod.address and pod.injection is not None:
            address = f"http://{_bracketed(pod.address)}:{pod.injection.admin_port}/config"
            sidecar.task = self._group.create_task(self._push(address, pod.uid, sidecar, settled))

    async def _push(self, url: str, uid: str, sidecar: _Sidecar, settled: Callable[[bool], None]) -> None:
        try:
            while sidecar.wanted is not None and (sidecar.applied != sidecar.wanted or self._owes_key(sidecar)):
                routing = sidecar.wanted
                if sidecar.applied != routing:
                    sidecar.applied = None
                try:
                    async with self._slots, asyncio.timeout(_PUSH_SECONDS):
                        answer = await self._put(url, uid, sidecar, routing)
                except (aiohttp.ClientError, OSError, TimeoutError, RemoteError) as error:
                    sidecar.error = str(error) or type(error).__name__
                    self._postpone(sidecar)
                    return
                sidecar.applied, sidecar.error, sidecar.counters = routing, "", answer.counters
                sidecar.schema = answer.schema
                sidecar.failures = 0
        finally:
            sidecar.task = None
            settled(not sidecar.error)

    async def _put(self, url: str, uid: str, sidecar: _Sidecar, routing: Routing) -> Answer:
        """Push; a wrong nonce (the sidecar was started again, or never met us) is answered with the right one, and a
        key that it does not know is followed by the other."""
        first, *others = self._signers(sidecar)
        for _ in range(3 + len(others)):
            self._counter += 1
            version = Version(self._term, self._counter)
            body = encode(Document(version, uid, sidecar.nonce, routing))
            headers = {SIGNATURE_HEADER: first.sign(body), "Content-Type": "application/json"}
            # a redirect would have the controller send requests wherever a pod likes
            async with self._session.put(url, data=body, headers=headers, allow_redirects=False) as response:
                text = await _read(response.content)
                if response.status == 401 and others:
                    sidecar.not_before = self._clock() + _TRY_AGAIN
                    first = others.pop()
                    continue
                if response.status not in (200, 409):
                    raise RemoteError(f"the sidecar answered {response.status}: {text[:200].decode(errors='replace')}")
                answer = decode_answer(text)
            if answer.pod != uid:
                raise RemoteError(f"another pod answers at this address ({answer.pod})")
            if response.status == 200:
                if answer.applied != version:
                    raise RemoteError("the sidecar says yes, and names another document")
                sidecar.key = first.id
                return answer
            if answer.applied is not None and answer.applied.term > self._term:
                raise RemoteError(f"the sidecar follows a newer leader (term {answer.applied.term})")
            if answer.applied is not None and answer.applied.term == self._term:
                self._counter = max(self._counter, min(answer.applied.counter, _HIGHEST))
            sidecar.nonce = answer.nonce
        raise RemoteError("the sidecar refuses every nonce that it gives")

    def _owes_key(self, sidecar: _Sidecar) -> bool:
        """Whether it is to be told what it has once more, signed by the newest key."""
        return self._outdated(sidecar.key) and self._clock() >= sidecar.not_before

    def _outdated(self, key: str) -> bool:
        keys = self._ring.keys
        if keys.next is not None:
            return key != keys.next.id
        return bool(key) and key not in keys.published

    def _postpone(self, sidecar: _Sidecar) -> None:
        sidecar.not_before = self._clock() + min(_LONGEST, _TRY_AGAIN * 2.0 ** min(sidecar.failures, 10))
        sidecar.failures += 1

    def _signers(self, sidecar: _Sidecar) -> list[SigningKey]:
        """Which keys to try, in which order."""
        keys = self._ring.keys
        if keys.next is None:
            return [keys.current]
        if sidecar.key == keys.next.id or self._clock() >= sidecar.not_before:
            return [keys.next, keys.current]
        return [keys.current, keys.next]


async def _read(stream: aiohttp.StreamReader) -> bytes:
    """The whole of an answer, which may come in pieces; cut at the bound."""
    parts: list[bytes] = []
    size = 0
    async for chunk in stream.iter_any():
        parts.append(chunk)
        size += len(chunk)
        if size > _MAX_ANSWER:
            raise RemoteError(f"the sidecar's answer is longer than {_MAX_ANSWER} bytes")
    return b"".join(parts)


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
