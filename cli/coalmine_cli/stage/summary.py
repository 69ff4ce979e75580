"""The end of the story: what was promised, and what was measured.

Pure. In a terminal that is narrower than the table, it loses its last columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from coalmine_cli.stage.ink import LOOKS
from coalmine_cli.stage.page import BLANK, Block, Entry, Paragraph
from coalmine_cli.terminal import Line, Span, clean
from coalmine_sandbox.story.application import COLOURS

if TYPE_CHECKING:
    from coalmine_sandbox.story.ledger import Step
    from coalmine_sandbox.story.tale import Report

#: Columns of the whole table.
_WIDE: Final = 56


def summary(report: Report, memory: Mapping[str, int], width: int) -> list[Entry]:
    """The entries of the summary; `memory` is resident megabytes by component."""
    kept = sum(p.kept for p in report.promises)
    resident = ", ".join(f"{clean(name)} {size} MB" for name, size in memory.items())
    every = f"{len(report.promises)} promises: " + ("all kept" if report.ok else f"{kept} kept, these were not:")
    failed = len(report.failures)
    entries: list[Entry] = [
        BLANK,
        Paragraph(Span(""), "What was promised, and what was measured", "title"),
        Block(tuple(_table(report.steps, wide=width >= _WIDE))),
        Paragraph(_mark(ok=not failed), f"{failed:,} of {report.requests:,} requests failed", "bad" if failed else ""),
        Paragraph(_mark(ok=report.ok), every, "good" if report.ok else "bad"),
    ]
    entries += [Paragraph(Span("      "), p.sentence, "bad") for p in report.promises if not p.kept]
    if resident:
        entries.append(Paragraph(Span("  - ", "idle"), f"memory: {resident}", "idle"))
    return entries


def _mark(*, ok: bool) -> Span:
    return Span("  ✔ ", "good") if ok else Span("  ✖ ", "bad")


def _table(steps: list[Step], *, wide: bool) -> list[Line]:
    head = f"    {'release':<12}{'promised':>9}{'measured':>10}"
    lines: list[Line] = [(Span(head + (f"{'of requests':>13}{'failed':>8}" if wide else ""), "idle"),)]
    for step in steps:
        release = clean(step.image.rpartition(":")[2])
        colour = COLOURS.get(release, "")
        look = LOOKS.get(colour, LOOKS[""])
        row = f"{step.weight!s:>7} %{step.share:>8.1f} %" + (f"{step.requests:>13,}{step.failed:>8}" if wide else "")
        name = f"{release} {colour}"
        mark = Span("  ✔ ", "good") if step.kept else Span("  ✖ ", "bad")
        lines.append((mark, Span(f"{name:<12}", look.style if colour != "black" else ""), Span(row)))
    return lines
