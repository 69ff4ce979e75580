"""`coalmine demo`: the article's story on a control plane of its own, told as it happens.

The sandbox tells it (`coalmine_sandbox.demo`), the stage shows it (`coalmine_cli.stage`): live in a
terminal, as lines anywhere else. With ``--json`` only the summary goes to standard output, as one
document; the story goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_OPENING: Final = "A small Kubernetes starts on this machine, then our webhook and controller."
_OPENING_REAL: Final = "Kubernetes' own API server, controllers and scheduler start, then our webhook and controller."


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Tell the story; exit status 0 only if every promise was kept."""
    parser = argparse.ArgumentParser(prog="coalmine demo", description="Watch an annotated Deployment go through "
                                     "a good release, a bad one, and back, on a Kubernetes of its own.")  # fmt: skip
    parser.add_argument(
        "--control-plane",
        metavar="DIR",
        type=Path,
        help="tell it on Kubernetes' own control plane instead of the sandbox's: folder with etcd, kube-apiserver, "
        "kube-controller-manager, kube-scheduler and kubectl; needs root",
    )
    parser.add_argument("--pace", type=_seconds, default=5.0, metavar="SECONDS", help="length of a pause (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    parser.add_argument("--no-color", action="store_true", help="letters instead of colours")
    arguments = parser.parse_args(argv)
    binaries: Path | None = arguments.control_plane
    if binaries is not None and not (binaries / "kube-apiserver").exists():
        parser.error(
            f"there is no kube-apiserver in {binaries}; `python -m coalmine_sandbox binaries` "
            "finds or builds the programs and prints their folder"
        )
    from coalmine_sandbox import demo
    from coalmine_sandbox.isolate import IsolationError
    from coalmine_sandbox.keep import KeepError

    try:
        status = demo.inside([sys.executable, "-m", "coalmine_cli", "demo", *argv], binaries)
    except (IsolationError, KeepError) as error:
        print(f"coalmine demo: {error}", file=sys.stderr)
        return 1
    if status is not None:
        return status
    from coalmine_cli.stage.choose import stage  # only now: the process outside needs none of it
    from coalmine_sandbox.plane.small import find_kubectl

    out = sys.stderr if arguments.json else sys.stdout
    told = stage(out, environ, colour=not arguments.no_color)
    told.opening(_OPENING if binaries is None else _OPENING_REAL)
    plane = demo.plane(binaries and binaries.resolve(), find_kubectl(environ))
    return demo.perform(plane, arguments.pace, arguments.json, told)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 600:
        raise argparse.ArgumentTypeError("write seconds from 1 to 600")
    return seconds
