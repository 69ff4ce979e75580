"""What happens to the pods during a soak. One thing at a time, so that no accident excuses another."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.soak.controller import ask
from tests.soak.load import Slot
from tests.soak.soak import Soak

from coalmine.model import wire

#: A confirmation of a pod's uid holds for a second: so long nobody else may have its address (in a cluster
#: addresses are not given out again as fast).
_REUSE: Final = 1.5
#: These sidecars live from the beginning to the end, so that their memory tells something.
KEPT: Final = (0, 3)
CALM_SECONDS: Final = 3.0


class Disturbances:
    """Disturbs a soak."""

    def __init__(self, soak: Soak) -> None:
        self._soak = soak
        self.counts: dict[str, int] = {}
        self.wrong: list[str] = []

    async def run(self, until: float) -> None:
        """Disturb until that moment of the loop's clock."""
        loop = asyncio.get_running_loop()
        actions = (
            self._kill_application,
            self._kill_sidecar,
            self._lose,
            self._leave,
            self._kill_canaries,
            self._restart,
        )
        chances = (8, 4, 2, 2, 1, 3)
        soak = self._soak
        calm_at = loop.time() + 5.0
        while loop.time() < until:
            await asyncio.sleep(0.5 + soak.random.random())
            if loop.time() > calm_at:
                await self.calm()
                calm_at = loop.time() + 15.0
                continue
            action = soak.random.choices(actions, chances)[0]
            await action()
            name = action.__name__.strip("_")
            self.counts[name] = self.counts.get(name, 0) + 1

    async def calm(self) -> None:
        """One document's shares, counted from nothing in flight to nothing in flight."""
        soak = self._soak
        soak.calm = True
        await soak.pause()
        soak.wanted.weight = soak.random.choice((100, 500, 1000, 3333, 5000, 9000))
        await soak.until_pushed()
        soak.shares.begin_calm(soak.wanted.weight / 10_000)
        soak.load.exact = True
        soak.load.gate.set()
        await asyncio.sleep(CALM_SECONDS)
        await soak.pause()
        self.wrong += soak.shares.end_calm()
        soak.load.exact = False
        soak.calm = False
        soak.load.gate.set()

    def _any(self, kept: bool = True) -> Slot:
        slots = self._soak.slots
        return self._soak.random.choice([slot for i, slot in enumerate(slots) if kept or i not in KEPT])

    async def _short(self) -> None:
        await asyncio.sleep(0.2 + self._soak.random.random())

    async def _kill_application(self) -> None:
        """Its container is restarted: the same pod, the same port."""
        pod = self._any().pod
        await pod.kill_application()
        await self._short()
        await pod.start_application()

    async def _restart(self) -> None:
        """The same, but it ended by itself, closing what was idle."""
        pod = self._any().pod
        await pod.end_application()
        await self._short()
        await pod.start_application()

    async def _kill_sidecar(self) -> None:
        pod = self._any(kept=False).pod
        await pod.kill_sidecar()
        self._soak.controller.forget(pod)
        await self._short()
        await pod.start_sidecar()
        await self._soak.until_pushed()

    async def _kill_canaries(self) -> None:
        """A bad version."""
        pods = [slot.pod for slot in self._soak.slots if slot.pod.version == wire.CANARY]
        await asyncio.gather(*(pod.kill_application() for pod in pods))
        await self._short()
        await asyncio.gather(*(pod.start_application() for pod in pods))

    async def _lose(self) -> None:
        """The node is lost, a stranger gets the pod's address while documents still name it, then a new pod comes."""
        soak = self._soak
        slot = self._any(kept=False)
        old = slot.pod
        slot.open = False
        await old.kill()
        soak.controller.forget(old)
        await asyncio.sleep(_REUSE)
        # Otherwise nobody would look whether it is there again.
        soak.wanted.ejection = False
        stranger = soak.pod("stranger", old.address)
        soak.facts.strangers.add(stranger.uid)
        await stranger.start(with_sidecar=soak.random.random() < 0.7)
        await asyncio.sleep(1.5)
        await stranger.kill()
        await self._fill(slot, old.version)

    async def _leave(self) -> None:
        """A scale-down and a scale-up: out of the documents, then told to end."""
        soak = self._soak
        slot = self._any(kept=False)
        old = slot.pod
        new = soak.pod(old.version)
        await new.start()
        # The new one's sidecar is configured before clients find it.
        await soak.controller.push(new, soak.routing())
        slot.leaving, slot.pod = old, new
        await soak.until_pushed()
        await ask(old, "POST", "/drain")
        # Services still send requests there, for a while.
        await asyncio.sleep(0.5)
        slot.leaving = None
        await asyncio.sleep(0.5)
        await old.end_application()
        await old.end_sidecar()
        soak.controller.forget(old)

    async def _fill(self, slot: Slot, version: str) -> None:
        soak = self._soak
        new = soak.pod(version)
        await new.start()
        await soak.controller.push(new, soak.routing())
        slot.pod = new
        await soak.until_pushed()
        slot.open = True
