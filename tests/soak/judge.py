"""The judge: for each request, do the rules allow what became of it? Knows nothing of the proxy's code.

PURE. Rules (`docs/proxy.md`, and the issue's list for proxies):
- Every answer belongs to its request; it comes from an endpoint of a document that was in force, of a version
  that this document allows for this request.
- What may be sent twice and was cut off on a kept connection before its answer is sent again: such a request
  fails only if the application died while a fresh connection carried it, or while it was answering.
- What must not be sent twice may be a 502, if an application that it may have been sent to died meanwhile. No
  application ever sees it twice, but as a copy that a mirror route wanted, and that one a canary's.
- A sidecar that is killed takes its connections with it.
- A pod that stands in no document gets no request, whatever address it has.
- No request is without an end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.soak.facts import Facts
from tests.soak.record import OPAQUE, Outcome, Record

from coalmine.model import wire

#: A process that dies is seen dying a moment earlier or later than we wrote it down, in seconds.
_SLACK: Final = 0.05
#: What may be sent twice, and never has a body here.
_REPEATABLE: Final = frozenset({"GET", "HEAD"})


class Seen(NamedTuple):
    """An application was asked: by which request, the how-manyth of its connection."""

    uid: str
    version: str
    nth: int
    method: str


class Judge:
    """Collects what is seen, and what it says of it."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        #: What was allowed, by outcome and reason.
        self.allowed: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.violations: list[str] = []
        #: Which applications a request has reached, in order.
        self._seen: dict[str, list[Seen]] = {}
        self.twice = 0

    # --- what applications saw ---

    def reached(self, identity: str, seen: Seen) -> None:
        """An application wrote down a request."""
        self._seen.setdefault(identity, []).append(seen)
        if seen.uid in self._facts.strangers:
            self.violations.append(f"{identity} reached {seen.uid}, which stands in no document")

    def forget(self, record: Record) -> None:
        """It was judged a while ago; who has been reached since then is looked at once more."""
        reached = self._seen.pop(record.identity, [])
        late = self._repeated(record, reached)
        if late and not any(text.startswith(f"{record.identity} ") for text in self.violations):
            self.violations.append(f"{record} {late}, late")

    # --- what a client saw ---

    def judge(self, record: Record) -> None:
        """Decide on one request. What applications saw of it must have been read before."""
        self.outcomes[record.outcome.value] += 1
        reached = self._seen.get(record.identity, [])
        wrong = self._repeated(record, reached)
        if record.outcome is Outcome.LEFT:
            pass
        elif record.outcome is Outcome.WHOLE and record.status in (200, 101):
            wrong = wrong or self._answered(record)
            if record.method != OPAQUE and not any(seen.uid == record.uid for seen in reached):
                wrong = wrong or "is answered by an application that has not seen it"
        elif not wrong:
            reason = self._excuse(record, reached)
            if reason:
                self.allowed[f"{_short(record)}: {reason}"] += 1
            else:
                wrong = "fails, and no rule allows it"
        if wrong:
            places = "; ".join(f"{seen.uid} as no. {seen.nth}" for seen in reached) or "none"
            self.violations.append(f"{record} {wrong}. Reached: {places}. {self._ends(record)}")

    def _ends(self, record: Record) -> str:
        """Who died about that time, for whoever has to find out why."""
        near = [
            f"{uid} {'was killed' if down.killed else 'was told to end'} at {down.since:.3f}"
            for uid, downs in self._facts.applications.items()
            for down in downs
            if record.began - 1.0 <= down.since <= record.ended + 1.0
        ]
        return "; ".join(near) or "Nobody died."

    def _repeated(self, record: Record, reached: Sequence[Seen]) -> str:
        """Was it sent more often than it may be?"""
        if len(reached) < 2:
            return ""
        once_more = 1 if record.mirrored else 0
        if record.mirrored and not any(seen.version == wire.CANARY for seen in reached):
            once_more = 0
        if record.method in _REPEATABLE or record.method == "PUT":
            self.twice += 1
            # A try, another on a fresh connection, and a copy.
            return "reached applications more than twice" if len(reached) > 2 + once_more else ""
        return "reached applications twice" if len(reached) > 1 + once_more else ""

    def _answered(self, record: Record) -> str:
        """Whose answer is it? Returns what is wrong with that."""
        routings = self._facts.possible(record.sidecar, record.began, record.ended)
        if not routings:
            return "is answered before any document was sent"
        endpoints = {e.uid for routing in routings for arm in routing.arms for e in arm.endpoints}
        if record.uid not in endpoints:
            return "is answered by an endpoint that no document in force has"
        allowed: set[str] = set()
        for routing in routings:
            allowed |= self.versions(record, routing)
        return "" if record.version in allowed else f"may be answered by {' or '.join(sorted(allowed))} only"

    def versions(self, record: Record, routing: wire.Routing) -> set[str]:
        """Which versions may answer a request under a document."""
        canary = next((arm for arm in routing.arms if arm.name == wire.CANARY), None)
        if canary is None:
            return {wire.STABLE}
        if (record.pinned and routing.pin) or (record.routed and routing.routes):
            return {wire.CANARY} if canary.endpoints else {wire.STABLE}
        share = canary.share.hundredths
        version, _, position = record.cookie.rpartition(".")
        if routing.affinity is not None and share and record.cookie and version == canary.version:
            chosen = {wire.CANARY} if int(position) < share else {wire.STABLE}
        else:
            chosen = {name for name, there in ((wire.CANARY, share > 0), (wire.STABLE, share < 10_000)) if there}
        if wire.CANARY in chosen and self.none_reachable(record, canary):
            chosen.add(wire.STABLE)
        return chosen

    def none_reachable(self, record: Record, arm: wire.Arm) -> bool:
        """May it have been that no endpoint of an arm took this request?"""
        since, until = record.began - _SLACK, record.ended + _SLACK
        return all(self._facts.unreachable(e.uid, since, until) for e in arm.endpoints)

    # --- what may fail ---

    def _excuse(self, record: Record, reached: Sequence[Seen]) -> str:
        """Why this may have failed; empty when it must not."""
        facts = self._facts
        since, until = record.began - _SLACK, record.ended + _SLACK
        outcome = record.outcome
        if outcome in (Outcome.HUNG, Outcome.WRONG):
            return ""
        if record.status not in (0, 200, 101, 502, 503):
            return ""
        if outcome is not Outcome.WHOLE and facts.sidecar_down(record.sidecar, record.connected - _SLACK, until):
            return "the sidecar was killed"
        if outcome is Outcome.REFUSED:
            return ""
        routings = facts.possible(record.sidecar, since, until)
        endpoints = {e.uid for routing in routings for arm in routing.arms for e in arm.endpoints}
        ended = {uid for uid in endpoints if facts.ended_within(uid, since, until)}
        if outcome is not Outcome.WHOLE and record.status in (200, 101):
            return "the application that answered it was killed" if record.uid in ended else ""
        if record.method == OPAQUE:
            return "an application was killed" if ended else ""
        if outcome is not Outcome.WHOLE:
            return ""
        # What is left has a 502 or 503.
        if record.pinned or record.routed:
            arms = [arm for routing in routings for arm in routing.arms if arm.name == wire.CANARY]
            if any(self.none_reachable(record, arm) for arm in arms):
                return "no canary could be reached"
        if record.status == 503 or not ended:
            return ""
        if record.method not in _REPEATABLE:
            return "an application was killed while it had the request"
        if not reached:
            return "an application was killed before it read the request"
        if any(seen.nth == 1 and seen.uid in ended for seen in reached):
            return "an application was killed that had the request on a fresh connection"
        where = {seen.uid for seen in reached}
        if ended & where and ended - where:
            return "an application was killed, and another before it read the request on a fresh connection"
        # A process that dies may accept for a moment what it will never read.
        arms = [arm for routing in routings for arm in routing.arms if where & {e.uid for e in arm.endpoints}]
        if ended & where and any(self.none_reachable(record, arm) for arm in arms):
            return "the application that was killed was the only one of its version"
        return ""


def _short(record: Record) -> str:
    status = f" {record.status}" if record.status else ""
    return f"{record.method} {record.outcome.value}{status}"
