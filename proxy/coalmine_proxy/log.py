"""One line of JSON to standard error for what happens to the sidecar as a whole.

Never for a request, and never with a key, a signature or a header of one.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def log(level: str, event: str, **fields: object) -> None:
    """Write one line: when, how grave, what, and its fields."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "level": level, "event": event, **fields}, default=str)
    print(line, file=sys.stderr, flush=True)
