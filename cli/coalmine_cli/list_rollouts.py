"""`list rollouts [-A] [-w]`: where all rollouts stand, a line for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from coalmine_cli.call import DONE, REFUSED, Call, Verbs, add_output, add_verb
from coalmine_cli.output import document
from coalmine_cli.terminal import Span, Troubles, clean

if TYPE_CHECKING:
    from coalmine.model.view import View
    from coalmine_cli.follow import Follower, Source
    from coalmine_cli.terminal import Line


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "rollouts",
        run,
        about="show all rollouts, a line for each",
        more="-o wide shows images and messages too, -o name only names. With -w it goes on until Ctrl-C, which is no "
        "failure (exit code 0): a terminal is redrawn, otherwise a line (with -o yaml a document) is written "
        "for each rollout that changed.",
        aliases=("ro", "rollout"),
    )
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    parser.add_argument("-w", "--watch", action="store_true", help="follow them")
    add_output(parser, "wide", "name")
    parser.set_defaults(interrupted=DONE)


class _Rollouts:
    """What is known of them."""

    def __init__(self, follower: Follower, deployments: Source, rollouts: Source) -> None:
        self.follower = follower
        self._deployments = deployments
        self._rollouts = rollouts

    def views(self) -> tuple[list[View], list[str]]:
        from coalmine_cli.overview import overview

        return overview(self._deployments.objects.values(), self._rollouts.objects.values())


async def run(call: Call) -> int:
    from coalmine.kube.resources import DEPLOYMENTS, ROLLOUTS
    from coalmine.model.names import ROLLOUT_SELECTOR
    from coalmine_cli.cluster import connected
    from coalmine_cli.follow import Follower, Source

    arguments = call.arguments
    async with connected(arguments) as cluster:
        namespace = None if arguments.all_namespaces else cluster.namespace
        follower = Follower(cluster.client, namespace, call.pause)
        deployments, rollouts = Source(DEPLOYMENTS, labels=ROLLOUT_SELECTOR), Source(ROLLOUTS)
        await follower.read(deployments, rollouts)
        seen = _Rollouts(follower, deployments, rollouts)
        if not arguments.watch:
            return _show_once(seen, call, namespace)
        async with follower.followed():
            if call.terminal.tty and arguments.output in ("text", "wide"):
                await _redraw(seen, call)
            else:
                await _write_changes(seen, call)
    return DONE


def _show_once(seen: _Rollouts, call: Call, namespace: str | None) -> int:
    from coalmine_cli.overview import fields

    views, troubles = seen.views()
    match call.arguments.output:
        case "json" | "yaml":
            document(call, {"items": [fields(one) for one in views]})
        case "name":
            for one in views:
                call.terminal.say(_name(one))
        case "text" if views:
            call.terminal.show(_table(views, call, call.terminal.width))
        case "wide" if views:
            call.terminal.show(_table(views, call, None))
    for trouble in troubles:
        call.terminal.warn(trouble)
    if not views and not troubles:
        where = "in any namespace" if namespace is None else f"in namespace {namespace}"
        look = "" if namespace is None else "; -A looks in all namespaces"
        call.terminal.warn(f"there are no rollouts {where}: annotate a Deployment with coalmine.dev/canary{look}")
    return REFUSED if troubles else DONE


def _name(one: View) -> str:
    return f"rollout.coalmine.dev/{one.name}"


def _table(views: Sequence[View], call: Call, width: int | None, least: Sequence[int] = ()) -> list[Line]:
    from coalmine_cli.fit import cut
    from coalmine_cli.overview import headings, row
    from coalmine_cli.table import lines

    shape = {"namespaces": call.arguments.all_namespaces, "wide": call.arguments.output == "wide"}
    rows = [row(one, **shape) for one in views]
    if not shape["wide"]:
        return lines(headings(**shape), rows, width, least)
    whole = lines(headings(**shape), rows, None, least)  # who asks for more columns gets all of them
    return whole if width is None else [cut(line, width) for line in whole]


async def _redraw(seen: _Rollouts, call: Call) -> None:
    with call.terminal.redrawn() as draw:
        while True:
            views, troubles = seen.views()
            shown = _table(views, call, call.terminal.width)
            for trouble in filter(None, (seen.follower.trouble, *troubles)):
                shown += [(), (Span(clean(trouble), "bad"),)]
            draw(shown)
            await seen.follower.change()


async def _write_changes(seen: _Rollouts, call: Call) -> None:
    """A line for each rollout, then one for each change; columns only ever grow."""
    from coalmine_cli.overview import Key, by_key, changes, headings, row
    from coalmine_cli.table import widths

    known: dict[Key, View] = {}
    told = Troubles(call.terminal)
    least: list[int] = []
    while True:
        views, troubles = seen.views()
        told.tell(seen.follower.trouble, *troubles)
        now = by_key(views)
        changed, gone = changes(known, now)
        if call.arguments.output in ("text", "wide") and changed:
            shape = {"namespaces": call.arguments.all_namespaces, "wide": call.arguments.output == "wide"}
            wider = widths(headings(**shape), [row(one, **shape) for one in changed])
            drawn = _table(changed, call, None, least)
            call.terminal.show(drawn if not least else drawn[1:])
            least = [max(pair) for pair in zip(wider, least or wider, strict=True)]
        else:
            _tell(changed, call)
        for one in gone:
            if call.arguments.output in ("json", "yaml"):
                document(call, {"name": one.name, "namespace": one.namespace, "deleted": True}, one_of_many=True)
            else:
                call.terminal.warn(f"the rollout {one.name} in namespace {one.namespace} is gone")
        known = now
        await seen.follower.change()


def _tell(changed: Sequence[View], call: Call) -> None:
    from coalmine_cli.overview import fields

    for one in changed:
        if call.arguments.output == "name":
            call.terminal.say(_name(one))
        else:
            document(call, fields(one), one_of_many=True)
