"""A view as the lines of Argo Rollouts' `get rollout`.

Pure. Rules:
- Same view, same time, same width: same lines. They never exceed the width, so that no terminal
  wraps them and tears the tree apart. Where it is too narrow, the column KIND goes first (the
  symbols tell it), then names lose their middles, then AGE goes, then line ends are cut.
- What comes from cluster objects goes through `clean`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from coalmine.model.durations import short
from coalmine.model.view import PHASE_MARKS, Count, Kind, Mark, Node, View
from coalmine_cli.fit import columns, cut, padded, shortened, text_of
from coalmine_cli.prune import pruned
from coalmine_cli.terminal import Line, Span, clean

ICONS: Final = {
    Mark.GOOD: "✔",
    Mark.BAD: "✖",
    Mark.WAITING: "◌",
    Mark.PAUSED: "॥",
    Mark.IDLE: "•",
    Mark.WARNING: "⚠",
    Mark.UNKNOWN: "?",
}
SYMBOLS: Final = {
    Kind.ROLLOUT: "⟳",
    Kind.REVISION: "#",
    Kind.REPLICA_SET: "⧉",
    Kind.POD: "□",
    Kind.ANALYSIS_RUN: "α",
}
#: Width of the header's labels, as Argo's.
_LABELS: Final = 17
#: Names are not shortened below this many characters: a pod's own suffix must stay readable. One more, and the
#: roles of ReplicaSets had no room in a terminal of 40 columns.
_SHORTEST_NAME: Final = 11
_GAP: Final = 2


@dataclass(frozen=True, slots=True)
class _Row:
    branch: str
    name: str
    kind: str
    status: str
    age: str
    info: str
    styles: tuple[str, str] = ("", "")  # of the status, of the info


def screen(view: View, now: float, width: int | None = None, rows: int | None = None) -> list[Line]:
    """All lines; `now` is a Unix time, `width` the terminal's columns or None. With `rows` the tree is pruned until
    that many lines hold it all, as far as that goes."""
    header = [*_header(view, width), ()]
    root = view.tree if rows is None else pruned(view.tree, rows - len(header) - 1)
    lines = [*header, *_tree(root, now, width)]
    return lines if width is None else [cut(line, width) for line in lines]


def tree(root: Node, now: float, width: int) -> list[Line]:
    """The tree alone, below its heading."""
    return [cut(line, width) for line in _tree(root, now, width)]


def _header(view: View, width: int | None) -> Iterator[Line]:
    mark = PHASE_MARKS[view.phase]
    yield _field("Name:", view.name)
    yield _field("Namespace:", view.namespace)
    yield _field("Status:", f"{ICONS[mark]} {view.phase}", mark.value)
    for number, part in enumerate(_wrapped(view.message, width)):
        yield _field("" if number else "Message:", part)
    yield _field("Strategy:", "Canary")
    yield _field("  Step:", view.step)
    yield _field("  SetWeight:", str(view.set_weight))
    yield _field("  ActualWeight:", str(view.actual_weight))
    for number, image in enumerate(view.images):
        roles = f" ({', '.join(image.roles)})" if image.roles else ""
        yield _field("" if number else "Images:", image.name + roles, "".join(image.roles[-1:]))
    yield (Span("Replicas:", "label"),)
    for label, count in (
        ("Desired", view.replicas.desired),
        ("Current", view.replicas.current),
        ("Updated", view.replicas.updated),
        ("Ready", view.replicas.ready),
        ("Available", view.replicas.available),
    ):
        yield _field(f"  {label}:", str(count))


def _field(label: str, value: str, style: str = "") -> Line:
    return Span(f"{label:<{_LABELS}}", "label"), Span(clean(value), style)


def _wrapped(message: str, width: int | None) -> list[str]:
    text = clean(message)
    if width is None or not text:
        return [text] if text else []
    room = max(width - _LABELS, 1)
    return textwrap.wrap(text, room if columns(text) == len(text) else max(room // 2, 1))


def _tree(root: Node, now: float, width: int | None) -> list[Line]:
    heading = _Row("", "NAME", "KIND", "STATUS", "AGE", "INFO", ("label", "label"))
    rows = [heading, *_rows(root, "", "", now)]
    lines = _table(rows)
    if width is not None and _widest(lines) > width:
        rows = [replace(r, kind="") for r in rows]
        excess = _widest(_table(rows)) - width
        if excess > 0:
            longest = max(len(r.branch) + len(r.name) for r in rows)
            rows = _shortened(rows, longest - excess)
        lines = _table(rows)
        if _widest(lines) > width:
            lines = _table([replace(r, age="") for r in rows])
    return lines


def _rows(node: Node, branch: str, below: str, now: float) -> Iterator[_Row]:
    """The row of `node` behind `branch`, then those of its children behind `below`."""
    status = f"{ICONS[node.mark]} {node.status}" if node.mark is not None else node.status
    age = "" if node.since is None else short(now - node.since)
    info = ",".join(f"{ICONS[i.mark]} {i.number}" if isinstance(i, Count) else i for i in node.info)
    kind = "" if node.kind is Kind.REVISION else node.kind.value
    role = next((i for i in node.info if i in ("stable", "canary")), "")
    mark = "" if node.mark is None else node.mark.value
    symbol = f"{branch}{SYMBOLS[node.kind]} "
    yield _Row(symbol, clean(node.name), kind, clean(status), age, clean(info), (mark, str(role)))
    for number, child in enumerate(node.children):
        last = number == len(node.children) - 1
        yield from _rows(child, below + ("└──" if last else "├──"), below + ("   " if last else "│  "), now)


def _table(rows: Sequence[_Row]) -> list[Line]:
    """The rows in columns; one that is empty in all of them takes no room."""
    names = _column(f"{r.branch}{r.name}" for r in rows)
    kinds = _column(r.kind for r in rows)
    statuses = _column(r.status for r in rows)
    ages = _column(r.age for r in rows)
    return [
        (
            Span(padded(f"{r.branch}{r.name}", names)),
            Span(padded(r.kind, kinds)),
            Span(padded(r.status, statuses), r.styles[0]),
            Span(padded(r.age, ages)),
            Span(r.info, r.styles[1]),
        )
        for r in rows
    ]


def _column(cells: Iterable[str]) -> int:
    widest = max(columns(cell) for cell in cells)
    return widest + _GAP if widest else 0


def _widest(lines: Sequence[Line]) -> int:
    return max(columns(text_of(line)) for line in lines)


def _shortened(rows: Sequence[_Row], room: int) -> list[_Row]:
    """Rows whose branch and name fit into `room` columns, or are as short as they may be."""
    fitted = []
    for row in rows:
        length = max(room - len(row.branch), _SHORTEST_NAME)
        fitted.append(replace(row, name=shortened(row.name, length)))
    return fitted
