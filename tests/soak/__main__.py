"""``python -m tests.soak``: the only module here that reads arguments."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import uvloop
from tests.soak.disturbances import Disturbances
from tests.soak.measures import bugs, held
from tests.soak.report import Report
from tests.soak.soak import Soak


def main() -> int:
    """Returns the exit status: 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Sidecars under load and accidents.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is chosen (default %(default)s)")
    parser.add_argument("--think", type=float, default=0.08, help="mean seconds between requests of a client")
    parser.add_argument("--network", default="127.77.0", help="the first three numbers of the pods' addresses")
    parser.add_argument("--folder", type=Path, help="for logs, kept (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            report = runner.run(_run(arguments, arguments.folder or Path(folder)))
        except asyncio.CancelledError:
            print("ended by a signal; nothing is shown by this run")
            return 1
    print(report)
    return 1 if report.wrong else 0


async def _run(arguments: argparse.Namespace, folder: Path) -> Report:
    soak = Soak(folder, arguments.seed, arguments.think, arguments.network, lambda text: print(text, flush=True))
    disturbances = Disturbances(soak)
    loop = asyncio.get_running_loop()
    itself = asyncio.current_task()
    assert itself is not None
    # Both: a shell that starts it in the background has SIGINT ignored. Its processes must not outlive it.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, itself.cancel)
    began = loop.time()
    try:
        await soak.start()
        await asyncio.sleep(2.0)
        first = {slot.pod.uid: held(slot.pod) for slot in soak.slots}
        async with asyncio.TaskGroup() as tasks:
            kept = [
                tasks.create_task(soak.keep_pushing()),
                tasks.create_task(soak.keep_judging()),
                tasks.create_task(soak.keep_measuring(10.0)),
            ]
            load = tasks.create_task(soak.drive())
            soak.load.gate.set()
            await disturbances.run(began + arguments.seconds)
            loaded = loop.time() - began
            soak.load.stop = True
            await load
            # Kept connections expire after four seconds; what is judged last is read meanwhile.
            await asyncio.sleep(8.0)
            for task in kept:
                task.cancel()
        soak.catch_up(float("inf"))
        soak.measure(began)
        left = await soak.idle()
        for slot in soak.slots:
            now, before = held(slot.pod), first.get(slot.pod.uid) or first[soak.slots[0].pod.uid]
            # The controller's kept connection is one more.
            if now is not None and before is not None and now.descriptors > before.descriptors + 1:
                left.append(f"{slot.pod.uid} holds {now.descriptors} descriptors, {before.descriptors} when it began")
        return Report(soak, disturbances, loaded, [*left, *bugs(folder / "pods")])
    finally:
        await soak.stop()


if __name__ == "__main__":
    sys.exit(main())
