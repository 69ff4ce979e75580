"""``python -m coalmine_sandbox``: the parts of the sandbox that are processes of their own."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from coalmine.kube.client import Client
from coalmine.model.errors import RemoteError, SpecError
from coalmine_sandbox.binaries import BinariesError, cache_of, find_or_build
from coalmine_sandbox.daemon import DaemonError
from coalmine_sandbox.ground import GroundError


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m coalmine_sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    agent = commands.add_parser("node-agent", help="join a control plane as a node that runs pods as processes")
    agent.add_argument("--kubeconfig", required=True)
    agent.add_argument("--node-name", required=True)
    agent.add_argument("--node-address", required=True, help="the node's own address, added to the loopback device")
    agent.add_argument("--pods", required=True, help="range of pod addresses, for example 10.244.0.0/16")
    agent.add_argument("--images", action="append", default=[], type=Path, help="images file; may be repeated")
    agent.add_argument("--state", required=True, type=Path, help="directory for volumes and logs")
    agent.add_argument("--api", required=True, help="host:port that pods are told as the API server's")
    agent.add_argument("--connect-to", type=Path, help="file of the service front that says where --api really is")
    agent.add_argument(
        "--mounts",
        choices=("namespace", "rewrite"),
        default="namespace",
        help="volumes at their mountPath in a mount namespace (root), or paths changed in the pods' specs",
    )
    front = commands.add_parser("service-front", help="listen on the Services' addresses, as kube-proxy does")
    front.add_argument("--kubeconfig", required=True)
    front.add_argument("--hosts", type=Path, help="hosts file to write the Services' names to")
    front.add_argument("--connect-to", type=Path, help="file to write where each Service's port is; lets ports move")
    plane = commands.add_parser("control-plane", help="the sandbox's API server and native controllers")
    plane.add_argument("--address", required=True, help="address to listen on, for example 127.30.0.1")
    plane.add_argument("--port", required=True, type=int)
    plane.add_argument("--pki", required=True, type=Path, help="directory with ca.crt, apiserver.crt and .key, sa.key")
    plane.add_argument("--services", required=True, help="range of Services' addresses, for example 127.31.0.0/16")
    plane.add_argument("--state", required=True, type=Path, help="directory that keeps everything across a restart")
    stand = commands.add_parser("stand", help="a sandbox that stands until it is told to go (under a keeper)")
    stand.add_argument("--images", action="append", default=[], type=Path, help="images file; may be repeated")
    stand.add_argument("--empty", action="store_true", help="without the example application")
    commands.add_parser("binaries", help="find or build the control plane's programs; prints their directory")
    return parser


async def _node_agent(options: argparse.Namespace) -> None:
    from coalmine_sandbox import kubeconfig
    from coalmine_sandbox.connect import Names
    from coalmine_sandbox.node.agent import NodeAgent, Options
    from coalmine_sandbox.node.images import Images

    host, _, port = options.api.rpartition(":")
    settings = Options(
        name=options.node_name,
        address=options.node_address,
        pods=options.pods,
        state=options.state.absolute(),
        images=Images.load(options.images),
        api=(host, int(port)),
        names=Names(options.connect_to),
        authority=kubeconfig.authority(Path(options.kubeconfig)),
        rewrite=options.mounts == "rewrite",
    )
    async with await Client.connect(options.kubeconfig) as client:
        await NodeAgent(client, settings, time.time).run()


async def _service_front(options: argparse.Namespace) -> None:
    from coalmine_sandbox.service_front import ServiceFront

    async with await Client.connect(options.kubeconfig) as client:
        await ServiceFront(client, options.hosts, options.connect_to).run()


async def _control_plane(options: argparse.Namespace) -> None:
    from coalmine_sandbox.api import process

    await process.run(
        process.Options(options.address, options.port, options.pki, options.services, options.state.absolute())
    )


async def _stand(options: argparse.Namespace) -> None:
    from coalmine_sandbox.lab import LabError
    from coalmine_sandbox.standing import stand

    try:
        await stand(options.images, example=not options.empty)
    except LabError as error:  # the lab is not imported by the other processes, which are small
        raise DaemonError(str(error)) from error


async def _until_told(work: Callable[[argparse.Namespace], Awaitable[None]], options: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT, then cancel."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await work(options)


def main() -> int:
    options = _arguments().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if options.command == "binaries":
            assets = os.environ.get("KUBEBUILDER_ASSETS")
            print(find_or_build(cache_of(os.environ), Path(assets) if assets else None, say=_say))
            return 0
        work = {
            "node-agent": _node_agent,
            "service-front": _service_front,
            "control-plane": _control_plane,
            "stand": _stand,
        }
        uvloop.run(_until_told(work[options.command], options))
    except (RemoteError, SpecError, BinariesError, DaemonError, GroundError) as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        pass
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
