"""What a real API server stores of what is sent, as data for tests that have no API server.

Two kinds of recordings: `defaults`, one object a sample, as sent and as stored; `writes`, one request an entry, with
the object before it and the answer. What differs from run to run (names of the namespace, uids, times, versions,
addresses) is replaced, so that a second recording is the first.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from coalmine.kube.client import Client
from coalmine.kube.resources import DEPLOYMENTS, Object, name_of
from coalmine.kube.verbs import ApiError

NAMESPACE = "recorded"
DATA = Path(__file__).parent / "recorded"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_TOKEN = re.compile(r"kube-api-access-\w{5}")
TIME = "2026-01-01T00:00:00Z"
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS = re.compile(r"10\.96\.\d+\.\d+")


def samples() -> list[Object]:
    """Objects as they are sent: the article's application, and those that have everything, or nothing but empties."""
    return list(yaml.safe_load_all((DATA / "samples.yaml").read_text()))


def steps() -> list[dict[str, Any]]:
    """The writes of a Deployment's life, by several managers."""
    found: list[dict[str, Any]] = yaml.safe_load((DATA / "writes.yaml").read_text())
    return found


class Recorder:
    """Sends, and notes what came of it."""

    def __init__(self, client: Client, find: Callable[..., Any]) -> None:
        self._client = client
        self._find = find

    async def defaults(self) -> list[Object]:
        """Each sample as sent and as stored."""
        answer = []
        for sent in samples():
            resource = await self._find(sent["apiVersion"], sent["kind"])
            namespace = NAMESPACE if resource.namespaced else None
            made = await self._client.create(resource, namespace, copy.deepcopy(sent))
            if not resource.namespaced:
                await self._client.delete(resource, None, name_of(made))
            answer.append({"sent": sent, "stored": constant(made)})
        return answer

    async def write(
        self, body: Any, *, media: str, manager: str, name: str, subresource: str = "", force: bool = False
    ) -> tuple[int, Object]:
        """One patch of a Deployment: the status, and the whole Deployment after it or the refusal."""
        query = {"fieldManager": manager} | ({"force": "true"} if force else {})
        sub = subresource or None
        try:
            await self._client.patch(DEPLOYMENTS, NAMESPACE, name, body, sub, kind=media, query=query)
        except ApiError as error:
            return error.status, {"message": error.message}
        return 200, constant(await self._client.get(DEPLOYMENTS, NAMESPACE, name))


def constant(value: Any) -> Any:
    """The same on each run; managedFields in an order that does not depend on the second of a write."""
    text = _TIME.sub(TIME, json.dumps(value))
    text = _UID.sub("00000000-0000-0000-0000-000000000000", _ADDRESS.sub("10.96.0.10", text))
    return _sorted(json.loads(_TOKEN.sub("kube-api-access-xxxxx", text)))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        found = {k: "1" if k == "resourceVersion" else _sorted(v) for k, v in value.items() if k != "nodePort"}
        if isinstance(found.get("managedFields"), list):
            found["managedFields"].sort(key=lambda entry: json.dumps(entry, sort_keys=True))
        return found
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def difference(old: Any, new: Any) -> Any:
    """The JSON merge patch from one object to another: what a reader wants to see of an answer."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    changed = {key: difference(old.get(key), value) for key, value in new.items() if old.get(key) != value}
    return changed | dict.fromkeys(key for key in old if key not in new)


async def writes(recorder: Recorder) -> list[Object]:
    """A Deployment's life; each answer as what it changes of the one before. No controller may be at work."""
    answer = []
    before: Object = {}
    for step in steps():
        status, found = await recorder.write(name="written", **step)
        if status == 200:
            answer.append({**step, "status": status, "changes": difference(before, found)})
            before = found
        else:
            answer.append({**step, "status": status, "message": found["message"]})
    return answer
