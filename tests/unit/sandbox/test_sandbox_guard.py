"""A killed node agent takes every process of its pods along, those that left their container's group too."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine_sandbox.keep import family
from coalmine_sandbox.node.process import execute, start

#: As an agent: starts a container whose process has a child of its own in another session.
AGENT = """
import signal, sys
from pathlib import Path
from coalmine_sandbox.node.guard import guarding
from coalmine_sandbox.node.process import start

pods = Path(sys.argv[1])
PROGRAM = "import subprocess, time; subprocess.Popen(['sleep', '3600'], start_new_session=True); time.sleep(3600)"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with guarding(pods):
    if len(sys.argv) == 2:
        start([sys.executable, "-c", PROGRAM], {"PATH": "/usr/bin:/bin"}, pods / "p" / "c" / "0.log")
    print("up", flush=True)
    signal.pause()
"""


class Agent:
    """A running agent."""

    def __init__(self, pods: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", AGENT, str(pods), *arguments], stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n"

    def guard(self) -> int:
        (found,) = [p for p in family.descendants(self.process.pid) if b"guard" in _command(p)]
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "pods"
    family.end_marked(tmp_path / "pods")


def both(pods: Path) -> list[int]:
    """The container's process and its child, once they are there."""
    while len(found := family.marked(pods)) != 2 or not any(b"sleep\0" in _command(p) for p in found):
        time.sleep(0.01)
    return found


def ended(pids: list[int]) -> None:
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([descriptor], [], [])
        os.close(descriptor)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_agent(pods: Path, number: signal.Signals) -> None:
    agent = Agent(pods)
    pids = both(pods)
    guard = agent.guard()
    agent.process.send_signal(number)
    ended([*pids, guard])
    agent.close()


def test_next_agent_ends_what_agent_and_guard_have_left(pods: Path) -> None:
    first = Agent(pods)
    pids = both(pods)
    os.kill(first.guard(), signal.SIGKILL)
    first.close()
    assert family.marked(pods), "the child of a container's process"
    second = Agent(pods, "without pods")
    ended(pids)
    assert family.marked(pods) == []
    second.close()


def test_process_whose_agent_is_gone_does_not_start(tmp_path: Path) -> None:
    program = """
import json, os, subprocess, sys
from coalmine_sandbox.node import launcher, process
spec = {"command": ["touch", sys.argv[1]], "mounts": [], "parent": 1}
argv = [sys.executable, "-I", "-S", "-c", launcher.PROGRAM, process._SOURCES, json.dumps(spec)]
sys.exit(subprocess.run(argv).returncode)
"""
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], check=False)
    assert ran.returncode == 128
    assert not (tmp_path / "file").exists()


def test_command_beside_a_container_without_mounts_needs_no_rights(tmp_path: Path) -> None:
    async def story() -> int:
        container = start(["sleep", "3600"], {"PATH": os.defpath}, tmp_path / "0.log")
        beside = execute(["sh", "-c", "exit 3"], {"PATH": os.defpath}, container, "/")
        code = await beside.wait()
        container.kill()
        await container.wait()
        return code

    assert asyncio.run(story()) == 3
