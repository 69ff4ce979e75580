"""``python docs/record OUT.svg -- COMMAND...``: an animated picture of a program in a terminal, for the README.

Needs pyte, which the development dependencies bring. With ``--cast FILE`` an asciicast that was recorded
before is drawn instead; ``--save FILE`` keeps the one that is recorded now.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cast import Cast, from_json, run, shortened, to_json
from film import Shot, film
from svg import animated, still

#: GitHub shows larger pictures late or not at all.
_MOST_BYTES = 600_000


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="record",
        usage="python docs/record OUT.svg [OPTION...] -- COMMAND...",
        description="Record a program in a terminal as an animated SVG.",
    )
    parser.add_argument("out", type=Path, metavar="OUT.svg")
    parser.add_argument("--still", type=Path, metavar="OUT.svg", help="also one screen, that of --still-when")
    parser.add_argument(
        "--still-when", default="", metavar="TEXT", help="the still picture shows this; default: the end"
    )
    parser.add_argument("--size", default="112x34", metavar="COLUMNSxROWS")
    parser.add_argument("--title", default="", help="in the window's frame; default: the command")
    parser.add_argument("--rate", type=float, default=3, help="screens a second")
    parser.add_argument("--speed", type=float, default=1.25, help="times as fast as it was")
    parser.add_argument("--longest-wait", type=float, default=1.0, metavar="SECONDS", help="waits are cut to this")
    parser.add_argument("--hold", type=float, default=6.0, metavar="SECONDS", help="the last screen stays")
    parser.add_argument("--cast", type=Path, metavar="FILE", help="draw this asciicast")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the asciicast")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:end])
    command = sys.argv[end + 1 :]
    if arguments.cast:
        cast = from_json(arguments.cast.read_text())
    else:
        if not command:
            parser.error("say after -- what to record")
        columns, _, rows = arguments.size.partition("x")
        cast, status = run(command, int(columns), int(rows))
        if arguments.save:
            arguments.save.write_text(to_json(cast))
        if status:
            print(f"record: the program exited with {status}; it wrote:\n{_written(cast)}", file=sys.stderr)
            return 1
    cast = shortened(cast, arguments.longest_wait, arguments.speed)
    shots = film(cast, arguments.rate)
    title = arguments.title or " ".join(command)
    chosen = _showing(shots, arguments.still_when)
    text = animated(shots, cast.seconds + arguments.hold, chosen, title)
    arguments.out.write_text(text)
    if arguments.still:
        arguments.still.write_text(still(shots[chosen].screen, title))
    size = len(text.encode())
    print(f"{arguments.out}: {len(shots)} screens, {cast.seconds + arguments.hold:.0f} s, {size / 1000:.0f} kB")
    if size > _MOST_BYTES:
        print(f"record: more than {_MOST_BYTES / 1000:.0f} kB; record less: --rate, --speed, --size", file=sys.stderr)
        return 1
    return 0


def _showing(shots: list[Shot], text: str) -> int:
    """The middle one of the screens that show `text`; the last of all when none does."""
    found = [n for n, shot in enumerate(shots) if text and any(text in run.text for row in shot.screen for run in row)]
    return found[len(found) // 2] if found else len(shots) - 1


def _written(cast: Cast) -> str:
    return "".join(text for _, text in cast.events)[-2000:]


if __name__ == "__main__":
    sys.exit(main())
