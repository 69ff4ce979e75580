"""The keys that sign configurations, and the Secret that they are kept in.

The Secret is in the system namespace, made once by whichever controller comes first. It holds the seed of the key
that signs (``ed25519-seed``), and, while keys turn, that of the one which is to follow it (``ed25519-next-seed``).
Every write to it is guarded by its resourceVersion: of two controllers that turn the keys at once, one does. A
controller that knows nothing of the second seed signs with the first, which is right at any moment of a turn.

A key's id is derived from it, so that several can stand side by side. No seed leaves this module but for the Secret.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from coalmine.kube.client import Client
from coalmine.kube.resources import SECRETS, Object, annotations_of, resource_version_of
from coalmine.kube.verbs import ConflictError
from coalmine.model import names
from coalmine.model.durations import format_time, parse_time
from coalmine.model.errors import RemoteError

_SEED = "ed25519-seed"
_NEXT = "ed25519-next-seed"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key and its id."""

    id: str
    public: str
    private: Ed25519PrivateKey = field(compare=False, repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """Raises ValueError when `seed` is not 32 bytes."""
        private = Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(hashlib.sha256(public).hexdigest()[:12], base64.b64encode(public).decode(), private)

    def sign(self, body: bytes) -> str:
        """The value of the signature header for `body`."""
        return f"{self.id}:{base64.b64encode(self.private.sign(body)).decode()}"


@dataclass(frozen=True, slots=True)
class Keys:
    """What the Secret holds. Times are Unix times; `asked`: a person wants the keys to turn."""

    current: SigningKey
    since: float
    next: SigningKey | None = None
    next_since: float = 0.0
    asked: bool = False

    @property
    def newest(self) -> SigningKey:
        """The one that is going to sign alone."""
        return self.next or self.current

    @property
    def published(self) -> dict[str, str]:
        """What sidecars are to find: every public half by its id."""
        return {key.id: key.public for key in (self.current, self.next) if key is not None}


class Keyring:
    """The keys as they were last read: one object for all who sign or publish."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys


class KeyStore:
    """Reads and writes the Secret."""

    def __init__(self, client: Client, new_seed: Callable[[], bytes], wall: Callable[[], float]) -> None:
        self._client = client
        self._new_seed = new_seed
        self._wall = wall
        self._raw: Object = {}

    async def load(self) -> Keys:
        """The installation's keys; a first one is made when there is no Secret.

        Raises ApiError, and RemoteError when the Secret holds no usable key.
        """
        secret = await self._client.find(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET)
        if secret is None:
            fresh = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": names.SIGNING_SECRET,
                    "namespace": names.SYSTEM_NAMESPACE,
                    "annotations": {names.KEY_SINCE: format_time(self._wall())},
                },
                "data": {_SEED: self._seed()},
            }
            try:
                secret = await self._client.create(SECRETS, names.SYSTEM_NAMESPACE, fresh)
            except ConflictError:  # another controller was first
                secret = await self._client.get(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET)
        return self._take(secret)

    async def introduce(self) -> Keys:
        """Write a new key beside the current one. Raises ConflictError when the Secret is not as it was loaded."""
        annotations = {names.KEY_NEXT_SINCE: format_time(self._wall()), names.ROTATE: None}
        return await self._write({_NEXT: self._seed()}, annotations)

    async def finish(self) -> Keys:
        """The next key becomes the current one, and the old one is gone. Raises ConflictError as `introduce`."""
        annotations = {names.KEY_SINCE: format_time(self._wall()), names.KEY_NEXT_SINCE: None}
        return await self._write({_SEED: self._raw["data"][_NEXT], _NEXT: None}, annotations)

    async def drop_wish(self) -> Keys:
        """Take a person's wish off: what it asks for is under way already."""
        return await self._write({}, {names.ROTATE: None})

    async def _write(self, data: dict[str, str | None], annotations: dict[str, str | None]) -> Keys:
        metadata = {"annotations": annotations, "resourceVersion": resource_version_of(self._raw)}
        patch = {"metadata": metadata, "data": data}
        written = await self._client.patch(SECRETS, names.SYSTEM_NAMESPACE, names.SIGNING_SECRET, patch)
        return self._take(written)

    def _take(self, secret: Object) -> Keys:
        keys = read_keys(secret)
        self._raw = secret
        return keys

    def _seed(self) -> str:
        return base64.b64encode(self._new_seed()).decode()


def read_keys(secret: Object) -> Keys:
    """What the Secret holds. Raises RemoteError when there is no usable key to sign with.

    A next one that cannot be used is as none: the turn begins again with another.
    """
    data, annotations = secret.get("data") or {}, annotations_of(secret)
    current = _key(data.get(_SEED))
    if current is None:
        where = f"{names.SYSTEM_NAMESPACE}/{names.SIGNING_SECRET}"
        raise RemoteError(f"Secret {where} holds no usable key: delete it, and a new one is made")
    made = _time(secret["metadata"].get("creationTimestamp"), 0.0)
    since = _time(annotations.get(names.KEY_SINCE), made)
    following = _key(data.get(_NEXT))
    if following is not None and following.id == current.id:
        following = None
    # a time that was lost must not end a turn: then only the sidecars do
    next_since = 0.0 if following is None else _time(annotations.get(names.KEY_NEXT_SINCE), math.inf)
    return Keys(current, since, following, next_since, names.ROTATE in annotations)


def _key(text: str | None) -> SigningKey | None:
    try:
        return SigningKey.from_seed(base64.b64decode(text or "", validate=True))
    except ValueError:
        return None


def _time(text: str | None, otherwise: float) -> float:
    """A time that a person may have overwritten."""
    try:
        return parse_time(text or "")
    except (ValueError, RemoteError):
        return otherwise
