"""`sandbox up|status|down`: a small Kubernetes on this machine, to try things on.

Exit codes as everywhere: 0 done (for `status`: it is up and whole), 1 not, 2 usage, 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coalmine_cli.call import DONE, INTERRUPTED, REFUSED

if TYPE_CHECKING:
    from coalmine_cli.sandbox_screen import Deployment
    from coalmine_sandbox.standing import Standing

#: What the API server of this machine may take to tell of the Deployments, in seconds.
_PATIENCE: Final = 5.0
_IMAGES: Final = """\
The sandbox cannot run container images: a file maps patterns of their names to commands on this machine.

  images:
  - name: "example/app:*"                # the first pattern that matches holds
    command: ["{folder}/app", "--listen", "{pod.ip}:8080", "--version", "{image.tag}"]
    env: {GREETING: hello}               # besides what the pod's spec says
    executables: [bin]                   # folders that come first in PATH

{folder} is the file's own, {python} a Python interpreter. A pod has an address of its own ({pod.ip}): listen there, not
on 0.0.0.0. python:* and particule/simplecolorapi:* are known already.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one of the three; the exit code."""
    arguments = _parser().parse_args(argv)
    from coalmine_sandbox.keep import KeepError

    try:
        return int(arguments.run(arguments, environ))
    except (KeepError, OSError) as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("coalmine sandbox: ended by Ctrl-C; `coalmine sandbox status` tells what is there", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coalmine sandbox",
        description="A small Kubernetes on this machine, with Coalmine installed: no cluster, no root, no container "
        "engine. It has one node, which runs pods as processes on loopback addresses.",
    )
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="where it keeps everything, for a second sandbox beside the first: a directory that is empty or does not "
        "exist; it goes away with the sandbox",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    up = verbs.add_parser(
        "up",
        parents=[place],
        help="start it, and say how to use it",
        epilog=_IMAGES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    up.add_argument(
        "--images", action="append", default=[], type=Path, metavar="FILE", help="see below; may be repeated"
    )
    up.add_argument("--empty", action="store_true", help="without the example application")
    up.set_defaults(run=_up)
    status = verbs.add_parser("status", parents=[place], help="what runs, and where")
    status.add_argument("-o", "--output", choices=("text", "json"), default="text", help="default: text")
    status.set_defaults(run=_status)
    verbs.add_parser("down", parents=[place], help="end it; nothing is left").set_defaults(run=_down)
    return parser


def _up(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from coalmine.model.errors import SpecError
    from coalmine_sandbox import standing
    from coalmine_sandbox.node.images import Images

    state = standing.directory(arguments.state)
    if (found := standing.Standing.read(state)) is not None:
        if arguments.images or arguments.empty:
            return _refuse(
                "a sandbox is up already, and keeps what it was started with: end it with "
                f"`{_command('down', arguments)}`, or start another one with --state DIR"
            )
        print("A sandbox is up already.\n")
        return _tell(found, arguments, environ)
    try:
        Images.load(arguments.images)
    except SpecError as error:
        return _refuse(str(error))
    print("starting the sandbox ...", file=sys.stderr, flush=True)
    status = standing.up(state, arguments.images, example=not arguments.empty)
    found = standing.Standing.read(state)
    if status or found is None:
        return _refuse("the sandbox did not come up; nothing is left of it")
    return _tell(found, arguments, environ)


def _status(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from coalmine_sandbox import standing

    state = standing.directory(arguments.state)
    found = standing.Standing.read(state)
    if found is not None:
        return _tell(found, arguments, environ)
    if arguments.output == "json":
        print('{"up": false}')
    elif standing.starting(state):
        print("The sandbox is starting: ask again in a moment.")
    else:
        print(f"No sandbox is up: `{_command('up', arguments)}` starts one.")
    return REFUSED


def _down(arguments: argparse.Namespace, _: Mapping[str, str]) -> int:
    from coalmine_sandbox import keep, standing

    if keep.end(standing.directory(arguments.state)):
        print("The sandbox is gone.")
    else:
        print("There was no sandbox.")
    return DONE


def _tell(found: Standing, arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Show it; REFUSED when a part of it does not run."""
    import asyncio
    import json

    from coalmine_cli import sandbox_screen
    from coalmine_sandbox.connect import places
    from coalmine_sandbox.daemon import resident

    shown = sandbox_screen.Sandbox(
        standing=found,
        memory={one.name: resident(one.pid) for one in found.components},
        services=tuple(places(Path(found.connect_to))),
        deployments=asyncio.run(_deployments(found.kubeconfig)),
    )
    if getattr(arguments, "output", "text") == "json":
        print(json.dumps(sandbox_screen.document(shown), indent=2))
    else:
        path = environ.get("PATH")
        ours = Path(sys.executable).with_name("coalmine")
        on_path = shutil.which("coalmine", path=path)
        means = sandbox_screen.Means(
            folder=None if on_path and ours.exists() and ours.samefile(on_path) else str(ours.parent),
            kubectl=shutil.which("kubectl", path=path) is not None,
            down=_command("down", arguments),
        )
        print("\n".join(sandbox_screen.lines(shown, means, time.time())))
    return DONE if shown.whole else REFUSED


async def _deployments(kubeconfig: str) -> tuple[Deployment, ...] | None:
    """Those of all namespaces; None while the API server does not tell."""
    import asyncio

    from coalmine.kube.client import Client
    from coalmine.kube.resources import DEPLOYMENTS
    from coalmine.model.errors import RemoteError
    from coalmine_cli.sandbox_screen import Deployment

    try:
        async with asyncio.timeout(_PATIENCE), await Client.connect(kubeconfig) as client:
            found, _ = await client.list(DEPLOYMENTS)
    except (RemoteError, TimeoutError):
        return None
    return tuple(Deployment.of(obj) for obj in found)


def _command(verb: str, arguments: argparse.Namespace) -> str:
    """This verb of ours for the same sandbox."""
    where = "" if arguments.state is None else f" --state {shlex.quote(str(arguments.state))}"
    return f"coalmine sandbox {verb}{where}"


def _refuse(sentence: str) -> int:
    print(f"coalmine sandbox: {sentence}", file=sys.stderr)
    return REFUSED
