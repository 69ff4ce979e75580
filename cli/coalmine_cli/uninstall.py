"""`uninstall [--finish | --abort]`: take Coalmine off a cluster, and leave every Deployment running natively."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from coalmine_cli.call import DONE, REFUSED, Call, Verbs, add_output, add_verb
from coalmine_cli.output import document, is_text
from coalmine_cli.terminal import clean

if TYPE_CHECKING:
    from coalmine_cli.cluster import Cluster
    from coalmine_cli.uninstalling.plan import Wanted

#: Ten minutes are enough for some dozens of rolling updates; who has more says so.
_PATIENCE = 600.0


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "uninstall",
        run,
        about="take Coalmine off the cluster, and leave every Deployment running natively",
        more="Without --yes it only says what it would do. It refuses while rollouts are open, unless it is told how "
        "they end. Then the webhook configuration goes, each Deployment is let go of by a native rolling update that "
        "takes its sidecars off, one at a time, and the installation is deleted. It can be interrupted and run again.",
    )
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--finish", action="store_true", help="promote open rollouts in full first, and wait for them")
    ends.add_argument("--abort", action="store_true", help="take open rollouts back to their stable templates first")
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done, and do nothing (exit code 0, or 1 where it would be refused)",
    )
    parser.add_argument(
        "--keep-sidecars",
        action="store_true",
        help="leave pods and pod templates as they are: the sidecars serve locally until each Deployment's next update",
    )
    parser.add_argument(
        "--keep-annotations",
        action="store_true",
        help="leave the annotations that people wrote on Deployments; without a webhook they do nothing",
    )
    parser.add_argument("--keep-crds", action="store_true", help="leave the kinds, and the analysis templates")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_PATIENCE,
        metavar="DURATION",
        help="for all of it, for example 30m; default: 10m",
    )
    add_output(parser)


def _seconds(text: str) -> float:
    from coalmine.model.durations import parse_pause
    from coalmine.model.errors import SpecError

    try:
        return parse_pause(text, "")
    except SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def run(call: Call) -> int:
    from coalmine_cli.cluster import connected
    from coalmine_cli.uninstalling.plan import Wanted

    given = call.arguments
    wanted = Wanted(
        finish=given.finish,
        abort=given.abort,
        keep_sidecars=given.keep_sidecars,
        keep_annotations=given.keep_annotations,
        keep_crds=given.keep_crds,
    )
    async with connected(given) as cluster:
        if given.dry_run or not given.yes:
            return await _say(call, cluster, wanted)
        await _do(call, cluster, wanted)
    return DONE


async def _say(call: Call, cluster: Cluster, wanted: Wanted) -> int:
    from coalmine_cli.uninstalling.inventory import take
    from coalmine_cli.uninstalling.plan import refuse, sentences

    there = await take(cluster.client, call.clock())
    steps = list(sentences(there, wanted))
    if is_text(call):
        call.terminal.say("\n".join(map(clean, steps)) if steps else "there is nothing of Coalmine in this cluster")
    else:
        document(call, {"steps": steps})
    refuse(there, wanted)
    if call.arguments.dry_run or not steps:
        return DONE
    call.terminal.warn("nothing was changed: write --yes to do this")
    return REFUSED


async def _do(call: Call, cluster: Cluster, wanted: Wanted) -> None:
    from coalmine_cli.uninstalling.inventory import take
    from coalmine_cli.uninstalling.letting_go import LettingGo
    from coalmine_cli.uninstalling.pace import Pace
    from coalmine_cli.uninstalling.plan import key, ours, refuse, still_open
    from coalmine_cli.uninstalling.removal import Removal
    from coalmine_cli.uninstalling.rollouts import Closing

    client, pace = cluster.client, Pace(call.clock, call.pause, call.clock() + call.arguments.timeout)

    def tell(sentence: str) -> None:
        if is_text(call):
            call.terminal.say(clean(sentence))
        else:
            document(call, {"message": sentence}, one_of_many=True)

    there = await take(client, call.clock())
    refuse(there, wanted)
    led = bool(there.leader)
    if there.registration is not None:
        closing = Closing(client, pace, tell, led=led)
        await closing.close(still_open(there), finish=wanted.finish)
    removal = Removal(client, pace, tell)
    await removal.registration()
    letting_go = LettingGo(client, pace, tell, wanted)
    for deployment in ours(await take(client, call.clock()), wanted):
        await letting_go.let_go(*key(deployment))
    await removal.leftovers(led=led, keep_annotations=wanted.keep_annotations)
    await removal.histories()
    await removal.components()
    if there.leader and not there.components:
        tell(f"the controller {there.leader} runs outside of the cluster: stop it, and the webhook")
    await removal.everything_else(there, keep_crds=wanted.keep_crds)
    tell("Coalmine is gone; every Deployment runs natively")
