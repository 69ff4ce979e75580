"""``python -m bench``: the only module here that reads arguments."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import counts, disturbances, machine, memory, origin, page, peers, plot, rounds, table, targets
from bench.origin import Origins
from bench.processes import LOAD_CORE, BenchError, Processes, program
from bench.results import Results, decode, encode, merged
from bench.workloads import WORKLOADS

_RESULTS = Path(__file__).with_name("results.json")
_PLOT = Path(__file__).parent.parent / "docs" / "img" / "bench.svg"
_PAGE = Path(__file__).parent.parent / "docs" / "proxy.md"
_MEMORY = "memory"
_NAMES = (*(w.name for w in WORKLOADS), _MEMORY, *(d.name for d in disturbances.DISTURBANCES))
#: Of the widest table; a narrower terminal had better wrap lines than lose columns.
_WIDTH = 160
#: Proxies with 512 clients, and a thousand idle ones, hold two sockets for each.
_FILES = 8192


@dataclass(frozen=True, slots=True)
class Scale:
    """Rounds of a workload, and their length in seconds."""

    rounds: int
    seconds: int


FULL = Scale(7, 4)
QUICK = Scale(3, 1)


def main(argv: Sequence[str]) -> int:
    """Run what is asked for. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    console = Console(highlight=False, width=max(Console().width, _WIDTH))
    try:
        if arguments.draw:
            results = decode(_RESULTS.read_text())
            _show(results, console)
            _draw(results)
            return 0
        if (os.cpu_count() or 1) <= LOAD_CORE:
            raise BenchError("two cores are needed: one for the proxy, one for load and origins")
        _raise_limit()
        os.sched_setaffinity(0, {LOAD_CORE})
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, Processes(Path(folder)).all() as processes:
            run(arguments, processes, console)
    except (BenchError, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run(arguments: argparse.Namespace, processes: Processes, console: Console) -> None:
    """Measure, print, and keep a complete run. Raises BenchError and OSError."""
    names = [name.strip() for name in arguments.peers.split(",") if name.strip()]
    for needed in ("nginx", "wrk", *(name for name in names if name == peers.HAPROXY)):
        program(needed)
    scale = QUICK if arguments.quick else FULL
    scale = Scale(arguments.rounds or scale.rounds, arguments.seconds or scale.seconds)
    origins = origin.start(processes)
    if arguments.counts:
        _counts(arguments.workload or ["small-64"], names, processes, origins, console)
        return
    results = Results(machine.facts(scale.rounds, scale.seconds))
    wanted = arguments.workload or _NAMES
    _measure(wanted, names, scale, results, processes, origins, console)
    _show(results, console, only_measured=bool(arguments.workload))
    if arguments.save or not (arguments.workload or arguments.quick or set(names) != set(peers.ALL)):
        if arguments.workload:
            results = merged(decode(_RESULTS.read_text()), results)
        _RESULTS.write_text(encode(results, [str(v) for v in targets.verdicts(results)]))
        _draw(results)
        console.print(f"written: {_RESULTS.name}, {_PLOT.name}, {_PAGE.name}")


def _draw(results: Results) -> None:
    _PLOT.write_text(plot.draw(results))
    _PAGE.write_text(page.replaced(_PAGE.read_text(), results))


def _measure(
    wanted: Sequence[str],
    names: Sequence[str],
    scale: Scale,
    results: Results,
    processes: Processes,
    origins: Origins,
    console: Console,
) -> None:
    """Fill the results; each table is printed as soon as it is known."""

    def say(text: str) -> None:
        console.print(text, style="yellow", markup=False)

    for workload in WORKLOADS:
        if workload.name in wanted:
            try:
                found = rounds.run(
                    workload, names, processes, origins, rounds=scale.rounds, seconds=scale.seconds, say=say
                )
            except BenchError as error:
                say(str(error))
                continue
            results.workloads[workload.name] = found
            console.print(table.workload(workload, found))
    if _MEMORY in wanted:
        for name in names:
            try:
                results.memory |= memory.run([name], processes, origins)
            except (BenchError, OSError) as error:
                say(f"{_MEMORY}: {name} is left out: {error}")
        console.print(table.memory(results.memory))
    for which in disturbances.DISTURBANCES:
        if which.name in wanted and peers.COALMINE in names:
            try:
                windows = disturbances.run(
                    which, processes, origins, rounds=scale.rounds, seconds=max(2, scale.seconds)
                )
            except (BenchError, OSError) as error:
                say(f"{which.name}: {error}")
                continue
            results.disturbances[which.name] = windows
            console.print(table.disturbance(f"{which.name}: {which.title}", windows))


def _show(results: Results, console: Console, *, only_measured: bool = False) -> None:
    """What each proxy adds, then a line for each target."""
    for line in targets.additions(results):
        console.print(line, markup=False, soft_wrap=True)
    console.print()
    for verdict in targets.verdicts(results):
        if verdict.measured or not only_measured:
            style = {True: "green", False: "red", None: "dim"}[verdict.reached]
            console.print(str(verdict), style=style, markup=False, soft_wrap=True)


def _counts(
    wanted: Sequence[str], names: Sequence[str], processes: Processes, origins: Origins, console: Console
) -> None:
    """System calls of each peer per request; callbacks and Python calls of the sidecar."""
    program("strace")
    for workload in WORKLOADS:
        if workload.name not in wanted:
            continue
        for name in names:
            if name != peers.DIRECT:
                found = counts.system_calls(workload, name, processes, origins, 2)
                console.print("\n".join(counts.lines(f"{workload.name}: {name}: system calls", found)), markup=False)
        if peers.COALMINE in names:
            calls = counts.callbacks(workload, processes, origins, 2)
            for what, title in (
                ("callbacks", "callbacks of the loop"),
                ("python", "Python calls"),
                ("builtin", "calls of built-in functions"),
            ):
                console.print("\n".join(counts.lines(f"{workload.name}: coalmine: {title}", calls[what])), markup=False)


def _raise_limit() -> None:
    """The processes started here inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="The sidecar beside nginx and HAProxy.")
    add = parser.add_argument
    add("--quick", action="store_true", help="short rounds, to see whether a change helps")
    add(
        "--workload",
        action="append",
        choices=_NAMES,
        metavar="NAME",
        help=f"only this; again for more: {', '.join(_NAMES)}",
    )
    add("--peers", default=",".join(peers.ALL), help="comma-separated (default %(default)s); coalmine@REVISION too")
    add("--rounds", type=int, help=f"rounds per workload (default {FULL.rounds}, quick {QUICK.rounds})")
    add("--seconds", type=int, help=f"seconds of a round (default {FULL.seconds}, quick {QUICK.seconds})")
    add("--save", action="store_true", help="keep the results also of a run that is not complete: the others stand")
    add("--counts", action="store_true", help="system calls and callbacks per request instead of times")
    add("--draw", action="store_true", help="measure nothing: show and draw results.json again")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
