"""`coalmine demo`: the article's story on a control plane of its own, told as it happens.

The sandbox tells it (`coalmine_sandbox.demo`), this file shows it: the sentence of each scene, the
tree of `get rollout` whenever the rollout came to another step, what the user of the application got at
each weight, each promise with whether it held, and a summary. With ``--json`` only the summary goes to
standard output, as one document; the story goes to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine_cli.terminal import Span, Terminal

if TYPE_CHECKING:
    from coalmine.model.rollout import Status
    from coalmine_sandbox.lab import Lab
    from coalmine_sandbox.story.ledger import Step
    from coalmine_sandbox.story.tale import Promise, Report, Scene, Tale


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Tell the story; exit status 0 only if every promise was kept."""
    parser = argparse.ArgumentParser(prog="coalmine demo", description="Watch an annotated Deployment go through "
                                     "a good release, a bad one, and back, on a Kubernetes of its own.")  # fmt: skip
    parser.add_argument(
        "--control-plane",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl; needs root",
    )
    parser.add_argument("--pace", type=_seconds, default=5.0, metavar="SECONDS", help="length of a pause (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    arguments = parser.parse_args(argv)
    if not (arguments.control_plane / "kube-apiserver").exists():
        parser.error(
            f"there is no kube-apiserver in {arguments.control_plane}; `python -m coalmine_sandbox binaries` "
            "finds or builds the programs and prints their folder"
        )
    from coalmine_sandbox import demo
    from coalmine_sandbox.isolate import IsolationError

    try:
        status = demo.inside([sys.executable, "-m", "coalmine_cli", "demo", *argv])
    except IsolationError as error:
        print(f"coalmine demo: {error}", file=sys.stderr)
        return 1
    if status is not None:
        return status
    out = sys.stderr if arguments.json else sys.stdout
    colour = out.isatty() and not environ.get("NO_COLOR")
    terminal = Terminal(out, sys.stderr, out.isatty(), colour, lambda: os.get_terminal_size(out.fileno()).columns)
    return demo.perform(arguments.control_plane.resolve(), arguments.pace, arguments.json, _Told(terminal))


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 600:
        raise argparse.ArgumentTypeError("write seconds from 1 to 600")
    return seconds


class _Told:
    """The stage: a page that grows, so that it reads the same in a terminal and in a file."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._said = ""
        self._draw = asyncio.Event()

    def tell(self, what: Scene | Step | Promise) -> None:
        from coalmine_sandbox.story.ledger import Step
        from coalmine_sandbox.story.tale import Promise

        if isinstance(what, Promise):
            mark = Span("  ✔ ", "good") if what.kept else Span("  ✖ ", "bad")
            self._terminal.show([(mark, Span(what.sentence))])
        elif not isinstance(what, Step):
            self._terminal.show([(), (Span(what.title, "label"),), (Span(f"  {what.sentence}"),)])

    def watch(self, status: Status) -> None:
        self._draw.set()
        if status.message and status.message != self._said:
            self._said = status.message
            step = f"{status.step_text:>5} " if status.canary is not None else "      "
            self._terminal.show([(Span("  · ", "idle"), Span(f"{step}{status.phase.value}: {status.message}", "idle"))])

    async def attend(self, lab: Lab, tale: Tale, namespace: str, name: str) -> None:
        """Draw the tree when the rollout has come to rest at a weight."""
        from coalmine_cli.cluster import Cluster
        from coalmine_cli.picture import Picture
        from coalmine_cli.render import screen

        shown: object = None
        while True:
            await self._draw.wait()
            self._draw.clear()
            status = tale.status
            at = (status.phase, status.actual_weight, status.canary and status.canary.fingerprint)
            if at == shown or not tale.at_rest:
                continue
            shown = at
            picture = Picture(Cluster(lab.client, namespace), name, asyncio.sleep)
            await picture.read(whole=True)
            indent = (Span("    "),)
            lines = screen(picture.view(), time.time(), (self._terminal.width or 100) - 4)
            self._terminal.show([(), *((*indent, *line) for line in lines), ()])

    def end(self, report: Report, memory: dict[str, int]) -> None:
        kept = sum(p.kept for p in report.promises)
        lines = [(), (Span("What was promised, and what was measured", "label"),)]
        lines.append((Span(f"  {'image':<34}{'weight':>7}{'requests':>10}{'canary':>8}{'share':>8}{'failed':>8}"),))
        for s in report.steps:
            row = f"  {s.image:<34}{s.weight!s:>5} %{s.requests:>10}{s.canary:>8}{s.share:>6.1f} %{s.failed:>8}"
            lines.append((Span(row, "" if s.kept else "bad"),))
        resident = ", ".join(f"{name} {size} MB" for name, size in memory.items())
        lines.append((Span(f"  {report.requests} requests, {len(report.failures)} failed; resident: {resident}"),))
        verdict = f"  {kept} of {len(report.promises)} promises kept"
        lines.append((Span(verdict, "good" if report.ok else "bad"),))
        self._terminal.show(lines)
