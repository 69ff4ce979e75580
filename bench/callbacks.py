"""The sidecar with every Python call counted: ``python -m bench.callbacks FILE proxy ...``.

A call whose caller is the runner itself came from the event loop: a callback. Counting slows
the process, so its times mean nothing; its counts do. At the end FILE gets them as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any


class Calls:
    """What has been called, by code object: names are made only at the end."""

    def __init__(self) -> None:
        self.callbacks: Counter[CodeType] = Counter()
        self.python: Counter[CodeType] = Counter()
        self.builtin = 0
        self._started = False

    def seen(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            if not self._started and frame.f_code.co_name == "connection_made":
                # the imports are over: what they called is nobody's request
                self._started = True
                self.python.clear()
                self.callbacks.clear()
                self.builtin = 0
            self.python[frame.f_code] += 1
            caller = frame.f_back
            if caller is not None and caller.f_code.co_filename.endswith("asyncio/runners.py"):
                self.callbacks[frame.f_code] += 1
        elif event == "c_call":
            self.builtin += 1

    def to_json(self) -> str:
        return json.dumps(
            {
                "callbacks": _named(self.callbacks),
                "python": _named(self.python),
                "builtin": self.builtin,
            }
        )


def _named(calls: Counter[CodeType]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for code, count in calls.items():
        found[f"{Path(code.co_filename).stem}.{code.co_qualname}"] += count
    return dict(found.most_common())


def main() -> int:
    from coalmine_cli.__main__ import main as coalmine

    file, arguments = Path(sys.argv[1]), sys.argv[2:]
    calls = Calls()
    sys.setprofile(calls.seen)
    status = coalmine(arguments, os.environ)
    sys.setprofile(None)
    file.write_text(calls.to_json())
    return status


if __name__ == "__main__":
    sys.exit(main())
