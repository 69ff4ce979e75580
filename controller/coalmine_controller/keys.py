"""The key that signs configurations, and where sidecars find its public half.

The seed is in a Secret of the system namespace, made once by whichever controller comes first; the
public key is in a ConfigMap of each namespace that has annotated Deployments. The key's id
is derived from it, so that several can stand side by side while they turn.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from coalmine.kube.client import Client
from coalmine.kube.resources import CONFIG_MAPS, SECRETS
from coalmine.kube.verbs import ConflictError
from coalmine.model import names
from coalmine.model.errors import RemoteError

_SEED = "ed25519-seed"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key and its id."""

    id: str
    public: str
    private: Ed25519PrivateKey

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """Raises ValueError when `seed` is not 32 bytes."""
        private = Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(hashlib.sha256(public).hexdigest()[:12], base64.b64encode(public).decode(), private)

    def sign(self, body: bytes) -> str:
        """The value of the signature header for `body`."""
        return f"{self.id}:{base64.b64encode(self.private.sign(body)).decode()}"


async def load_key(client: Client, new_seed: bytes) -> SigningKey:
    """The installation's key; `new_seed` becomes it when there is none yet."""
    namespace, name = names.SYSTEM_NAMESPACE, names.SIGNING_SECRET
    secret = await client.find(SECRETS, namespace, name)
    if secret is None:
        fresh = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "data": {_SEED: base64.b64encode(new_seed).decode()},
        }
        try:
            secret = await client.create(SECRETS, namespace, fresh)
        except ConflictError:  # another controller was first
            secret = await client.get(SECRETS, namespace, name)
    try:
        return SigningKey.from_seed(base64.b64decode((secret.get("data") or {})[_SEED]))
    except (KeyError, ValueError) as error:
        raise RemoteError(f"Secret {namespace}/{name} holds no usable key: delete it, and a new one is made") from error


class Publisher:
    """Keeps the ConfigMap with the public key in each namespace that needs it."""

    def __init__(self, client: Client, key: SigningKey) -> None:
        self._client = client
        self._key = key
        self._published: set[str] = set()

    def doubt(self, namespace: str) -> None:
        """A sidecar there refuses what we sign, or cannot be reached: the ConfigMap may be gone, as when the
        namespace was made anew. The next `publish` looks."""
        self._published.discard(namespace)

    async def publish(self, namespace: str) -> None:
        """Make sure that `namespace` has the public key; asks the API server once a namespace, until there is doubt."""
        if namespace in self._published:
            return
        name, data = names.KEYS_CONFIGMAP, {self._key.id: self._key.public}
        existing = await self._client.find(CONFIG_MAPS, namespace, name)
        if existing is None:
            fresh = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace},
                "data": data,
            }
            try:
                await self._client.create(CONFIG_MAPS, namespace, fresh)
            except ConflictError:
                existing = await self._client.get(CONFIG_MAPS, namespace, name)
        if existing is not None and (existing.get("data") or {}).get(self._key.id) != self._key.public:
            await self._client.patch(CONFIG_MAPS, namespace, name, {"data": data})
        self._published.add(namespace)
