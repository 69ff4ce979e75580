"""One soak: pods, load, disturbances, and everything that the judge is told."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.soak.clients import COOKIE, MIRROR, ROUTES, clients
from tests.soak.controller import Controller
from tests.soak.facts import Facts
from tests.soak.judge import Judge, Seen
from tests.soak.load import Load, Slot
from tests.soak.measures import Held, gauges, held
from tests.soak.pods import Pod
from tests.soak.record import Record
from tests.soak.shares import Shares

from coalmine.model import wire
from coalmine.model.weights import Weight

STABLE: Final = 3
CANARY: Final = 2
#: Canary weights in hundredths of a percent.
WEIGHTS: Final = (0, 1, 50, 500, 1000, 2000, 3333, 5000, 8000, 10_000)
PUSH_EVERY: Final = 0.1
#: An application's log is complete this long after a request's end, in seconds, and a mirror's copy this long.
_SETTLED: Final = 1.5
_FORGOTTEN: Final = 30.0
_VERSION: Final = "6d4cf56db6"


@dataclass
class Wanted:
    """What the next document says."""

    weight: int = 1000
    routes: bool = False
    mirrors: bool = False
    affinity: bool = False
    least: bool = False
    close: bool = False
    #: An endpoint that fails is left out for a while; if not, it is tried again at once, whoever has its address now.
    ejection: bool = True
    #: Uids that stand in no document although their pods are there.
    out: set[str] = field(default_factory=set)


class Soak:
    """The state of a soak and what can be done to it."""

    def __init__(self, folder: Path, seed: int, think: float, network: str, say: Callable[[str], None]) -> None:
        """`say` is told each violation as soon as it is found."""
        self.folder = folder
        self.random = random.Random(seed)
        self.facts = Facts()
        self.judge = Judge(self.facts)
        self.shares = Shares(self.facts, self.judge)
        self.controller = Controller(self.facts, folder)
        self.load = Load(self._recorded, random.Random(seed + 1), think)
        self.wanted = Wanted()
        self.slots: list[Slot] = []
        self.calm = False
        self.series: list[tuple[float, dict[str, Held]]] = []
        self._network = network
        self._say = say
        self._said = 0
        self._pods: list[Pod] = []
        self._weights: dict[str, int] = {}
        self._open: dict[str, int] = {}
        self._ended: deque[Record] = deque()
        self._judged: deque[Record] = deque()

    # --- pods ---

    def pod(self, version: str, address: str = "") -> Pod:
        """A new pod, at an address that nobody had before unless one is given."""
        number = len(self._pods) + 1
        pod = Pod(
            self.facts,
            self.folder / "pods",
            self.controller.keys,
            f"{version}-{number}",
            version,
            address or f"{self._network}.{number}",
        )
        self._pods.append(pod)
        return pod

    async def start(self) -> None:
        """All pods, configured."""
        for version in [wire.STABLE] * STABLE + [wire.CANARY] * CANARY:
            self.slots.append(Slot(self.pod(version)))
        await asyncio.gather(*(slot.pod.start() for slot in self.slots))
        await self.push()

    async def stop(self) -> None:
        """End what was started."""
        for pod in self._pods:
            for process in (pod.application, pod.sidecar):
                if process is not None and process.returncode is None:
                    process.kill()
                    await process.wait()

    # --- documents ---

    def routing(self) -> wire.Routing:
        """The document that is wanted now."""
        wanted = self.wanted
        endpoints: dict[str, list[wire.Endpoint]] = {wire.STABLE: [], wire.CANARY: []}
        for slot in self.slots:
            if slot.pod.uid not in wanted.out:
                endpoints[slot.pod.version].append(slot.pod.endpoint)
        mirror = wire.MirrorRoute("soak", Weight(5000), headers=((MIRROR, wire.Match(wire.EXACT, "1")),))
        return wire.Routing(
            arms=(
                wire.Arm(wire.STABLE, Weight(10_000 - wanted.weight), tuple(endpoints[wire.STABLE])),
                wire.Arm(wire.CANARY, Weight(wanted.weight), tuple(endpoints[wire.CANARY]), _VERSION),
            ),
            close=wanted.close,
            routes=ROUTES if wanted.routes else (),
            mirrors=(mirror,) if wanted.mirrors else (),
            affinity=wire.Affinity(COOKIE, 600) if wanted.affinity else None,
            ejection=wire.EJECTION if wanted.ejection else None,
            balance=wire.LEAST_REQUEST if wanted.least else wire.RANDOM,
        )

    async def push(self) -> bool:
        """To all sidecars. Did everyone take it?"""
        routing = self.routing()
        pods = [slot.pod for slot in self.slots]
        for pod in pods:
            if self._weights.get(pod.uid) != self.wanted.weight:
                self._weights[pod.uid] = self.wanted.weight
                self.shares.changed(pod.uid)
        return all(await asyncio.gather(*(self.controller.push(pod, routing) for pod in pods)))

    async def until_pushed(self) -> None:
        """Wait for the next document that everybody has taken."""
        before = self.controller.rounds
        while self.controller.rounds < before + 2:  # noqa: ASYNC110  the pushing loop has no event
            await asyncio.sleep(PUSH_EVERY / 2)

    async def keep_pushing(self) -> None:
        """Other weights every 100 ms, and now and then another of everything else."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._change()
            if await self.push():
                self.controller.rounds += 1
            due = max(due + PUSH_EVERY, loop.time())
            await asyncio.sleep(due - loop.time())

    def _change(self) -> None:
        wanted, pick = self.wanted, self.random
        if not self.calm:
            wanted.weight = pick.choice(WEIGHTS)
        for name, likely in (("routes", 0.1), ("mirrors", 0.1), ("affinity", 0.05), ("least", 0.1), ("ejection", 0.05)):
            if pick.random() < likely:
                setattr(wanted, name, not getattr(wanted, name))
        wanted.close = pick.random() < 0.02
        if pick.random() < 0.1:
            # One endpoint at most is out, and only of those that run.
            left = [slot.pod.uid for slot in self.slots]
            wanted.out = {uid for uid in wanted.out if uid not in left}
            if pick.random() < 0.5:
                wanted.out.add(pick.choice(left))

    # --- load ---

    def _recorded(self, record: Record) -> None:
        self._ended.append(record)
        self.shares.note(record)

    async def drive(self) -> None:
        """All clients, until the load stops."""
        async with asyncio.TaskGroup() as tasks:
            for slot in self.slots:
                for client in clients(self.load, slot):
                    tasks.create_task(client.run())

    async def pause(self) -> None:
        """Nobody asks, and nothing is in flight."""
        self.load.gate.clear()
        while self.load.busy:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)

    # --- the judge's reading ---

    async def keep_judging(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.catch_up(asyncio.get_running_loop().time())
            for text in self.judge.violations[self._said :]:
                self._say(text)
            self._said = len(self.judge.violations)

    def catch_up(self, now: float) -> None:
        """Read what applications wrote, judge what is old enough."""
        for pod in self._pods:
            if not pod.seen.exists():
                continue
            with pod.seen.open("rb") as file:
                file.seek(self._open.get(pod.uid, 0))
                data = file.read()
            whole = data.rfind(b"\n") + 1
            self._open[pod.uid] = self._open.get(pod.uid, 0) + whole
            for line in data[:whole].decode().splitlines():
                nth, identity, method = line.split(" ")
                self.judge.reached(identity, Seen(pod.uid, pod.version, int(nth), method))
        while self._ended and self._ended[0].ended < now - _SETTLED:
            record = self._ended.popleft()
            self.judge.judge(record)
            self._judged.append(record)
        while self._judged and self._judged[0].ended < now - _FORGOTTEN:
            self.judge.forget(self._judged.popleft())

    async def keep_measuring(self, every: float) -> None:
        began = asyncio.get_running_loop().time()
        while True:
            self.measure(began)
            await asyncio.sleep(every)

    def measure(self, began: float) -> None:
        found = {slot.pod.uid: it for slot in self.slots if (it := held(slot.pod)) is not None}
        self.series.append((asyncio.get_running_loop().time() - began, found))

    async def idle(self) -> list[str]:
        """Nobody asks any more and everything kept has expired: what do the sidecars still hold?"""
        wrong = []
        for slot in self.slots:
            sums = await gauges(slot.pod)
            for name in ("requests_in_flight", "client_connections", "upstream_connections", "tunnels"):
                if sums[f"coalmine_{name}"]:
                    wrong.append(f"{slot.pod.uid} still has {sums[f'coalmine_{name}']} {name.replace('_', ' ')}")
        return wrong
