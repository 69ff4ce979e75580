"""A process for the tests: the live stage on its standard output, until something ends it.

The first argument says what: ``interrupt`` (the test sends SIGINT), ``error`` (a bug, in the middle of the
story) or ``end``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from types import SimpleNamespace
from typing import Any

from demo_events import recording

from coalmine_cli.stage.choose import stage


class _Tale:
    samples: tuple[()] = ()


async def _perform(how: str) -> None:
    told = stage(sys.stdout, os.environ)
    told.opening("It starts.")
    async with asyncio.TaskGroup() as group:
        lab: Any = SimpleNamespace(client=None)  # it is asked only once there is a Rollout
        tale: Any = _Tale()
        attending = group.create_task(told.attend(lab, tale, "default", "colorapi"))
        told_of = [value for _, kind, value in recording() if kind in ("scene", "promise")]
        for value in told_of[:2]:  # the first act: all of it fits the screen
            told.tell(value)
        await asyncio.sleep(0)  # the first drawing
        if how == "error":
            raise RuntimeError("a bug")
        if how == "interrupt":
            await asyncio.Event().wait()
        attending.cancel()


if __name__ == "__main__":
    try:
        asyncio.run(_perform(sys.argv[1]))
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)
        sys.exit(130)
