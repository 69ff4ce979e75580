"""The Secret that the replicas share: `rotation.Contents` as an object of the API server, and back.

PURE. What somebody else wrote there is judged, not trusted: an authority without its key is no authority, and then
all of it is worth nothing; anything else that cannot be read is as if it were not there. Keys of data that are not
ours, labels and annotations stay.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from coalmine.kube.resources import SECRETS, Object, annotations_of
from coalmine.model.durations import parse_time
from coalmine.model.names import CA_PUBLISHED, NEXT_CA_PUBLISHED, OLD_CA_UNTIL
from coalmine_webhook.certificates import Pair, authorities, is_authority, is_whole
from coalmine_webhook.rotation import Contents

_OURS: Final = ("ca", "tls", "next-ca")
_OLD: Final = "old-ca.crt"


def decode(secret: Object) -> Contents | None:
    """What it holds; None where that is no authority with its key."""
    data = secret.get("data") or {}
    authority, upcoming = (_authority(data, stem) for stem in ("ca", "next-ca"))
    if authority is None:
        return None
    annotations = annotations_of(secret)
    return Contents(
        authority,
        _pair(data, "tls"),
        published=_time(annotations, CA_PUBLISHED),
        upcoming=upcoming,
        upcoming_published=_time(annotations, NEXT_CA_PUBLISHED) if upcoming is not None else None,
        old=authorities(_bytes(data, _OLD)),
        old_until=_time(annotations, OLD_CA_UNTIL),
    )


def fresh(namespace: str, name: str, contents: Contents) -> Object:
    """A new Secret."""
    labels = {"app.kubernetes.io/part-of": "coalmine"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    bare = {"apiVersion": SECRETS.api_version, "kind": SECRETS.kind, "metadata": metadata, "type": "Opaque"}
    return encode(bare, contents)


def encode(secret: Object, contents: Contents) -> Object:
    """The Secret with other contents; its resourceVersion stays, and is the precondition of the write."""
    ours = {f"{stem}.{ending}" for stem in _OURS for ending in ("crt", "key")} | {_OLD}
    data = {key: value for key, value in (secret.get("data") or {}).items() if key not in ours}
    for stem, pair in zip(_OURS, (contents.authority, contents.serving, contents.upcoming), strict=True):
        if pair is not None:
            data |= {f"{stem}.crt": _text(pair.certificate), f"{stem}.key": _text(pair.key)}
    if contents.old:
        data[_OLD] = _text(b"".join(contents.old))
    times = {
        CA_PUBLISHED: contents.published,
        NEXT_CA_PUBLISHED: contents.upcoming_published,
        OLD_CA_UNTIL: contents.old_until,
    }
    annotations = {key: value for key, value in annotations_of(secret).items() if key not in times}
    annotations |= {key: _stamp(moment) for key, moment in times.items() if moment is not None}
    return {**secret, "metadata": {**secret["metadata"], "annotations": annotations}, "data": data}


def _authority(data: Mapping[str, Any], stem: str) -> Pair | None:
    pair = _pair(data, stem)
    if not is_whole(pair) or not is_authority(pair.certificate):
        return None
    spelled = authorities(pair.certificate)
    return Pair(spelled[0], pair.key) if len(spelled) == 1 else None


def _pair(data: Mapping[str, Any], stem: str) -> Pair:
    return Pair(_bytes(data, f"{stem}.crt"), _bytes(data, f"{stem}.key"))


def _bytes(data: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(str(data.get(key) or ""), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _time(annotations: Mapping[str, str], key: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(parse_time(annotations.get(key, "")), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _stamp(moment: datetime) -> str:
    # not strftime: that writes the year 1, which may stand here, in a way that nobody reads
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"
