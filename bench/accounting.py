"""What a process has cost: CPU time and memory, read from /proc.

Rules:
- CPU in nanoseconds is what the scheduler ran (``schedstat``), over all threads and children. The
  kernel splits it into user and system by sampling its ticks: the sum is exact, the parts are estimates.
- Memory is resident (RSS, pages shared with others included) and proportional (PSS), in bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_BUSY_UNTIL: Final = 3  # user, nice, system; then idle and iowait, which are not work


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time of some processes: nanoseconds in all, and the kernel's ticks in user and system mode."""

    total: int = 0
    user: int = 0
    system: int = 0

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.total + other.total, self.user + other.user, self.system + other.system)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.total - other.total, self.user - other.user, self.system - other.system)

    @property
    def user_share(self) -> float:
        """The part of the time in user mode, 0 to 1."""
        ticks = self.user + self.system
        return self.user / ticks if ticks else 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory of some processes."""

    resident: int = 0
    proportional: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.resident + other.resident, self.proportional + other.proportional)


def parse_schedstat(text: str) -> int:
    """Nanoseconds on a CPU: the first of three numbers."""
    return int(text.split()[0])


def parse_stat(text: str) -> tuple[int, int]:
    """Ticks in user and system mode. The name in parentheses may itself hold spaces and parentheses."""
    fields = text.rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def parse_kilobytes(text: str, key: str) -> int:
    """Bytes of the line ``key: N kB``; 0 when it is not there (a process that is ending)."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    return 0


def parse_cores(text: str) -> dict[int, float]:
    """Seconds that each core has worked since boot, from ``/proc/stat``; interrupts included."""
    cores = {}
    for line in text.splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu":
            values = [int(number) for number in numbers]
            interrupts = sum(values[5:7])
            cores[int(name[3:])] = (sum(values[:_BUSY_UNTIL]) + interrupts) / _TICKS
    return cores


def cores() -> dict[int, float]:
    """Seconds that each core has worked since boot."""
    return parse_cores((_PROC / "stat").read_text())


def family(pids: Sequence[int]) -> list[int]:
    """The processes and all their descendants."""
    found, waiting = [], list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for file in (_PROC / str(pid) / "task").glob("*/children"):
            waiting += [int(child) for child in file.read_text().split()]
    return found


def cpu(pids: Sequence[int]) -> Cpu:
    """What these processes and their descendants have used so far."""
    total = Cpu()
    for pid in family(pids):
        ran = sum(parse_schedstat(file.read_text()) for file in (_PROC / str(pid) / "task").glob("*/schedstat"))
        user, system = parse_stat((_PROC / str(pid) / "stat").read_text())
        total += Cpu(ran, user, system)
    return total


def memory(pids: Sequence[int]) -> Memory:
    """What these processes and their descendants hold now."""
    total = Memory()
    for pid in family(pids):
        status = (_PROC / str(pid) / "status").read_text()
        try:
            rollup = (_PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:  # another user's process
            rollup = ""
        total += Memory(parse_kilobytes(status, "VmRSS"), parse_kilobytes(rollup, "Pss"))
    return total
