"""Where lines are shown: a terminal that can be redrawn, or a stream that is read by a program.

Rules: a line is plain text in spans, each with the name of a style; without colours the text is the
same. A terminal gets lines that fit its width (`width`); a stream gets them whole. Cluster objects, and what an
API server answers, are written by others: what is no printable character (an escape sequence in an image or a
reason) is shown as a question mark and never reaches the terminal (`clean`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    style: str = ""


Line = tuple[Span, ...]


class OutputError(Exception):
    """What is shown cannot be written; the text says why."""


_STYLES: Final = {
    "label": "bold",
    "good": "green",
    "bad": "red",
    "waiting": "cyan",
    "paused": "yellow",
    "idle": "bright_black",
    "warning": "yellow",
    "unknown": "yellow",
    "stable": "green",
    "canary": "yellow",
}
#: A terminal that says it is narrower than this does not know its width (0, in some CI systems).
_NARROWEST: Final = 20


def clean(text: str) -> str:
    """`text` without what a terminal would act on."""
    return "".join(c if c.isprintable() else "?" for c in text)


def plain(lines: Sequence[Line]) -> str:
    """The text of `lines`, without spaces at the ends."""
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


@dataclass(frozen=True, slots=True)
class Terminal:
    """The streams, and what is known of the one that shows; `stdin` is what a verb may be fed from."""

    out: TextIO
    err: TextIO
    tty: bool
    colour: bool
    columns: Callable[[], int]
    rows: Callable[[], int] = lambda: 0
    stdin: TextIO | None = None

    @property
    def width(self) -> int | None:
        """Columns to fit into; None where nothing limits them."""
        columns = self.columns() if self.tty else 0
        return columns if columns >= _NARROWEST else None

    @property
    def height(self) -> int | None:
        """Lines that can be seen at once; None where nothing limits them."""
        return None if self.width is None else self.rows() or None

    def say(self, text: str) -> None:
        """One line or block of plain text, at once: a program may be waiting for it.

        Raises BrokenPipeError when the reader went away, OutputError.
        """
        try:
            print(text, file=self.out, flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"standard output cannot be written: {error.strerror}") from error

    def warn(self, text: str) -> None:
        """A sentence beside what is shown."""
        print(f"coalmine: {clean(text)}", file=self.err, flush=True)

    def show(self, lines: Sequence[Line]) -> None:
        """Show `lines`, in colours where there are any."""
        if not self.colour:
            self.say(plain(lines))
            return
        self._console().print(_text(lines), soft_wrap=True)
        self.out.flush()

    @contextlib.contextmanager
    def redrawn(self) -> Iterator[Callable[[Sequence[Line]], None]]:
        """A place on the terminal whose lines are replaced by each call; the last ones stay."""
        from rich.live import Live  # a tenth of a second: only for who watches

        with Live(console=self._console(), auto_refresh=False, vertical_overflow="ellipsis") as live:
            yield lambda lines: live.update(_text(lines), refresh=True)

    def _console(self) -> Console:
        from rich.console import Console

        return Console(
            file=self.out,
            force_terminal=self.tty,
            no_color=not self.colour,
            width=self.width,
            highlight=False,
            markup=False,
            emoji=False,
        )


class Troubles:
    """What is wrong while something is followed: each trouble is told once, until it is gone."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._told: frozenset[str] = frozenset()

    def tell(self, *troubles: str) -> None:
        """Those there are now; "" is none."""
        for trouble in dict.fromkeys(troubles):
            if trouble and trouble not in self._told:
                self._terminal.warn(trouble)
        self._told = frozenset(troubles)


def _text(lines: Sequence[Line]) -> Text:
    from rich.text import Text

    whole = Text(no_wrap=True, overflow="crop", end="")
    for number, line in enumerate(lines):
        if number:
            whole.append("\n")
        for span in line:
            whole.append(span.text, _STYLES.get(span.style, ""))
    whole.rstrip()
    return whole
