"""What tests of releases share: the application of a module, and how a good release is told from any other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from coalmine.model.rollout import Phase
from coalmine_sandbox.lab import Lab
from coalmine_sandbox.story.application import Application

PACE = 2.0


class Stage:
    """The application in a namespace, with its user, across the tests of a module."""

    def __init__(self, lab: Lab, namespace: str) -> None:
        self.app = Application(lab, namespace, time.monotonic, random.Random(1))
        self._context = self.app.running()

    async def open(self, *, user: bool = True) -> None:
        await self._context.__aenter__()
        await self.app.deploy(PACE, user=user)

    async def close(self) -> None:
        await self._context.__aexit__(None, None, None)

    def next_release(self) -> str:
        """A good release that is not deployed."""
        return "4.0" if "2.0" in str(self.app.status.stable.images) else "2.0"

    async def good_release(self, meanwhile: Callable[[str], Awaitable[None]]) -> None:
        """Release a good version, with something happening meanwhile; everything must be kept all the same."""
        app, release = self.app, self.next_release()
        seen, failed = len(app.weights), len(app.failures)
        await app.set_image(release)
        mark = await app.fingerprint()
        happening = asyncio.ensure_future(meanwhile(mark))
        await app.until(lambda s: s.phase is Phase.HEALTHY and s.canary is None and s.stable.fingerprint == mark)
        await happening
        assert app.failures[failed:] == []
        weights = [w for w in app.weights[seen:] if w]
        assert weights == [20, 50, 100], "the weight never jumps, and never goes back"
        steps = app.account(release, mark)
        assert [s.weight.percent for s in steps] == [20, 50, 100]
        assert [s for s in steps if not s.kept] == []
        deployment = await app.deployment()
        assert not deployment["spec"].get("paused")
        ready = [p for p in await app.pods() if all(c["ready"] for c in p["status"]["containerStatuses"])]
        assert len(ready) == 5
