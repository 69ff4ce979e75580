"""`get rollout NAME [-w]`: where the rollout stands, as a tree."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coalmine_cli.call import DONE, Call, Verbs, add_name, add_output, add_verb
from coalmine_cli.output import document, is_text

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
        more="With -w it goes on until Ctrl-C, which is no failure (exit code 0): a terminal is redrawn, "
        "otherwise a block (with -o json a line, with -o yaml a document) is written for each change.",
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
    from coalmine_cli.terminal import Span

    view = picture.view()
    with call.terminal.redrawn() as draw:
        while True:
            lines = screen(view, call.clock(), call.terminal.width)
            if picture.trouble:
                lines += [(), (Span(picture.trouble, "bad"),)]
            draw(lines)
            try:
                async with asyncio.timeout(_REDRAW_SECONDS):
                    await picture.changed.wait()
            except TimeoutError:
                continue
            picture.changed.clear()
            view = _latest(picture, view)


async def _write_blocks(picture: Picture, call: Call) -> None:
    shown, trouble = picture.view(), ""
    _show(shown, call)
    while True:
        await picture.changed.wait()
        picture.changed.clear()
        if picture.trouble != trouble:
            trouble = picture.trouble
            if trouble:
                call.terminal.warn(trouble)
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
