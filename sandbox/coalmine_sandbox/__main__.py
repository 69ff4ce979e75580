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
from coalmine_sandbox.binaries import BinariesError, find_or_build


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
    front = commands.add_parser("service-front", help="listen on the Services' addresses, as kube-proxy does")
    front.add_argument("--kubeconfig", required=True)
    front.add_argument("--hosts", type=Path, help="hosts file to write the Services' names to")
    commands.add_parser("binaries", help="find or build the control plane's programs; prints their directory")
    return parser


async def _node_agent(options: argparse.Namespace) -> None:
    from coalmine_sandbox.node.agent import NodeAgent, Options
    from coalmine_sandbox.node.images import Images

    host, _, port = options.api.rpartition(":")
    settings = Options(
        name=options.node_name,
        address=options.node_address,
        pods=options.pods,
        state=options.state,
        images=Images.load(options.images),
        api=(host, int(port)),
    )
    async with await Client.connect(options.kubeconfig) as client:
        await NodeAgent(client, settings, time.time).run()


async def _service_front(options: argparse.Namespace) -> None:
    from coalmine_sandbox.service_front import ServiceFront

    async with await Client.connect(options.kubeconfig) as client:
        await ServiceFront(client, options.hosts).run()


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
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
            print(find_or_build(cache, Path(assets) if assets else None, say=_say))
            return 0
        uvloop.run(_until_told(_node_agent if options.command == "node-agent" else _service_front, options))
    except (RemoteError, SpecError, BinariesError) as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        pass
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
