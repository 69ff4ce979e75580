"""One line of JSON to standard error for what happens to the sidecar as a whole.

Of requests only those that somebody asked to see, and never a key, a signature or a header of one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from datetime import UTC, datetime
from typing import Any


def log(level: str, event: str, **fields: object) -> None:
    """Write one line: when, how grave, what, and its fields."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "level": level, "event": event, **fields}, default=str)
    print(line, file=sys.stderr, flush=True)


def bug(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's exception handler: an exception left a callback of a connection, which is our bug.

    That connection is lost, the others are not.
    """
    error = context.get("exception")
    trace = traceback.format_exception(error) if isinstance(error, BaseException) else []
    log("error", "bug in a callback", message=context.get("message"), trace="".join(trace))
