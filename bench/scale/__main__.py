"""``python -m bench.scale``: the only module here that reads arguments. Needs root and namespaces of its own:

python -m coalmine_sandbox.isolate -- python -m bench.scale [--sizes 100,1000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console

from bench.scale.ground import CORE, ground
from bench.scale.results import Result, load, store, table, write_table
from bench.scale.scene import measure
from coalmine_sandbox.binaries import cache_of, find_or_build


def main(argv: Sequence[str]) -> int:
    """Run what is asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--sizes", default="100,1000", help="numbers of Deployments; default: %(default)s")
    parser.add_argument("--rollouts", type=int, default=100, help="how many roll at once; default: %(default)s")
    parser.add_argument("--draw", action="store_true", help="only write the table from the results that are there")
    arguments = parser.parse_args(argv)
    console = Console(highlight=False)
    if arguments.draw:
        write_table(load())
        return 0
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    binaries = find_or_build(cache_of(os.environ), Path(assets) if assets else None)
    others = os.sched_getaffinity(0) - {CORE}
    if not others:
        console.print("two cores are needed: one for the controller, the others for all else")
        return 1
    os.sched_setaffinity(0, others)
    for size in (int(n) for n in arguments.sizes.split(",")):
        result = uvloop.run(_one(binaries, size, min(size, arguments.rollouts), console))
        store([result], f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        console.print(table([result]))
    write_table(load())
    return 0


async def _one(binaries: Path, size: int, rollouts: int, console: Console) -> Result:
    async with ground(binaries) as (lab, sidecars):
        return await asyncio.wait_for(measure(lab, sidecars, size, rollouts, console), 3600)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
