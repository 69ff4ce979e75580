"""Waiting, for as long as the person allows: one deadline for the whole call.

Rules: time is passed in. A wait that is over says what it waited for, and that another call goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from coalmine.kube.verbs import ApiError
from coalmine.model.errors import RemoteError

T = TypeVar("T")
#: Between two looks: an uninstall takes minutes, and API servers have others to serve.
_LOOK_AGAIN: Final = 0.5


class TimeIsOverError(RemoteError):
    """Something did not come to its end in time."""


@dataclass(frozen=True, slots=True)
class Pace:
    """`deadline` is a Unix time."""

    clock: Callable[[], float]
    pause: Callable[[float], Awaitable[None]]
    deadline: float

    async def until(
        self, look: Callable[[], Awaitable[T | None]], what: Callable[[], str], *, within: float | None = None
    ) -> T:
        """The first answer that is not None. Raises TimeIsOverError, and what `look` raises but for a server that is
        away for a moment."""
        deadline = self.deadline if within is None else min(self.deadline, self.clock() + within)
        while True:
            try:
                answer = await look()
            except ApiError as error:
                if error.status and error.status < 500 and error.status != 429:
                    raise
                answer = None
            if answer is not None:
                return answer
            if self.clock() >= deadline:
                raise TimeIsOverError(f"the time is over ({what()}): run it again to go on, or with a longer --timeout")
            await self.pause(_LOOK_AGAIN)
