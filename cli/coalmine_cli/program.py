"""The verbs: their arguments, and how their errors are told.

Rules: an error that a person can do something about is one sentence on stderr and exit code 1; wrong
usage is 2; a traceback means a bug of ours. A verb is one file, listed here.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from coalmine.model.errors import RemoteError, SpecError
from coalmine_cli import (
    abort,
    check,
    completion,
    get_rollout,
    lint,
    list_rollouts,
    pause,
    promote,
    restart,
    retry,
    set_image,
    status,
    undo,
    uninstall,
    version,
)
from coalmine_cli.call import DONE, INTERRUPTED, REFUSED, USAGE, Call, Run, Verbs, add_global_flags
from coalmine_cli.terminal import Terminal

_EPILOG = f"""\
components (each has its own --help):
  demo                the whole story on this machine, for a person to watch
  sandbox up|status|down
                      a small Kubernetes on this machine, to try things on
  webhook, controller, proxy
                      the processes of an installation

exit codes:
  {DONE}    done; status: Healthy; lint: nothing that would be refused;
       check: nothing failed; get -w, list -w: ended by Ctrl-C
  {REFUSED}    refused or failed, with the reason on stderr; status: Degraded, or the
       time is over; lint: something would be refused;
       check: something failed; uninstall: something is in its way
  {USAGE}    wrong usage
  {INTERRUPTED}  ended by Ctrl-C

environment:
  KUBECONFIG          the kubeconfig, or several, as kubectl reads it
  NO_COLOR            no colours when it is set and not empty
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """All verbs and their arguments."""
    top = argparse.ArgumentParser(
        prog=prog,
        description="Canary delivery for the Deployments that you already have.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_global_flags(top)
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    get_rollout.declare(_group(verbs, "get", "show a rollout: get rollout NAME"))
    list_rollouts.declare(_group(verbs, "list", "show all rollouts: list rollouts"))
    status.declare(verbs)
    set_image.declare(_group(verbs, "set", "ask for a new version: set image DEPLOYMENT CONTAINER=IMAGE"))
    for verb in (promote, pause, abort, retry, undo, restart, lint, check, uninstall, completion, version):
        verb.declare(verbs)
    return top


def _group(verbs: Verbs, name: str, about: str) -> Verbs:
    group = verbs.add_parser(name, help=about)
    add_global_flags(group)
    return group.add_subparsers(metavar="WHAT", required=True)


def run(
    argv: Sequence[str],
    terminal: Terminal,
    *,
    prog: str,
    clock: Callable[[], float],
    pause: Callable[[float], Awaitable[None]],
) -> int:
    """Run one verb to its end; returns the exit code."""
    try:
        arguments = parser(prog).parse_args(translated(argv))
    except SystemExit as ended:  # argparse has told why
        return int(ended.code or DONE)
    if getattr(arguments, "no_color", False):
        terminal = replace(terminal, colour=False)
    try:
        return asyncio.run(perform(Call(arguments, terminal, clock, pause)))
    except KeyboardInterrupt:
        return int(getattr(arguments, "interrupted", INTERRUPTED))


def translated(argv: Sequence[str]) -> list[str]:
    """`retry rollout NAME`, as users of Argo Rollouts write it, is `retry NAME` here."""
    words = list(argv)
    for at in range(len(words) - 2):
        if words[at] == "retry" and words[at + 1] in ("rollout", "ro") and not words[at + 2].startswith("-"):
            return [*words[: at + 1], *words[at + 2 :]]
    return words


async def perform(call: Call) -> int:
    """Run the verb that the arguments name; what a person can mend is told and becomes an exit code."""
    verb: Run = call.arguments.run
    try:
        return await verb(call)
    except (SpecError, RemoteError) as error:
        from coalmine_cli.cluster import sentence

        call.terminal.warn(sentence(error))
        return REFUSED
