"""`sandbox up|status|down`: a small Kubernetes on this machine, to try things on.

Exit codes as everywhere: 0 done (for `status`: it is up and whole), 1 not, 2 usage.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from coalmine_cli.call import DONE, REFUSED

if TYPE_CHECKING:
    from coalmine_sandbox.standing import Standing

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
        print(f"coalmine sandbox: {error}", file=sys.stderr)
        return REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coalmine sandbox",
        description="A small Kubernetes on this machine, with Coalmine installed: no cluster, no root, no container "
        "engine. It has one node, which runs pods as processes on loopback addresses.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    up = verbs.add_parser(
        "up",
        help="start it, and say how to use it",
        epilog=_IMAGES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    up.add_argument(
        "--images", action="append", default=[], type=Path, metavar="FILE", help="see below; may be repeated"
    )
    up.add_argument("--empty", action="store_true", help="without the example application")
    up.set_defaults(run=_up)
    verbs.add_parser("status", help="what runs, and where").set_defaults(run=_status)
    verbs.add_parser("down", help="end it; nothing is left").set_defaults(run=_down)
    return parser


def _up(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from coalmine.model.errors import SpecError
    from coalmine_sandbox import standing
    from coalmine_sandbox.node.images import Images
    from coalmine_sandbox.plane.small import find_kubectl

    state = standing.directory()
    if standing.Standing.read(state) is not None:
        print("A sandbox is up already.\n")
        return _tell(state, environ)
    try:
        Images.load(arguments.images)
    except SpecError as error:
        print(f"coalmine sandbox: {error}", file=sys.stderr)
        return REFUSED
    print("starting the sandbox ...", file=sys.stderr, flush=True)
    kubectl = find_kubectl(environ)
    status = standing.up(state, arguments.images, example=not arguments.empty, kubectl=kubectl)
    return status or _tell(state, environ)


def _status(_: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from coalmine_sandbox import standing

    return _tell(standing.directory(), environ)


def _down(_: argparse.Namespace, __: Mapping[str, str]) -> int:
    from coalmine_sandbox import keep, standing

    if keep.end(standing.directory()):
        print("The sandbox is gone.")
    else:
        print("There was no sandbox.")
    return DONE


def _tell(state: Path, environ: Mapping[str, str]) -> int:
    from coalmine_sandbox.standing import Standing

    found = Standing.read(state)
    if found is None:
        print("No sandbox is up: `coalmine sandbox up` starts one.")
        return REFUSED
    print("\n".join(_lines(found, environ)))
    return DONE


def _lines(found: Standing, environ: Mapping[str, str]) -> list[str]:
    from coalmine_sandbox.connect import places
    from coalmine_sandbox.daemon import resident
    from coalmine_sandbox.plane.small import find_kubectl

    services = places(Path(found.connect_to))
    lines = [f"The sandbox is up, since {_ago(time.time() - found.since)}.", "", "Processes:"]
    for one in found.components:
        restarts = f"  started again {one.restarts} times" if one.restarts else ""
        lines.append(f"  {one.name:<15} {resident(one.pid) >> 20:>4} MB  {one.log}{restarts}")
    lines += ["", "Services:"]
    lines += [f"  {name + '.' + namespace:<24} port {port:<6} at {address}:{actual}"
              for name, namespace, port, address, actual in services]  # fmt: skip
    example = next((s for s in services if s[:2] == ("colorapi", "default")), None)
    lines += ["", "To use it:", f"  export KUBECONFIG={found.kubeconfig}"]
    program = "kubectl" if find_kubectl(environ) else "coalmine"
    if example is None:
        lines += [f"  {'kubectl get pods' if program == 'kubectl' else 'coalmine list rollouts'}"]
    else:
        url = f"http://{example[3]}:{example[4]}/"
        what = "deployment/colorapi" if program == "kubectl" else "colorapi"
        image = "colorapi=particule/simplecolorapi"
        lines += [
            "",
            "Three things to try:",
            f"  {program} set image {what} {image}:2.0     # a good release; 3.0 is a bad one",
            "  coalmine get rollout colorapi -w           # watch it come up",
            f"  while sleep 0.1; do curl -s {url}; echo; done     # what its users get meanwhile",
        ]
    return [*lines, "", "`coalmine sandbox down` ends it; nothing is left."]


def _ago(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
