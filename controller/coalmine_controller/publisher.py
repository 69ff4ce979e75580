"""Where sidecars find the public keys: a ConfigMap in each namespace that has annotated Deployments.

Rules: it holds the public halves of the keys that stand in the Secret, and nothing else: what is withdrawn there is
withdrawn here, by whichever controller looks next. A write holds only for the ConfigMap as it was read, so that one
that was delayed undoes nothing. A kubelet brings the change to the pods in its own time, a minute and a half at most;
nobody here waits for that.
"""

from __future__ import annotations

from coalmine.kube.client import Client
from coalmine.kube.resources import CONFIG_MAPS, resource_version_of
from coalmine.kube.verbs import ConflictError
from coalmine.model import names
from coalmine_controller.keys import Keyring


class Publisher:
    """Keeps the ConfigMap with the public keys in each namespace that needs it."""

    def __init__(self, client: Client, ring: Keyring) -> None:
        self._client = client
        self._ring = ring
        self._published: dict[str, dict[str, str]] = {}

    def doubt(self, namespace: str) -> None:
        """A sidecar there refuses what we sign, or cannot be reached: the ConfigMap may be gone, as when the
        namespace was made anew. The next `publish` looks."""
        self._published.pop(namespace, None)

    async def publish(self, namespace: str) -> None:
        """Make sure that `namespace` has the public keys; asks the API server once for each namespace and set of
        keys, until there is doubt. Raises ApiError."""
        wanted = self._ring.keys.published
        if self._published.get(namespace) == wanted:
            return
        name = names.KEYS_CONFIGMAP
        existing = await self._client.find(CONFIG_MAPS, namespace, name)
        if existing is None:
            fresh = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace},
                "data": wanted,
            }
            try:
                await self._client.create(CONFIG_MAPS, namespace, fresh)
            except ConflictError:
                existing = await self._client.get(CONFIG_MAPS, namespace, name)
        if existing is not None:
            stands = existing.get("data") or {}
            if stands != wanted:
                data = {**dict.fromkeys(stands), **wanted}
                metadata = {"resourceVersion": resource_version_of(existing)}
                await self._client.patch(CONFIG_MAPS, namespace, name, {"metadata": metadata, "data": data})
        self._published[namespace] = wanted
