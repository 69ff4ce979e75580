"""Whether this controller can do its work: readiness, for /readyz.

One that leads renews the Lease every few seconds, and one that waits looks at it as often. So whoever had no good
answer from the API server for two lives of a Lease could neither lead nor take over.
"""

from __future__ import annotations

from collections.abc import Callable

from coalmine.kube.calls import Call, Observer


class Health:
    """Follows the calls of a client; passes each on to `observe`."""

    def __init__(self, clock: Callable[[], float], patience: float, observe: Observer) -> None:
        """`clock` and `patience` in seconds."""
        self._clock = clock
        self._patience = patience
        self._observe = observe
        self._answered: float | None = None

    def called(self, call: Call) -> None:
        """A request was answered, or was not (`status` 0). What there is not, or changed meanwhile, is an answer."""
        if 200 <= call.status < 300 or call.status in (404, 409):
            self._answered = self._clock()
        self._observe(call)

    @property
    def ready(self) -> bool:
        return self._answered is not None and self._clock() - self._answered < self._patience
