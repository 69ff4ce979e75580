"""How many files this process may have open, and how many clients that lets it have.

The soft limit is 1024 nearly everywhere, for the sake of programs that use select(); the hard one says what the
administrator means. At the end of it the loop takes clients in order to close them: they are counted nowhere,
those that it has get no answer for want of a connection to an application, and probes of the admin port fail
as well. So our own limit, which is counted, comes first.
"""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import Final

from coalmine_proxy.admin_connection import MAX_CONNECTIONS
from coalmine_proxy.limits import Limits

#: Listening sockets, the loop's own, the log and the state.
_OWN: Final = 32
#: Of the rest, this part is for the admin port's connections, of which there are never more than so many.
_ADMIN_PART: Final = 8


def as_many_as_allowed() -> int:
    """Raise the soft limit to the hard one. Returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def within(limits: Limits, files: int, processes: int = 1) -> Limits:
    """`limits` for so many open files in each process: a client needs two, its own connection and one to an
    application.
    """
    others = _OWN + min(MAX_CONNECTIONS, files // _ADMIN_PART)
    clients = max(1, (files - others) // 2)
    return replace(limits, connections=min(limits.connections, processes * clients))
