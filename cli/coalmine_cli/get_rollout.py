"""`get rollout NAME [-w]`: where the rollout stands, as a tree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coalmine_cli.call import DONE, Call, Verbs, add_name, add_output, add_verb
from coalmine_cli.output import document, is_text
from coalmine_cli.terminal import Line, Span, Troubles, clean

if TYPE_CHECKING:
    from coalmine.model.view import View
    from coalmine_cli.picture import Picture

#: A watched terminal is redrawn this often though nothing changed: ages go on.
_REDRAW_SECONDS = 1.0


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "rollout",
        run,
        about="show a rollout with its revisions, pods and analysis",
        more="With -w it goes on until Ctrl-C, which is no failure (exit code 0): a terminal is redrawn, the tree as "
        "far as it fits, otherwise a block (with -o json a line, with -o yaml a document) is written for each change.",
        aliases=("ro", "rollouts"),
    )
    add_name(parser)
    parser.add_argument("-w", "--watch", action="store_true", help="follow it")
    add_output(parser)
    parser.set_defaults(interrupted=DONE)


async def run(call: Call) -> int:
    from coalmine_cli.cluster import connected
    from coalmine_cli.picture import Picture

    arguments = call.arguments
    async with connected(arguments) as cluster:
        picture = Picture(cluster, arguments.name, call.pause)
        await picture.read(whole=True)
        if not arguments.watch:
            _show(picture.view(), call)
            return DONE
        async with picture.followed():
            if call.terminal.tty and is_text(call):
                await _redraw(picture, call)
            else:
                await _write_blocks(picture, call)
    return DONE


def _show(view: View, call: Call) -> None:
    from coalmine_cli.render import screen

    if not is_text(call):
        document(call, view.to_json(), one_of_many=call.arguments.watch)
    else:
        call.terminal.show(screen(view, call.clock(), call.terminal.width))


async def _redraw(picture: Picture, call: Call) -> None:
    from coalmine_cli.render import screen

    view, terminal = picture.view(), call.terminal
    with terminal.redrawn() as draw:
        while True:
            trouble: list[Line] = [(), (Span(clean(picture.trouble), "bad"),)] if picture.trouble else []
            rows = terminal.height and terminal.height - len(trouble)
            draw([*screen(view, call.clock(), terminal.width, rows), *trouble])
            try:
                async with asyncio.timeout(_REDRAW_SECONDS):
                    await picture.change()
            except TimeoutError:
                continue
            view = _latest(picture, view)


async def _write_blocks(picture: Picture, call: Call) -> None:
    shown, troubles = picture.view(), Troubles(call.terminal)
    _show(shown, call)
    while True:
        await picture.change()
        troubles.tell(picture.trouble)
        view = _latest(picture, shown)
        if view != shown:
            shown = view
            if is_text(call):
                call.terminal.say("")
            _show(shown, call)


def _latest(picture: Picture, last: View) -> View:
    """The current view. Raises SpecError when the Deployment is gone; a Rollout that was deleted
    is made again by the controller, so the last view stands meanwhile."""
    return picture.view() if picture.deployment and picture.rollout is not None else last
