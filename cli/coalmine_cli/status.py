"""`status NAME`: wait until the rollout is Healthy or Degraded, as scripts need it."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, NamedTuple

from coalmine.model.durations import parse_go_duration
from coalmine.model.errors import SpecError
from coalmine.model.rollout import Phase
from coalmine_cli.call import DONE, REFUSED, Call, Verbs, add_name, add_output, add_verb
from coalmine_cli.output import document, is_text
from coalmine_cli.terminal import Troubles, clean

if TYPE_CHECKING:
    from coalmine.kube.resources import Object
    from coalmine_cli.picture import Picture


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "status",
        run,
        about="wait until a rollout is Healthy or Degraded",
        more="Exit code 0: Healthy. 1: Degraded, or the time is over. Without waiting: 1 only when Degraded.",
    )
    add_name(parser)
    watch = parser.add_mutually_exclusive_group()
    watch.add_argument("-w", "--watch", action="store_true", default=True, help="wait (the default)")
    watch.add_argument(
        "--no-watch", "-w=false", "--watch=false", dest="watch", action="store_false", help="tell it once, do not wait"
    )
    parser.add_argument(
        "-t", "--timeout", type=_timeout, metavar="DURATION", help="how long to wait, for example 10m; default: forever"
    )
    add_output(parser)


def _timeout(text: str) -> float | None:
    """Seconds; None for 0, which means forever, as in Argo."""
    try:
        return (parse_go_duration(text, "") if text != "0" else 0.0) or None
    except SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class Verdict(NamedTuple):
    """Phase and message as they may be told now."""

    phase: Phase
    message: str

    @property
    def exit_code(self) -> int | None:
        """None while it is worth waiting."""
        return {Phase.HEALTHY: DONE, Phase.DEGRADED: REFUSED}.get(self.phase)

    def __str__(self) -> str:
        return f"{self.phase} - {self.message}" if self.message else str(self.phase)


def verdict(deployment: Object, rollout: Object | None) -> Verdict:
    """What to tell of them. Raises SpecError when there will be no Rollout, as nobody asked for one."""
    from coalmine.model.rollout import Status
    from coalmine.model.view import standing
    from coalmine_cli.cluster import no_rollout, status_of, wants_rollout

    if rollout is None and not wants_rollout(deployment):
        raise no_rollout(deployment)
    return Verdict(*standing(deployment, rollout, status_of(rollout) if rollout else Status()))


async def run(call: Call) -> int:
    from coalmine_cli.cluster import connected
    from coalmine_cli.picture import Picture

    arguments = call.arguments
    async with connected(arguments) as cluster:
        picture = Picture(cluster, arguments.name, call.pause)
        await picture.read(whole=False)
        now = verdict(picture.deployment, picture.rollout)
        _tell(now, call, cluster.namespace)
        if not arguments.watch:
            return now.exit_code or DONE
        try:
            async with asyncio.timeout(arguments.timeout), picture.followed():
                return await _wait(picture, now, call, cluster.namespace)
        except TimeoutError:
            last = verdict(picture.deployment, picture.rollout)
            call.terminal.warn(
                f"{arguments.name} is still {last.phase} after {arguments.timeout:g} s ({last.message}): "
                f"look at `coalmine get rollout {arguments.name}`"
            )
            return REFUSED


async def _wait(picture: Picture, told: Verdict, call: Call, namespace: str) -> int:
    troubles = Troubles(call.terminal)
    while told.exit_code is None:
        await picture.change()
        troubles.tell(picture.trouble)
        now = verdict(picture.deployment, picture.rollout)
        if now != told:
            told = now
            _tell(told, call, namespace)
    return told.exit_code


def _tell(what: Verdict, call: Call, namespace: str) -> None:
    if is_text(call):
        call.terminal.say(clean(str(what)))
        return
    fields = {"name": call.arguments.name, "namespace": namespace, "phase": what.phase.value, "message": what.message}
    document(call, fields, one_of_many=call.arguments.watch)
