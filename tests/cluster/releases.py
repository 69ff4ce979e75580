"""What tests of releases share: the application of a module, and how a good release is told from any other."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from coalmine.kube.resources import NAMESPACES, SERVICE_ACCOUNTS
from coalmine.model.names import CANARY
from coalmine.model.rollout import Phase
from coalmine_sandbox.lab import Lab
from coalmine_sandbox.story.application import Application

PACE = 2.0
#: Requests a second: several of these tests run beside each other on two cores.
RATE = 100.0


class Stage:
    """The application in a namespace, with its user, across the tests of a module."""

    def __init__(self, lab: Lab, namespace: str) -> None:
        self.app = Application(lab, namespace, time.monotonic, random.Random(1), rate=RATE)

    def next_release(self) -> str:
        """A good release that is not deployed."""
        return "4.0" if "2.0" in str(self.app.status.stable.images) else "2.0"

    async def good_release(
        self, meanwhile: Callable[[str], Awaitable[None]] | None = None, release: str | None = None
    ) -> None:
        """Release a good version, with something happening meanwhile; everything must be kept all the same."""
        app, release = self.app, release or self.next_release()
        seen, failed = len(app.weights), len(app.failures)
        await app.set_image(release)
        mark = await app.fingerprint()
        happening = asyncio.ensure_future(meanwhile(mark) if meanwhile else asyncio.sleep(0))
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

    async def begin(self, release: str | None = None) -> str:
        """Set a good version and wait until its canary pauses at 20 %; the fingerprint."""
        await self.app.set_image(release or self.next_release())
        mark = await self.app.fingerprint()
        await self.app.until(
            lambda s: (
                s.phase is Phase.PAUSED
                and s.actual_weight.percent == 20
                and s.canary is not None
                and s.canary.fingerprint == mark
            )
        )
        return mark

    async def healthy(self, mark: str | None = None) -> None:
        """Wait until nothing is held; with `mark`, until that template is stable."""
        await self.app.until(
            lambda s: s.phase is Phase.HEALTHY and s.canary is None and mark in (None, s.stable.fingerprint)
        )

    async def strategy(self, text: str) -> None:
        """Write another strategy on the Deployment."""
        done = await self.app.kubectl("annotate", "--overwrite", "deployment/colorapi", f"{CANARY}={text}")
        assert done.code == 0, done.stderr


@contextlib.asynccontextmanager
async def staged(lab: Lab, namespace: str, *, user: bool = True) -> AsyncIterator[Stage]:
    """The application, with its user, in a namespace of its own that goes away afterwards."""

    async def made() -> bool:
        return await lab.client.find(SERVICE_ACCOUNTS, namespace, "default") is not None

    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await lab.client.create(NAMESPACES, None, body)
    await lab.until(made, "the service account is made")
    stage = Stage(lab, namespace)
    async with stage.app.running():
        await stage.app.deploy(PACE, user=user)
        yield stage
    await lab.client.delete(NAMESPACES, None, namespace)
