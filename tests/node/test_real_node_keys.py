"""How the public keys reach pods: by the kubelet's own sync of a mounted ConfigMap, measured on a real node.

A sidecar takes its first configuration once its keys are there. A pod that is made after the namespace's ConfigMap has
them when it starts; one that is older gets them when the kubelet next looks at the pod, which is a minute or more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from node_lab import NodeLab
from shop import Shop

from coalmine.kube.resources import CONFIG_MAPS, uid_of
from coalmine.model.names import KEYS_CONFIGMAP, KEYS_VOLUME, ROTATE, SIGNING_SECRET, SYSTEM_NAMESPACE

pytestmark = pytest.mark.cluster


def test_when_the_keys_arrive(installed: NodeLab, run: Any, say: Callable[[str], None]) -> None:
    async def measure() -> None:
        async with Shop(installed, "keys").open(3.0) as shop:
            published = time.monotonic()
            assert await installed.client.find(CONFIG_MAPS, "keys", KEYS_CONFIGMAP) is not None
            waiting = {uid_of(p) for p in await shop.app.pods()}
            arrived: list[float] = []

            async def all_there() -> bool:
                for uid in sorted(waiting):
                    if _there(installed, uid):
                        waiting.discard(uid)
                        arrived.append(time.monotonic() - published)
                return not waiting

            await installed.fetch(all_there, "every stable pod has the keys")
            say(f"keys in five pods that came with the namespace, s after they were Ready: {_seconds(arrived)}")
            began = time.monotonic()
            mark = await shop.release("2.0")
            seen: dict[str, float] = {}

            async def step(name: str, condition: Callable[[], Any]) -> None:
                await installed.fetch(condition, name)
                seen[name] = time.monotonic() - began

            async def made() -> bool:
                return bool(await shop.canary_pods())

            async def keyed() -> bool:
                return _there(installed, uid_of((await shop.canary_pods())[0]))

            await step("canary pod made", made)
            await step("keys in it", keyed)
            await shop.at(20)
            seen["20 % acknowledged by all"] = time.monotonic() - began
            await shop.healthy(mark)
            seen["promoted, with pauses of 6 s in all"] = time.monotonic() - began
            say("a release then, in s: " + "; ".join(f"{what} {when:.1f}" for what, when in seen.items()))
            say(f"a new key in five pods, s after somebody asked for it: {_seconds(await _turned(installed, shop))}")
            assert shop.app.failures == []

    run(measure())


async def _turned(lab: NodeLab, shop: Shop) -> list[float]:
    """Ask for new keys; when each pod had one more, in seconds after that."""
    pods = {uid_of(p) for p in await shop.app.pods()}
    before = {uid: _keys(lab, uid) for uid in pods}
    asked = await lab.kubectl("-n", SYSTEM_NAMESPACE, "annotate", "secret", SIGNING_SECRET, f"{ROTATE}=now")
    assert asked.code == 0, asked.stderr
    began = time.monotonic()
    arrived: list[float] = []

    async def all_turned() -> bool:
        for uid in sorted(pods):
            if not _keys(lab, uid) <= before[uid]:
                pods.discard(uid)
                arrived.append(time.monotonic() - began)
        return not pods

    await lab.fetch(all_turned, "every pod has the new key")
    return arrived


def _there(lab: NodeLab, uid: str) -> bool:
    return bool(_keys(lab, uid))


def _keys(lab: NodeLab, uid: str) -> set[str]:
    """The names of the keys that the kubelet has put into a pod."""
    volume = lab.state / "kubelet" / "pods" / uid / "volumes" / "kubernetes.io~configmap" / KEYS_VOLUME
    return {p.name for p in _entries(volume) if not p.name.startswith("..")}


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _seconds(values: list[float]) -> str:
    return ", ".join(f"{v:.1f}" for v in values)
