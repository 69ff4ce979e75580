"""On what was measured, and with which versions."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.processes import BenchError, program


def facts(rounds: int, seconds: float) -> dict[str, str]:
    """For the head of the results."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": importlib.metadata.version("uvloop"),
        "nginx": version([_found("nginx"), "-v"]),
        "haproxy": version([_found("haproxy"), "-v"]),
        "wrk": version([_found("wrk"), "-v"]),
        "coalmine": _commit(),
        "rounds": f"{rounds} of {seconds:g} s",
    }


def version(command: Sequence[str]) -> str:
    """The first number with two dots that a program prints about itself; ``-`` when it is not there."""
    if not command[0]:
        return "-"
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return found[0] if found else "-"


def _found(name: str) -> str:
    with contextlib.suppress(BenchError):
        return program(name)
    return ""


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """The commit, and whether the working tree differs from it."""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "-"
