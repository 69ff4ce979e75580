"""The workloads that are run by wrk, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.load import Load
from bench.origin import SIZES

_10M: Final = SIZES["10m"]


@dataclass(frozen=True, slots=True)
class Workload:
    """`split`: 80/20 between two origins, else one origin. `body`: bytes of one request's or answer's body."""

    name: str
    title: str
    load: Load
    split: bool = True
    body: int = 0


WORKLOADS: Final = (
    *(
        Workload(f"small-{n}", f"small GET, 80/20 split, {n} connection{'s' * (n > 1)}", Load(connections=n))
        for n in (1, 64, 512)
    ),
    *(
        Workload(
            f"idle-{n}", f"no rollout, one origin, {n} connection{'s' * (n > 1)}", Load(connections=n), split=False
        )
        for n in (1, 64, 512)
    ),
    Workload("close-64", "a connection per request, 64 at a time", Load("close", connections=64)),
    Workload("body-100k", "100 KB answers, 32 connections", Load(prefix="/100k", connections=32), body=SIZES["100k"]),
    Workload("body-10m", "10 MB answers, 8 connections", Load(prefix="/10m", connections=8), body=_10M),
    Workload("upload-10m", "10 MB uploads, 8 connections", Load("upload", "/up", 8, _10M), body=_10M),
)
