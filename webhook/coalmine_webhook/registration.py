"""The MutatingWebhookConfiguration: whom its webhooks trust, and the patch that has them trust others.

PURE. Nothing but ``caBundle`` is written, in each webhook; the rest is the installation's, and a GitOps tool's.
The patch applies to the very object that was read, or not at all: the bundle that is written was
decided after that object was there.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from coalmine.kube.resources import Object, resource_version_of
from coalmine_webhook.certificates import authorities, ca_bundle
from coalmine_webhook.rotation import Published

Operations = list[Object]


def read(configuration: Object) -> Published:
    """The authorities that it names. A webhook without a bundle names none."""
    named = [_authorities(_bundle(webhook)) for webhook in _webhooks(configuration)]
    everywhere = frozenset(named[0]).intersection(*named[1:]) if named else frozenset[bytes]()
    return Published(everywhere, tuple(dict.fromkeys(pem for each in named for pem in each)))


def patch(configuration: Object, certificates: Sequence[bytes]) -> Operations:
    """The JSON patch after which every webhook trusts these authorities; empty where all do."""
    wanted = ca_bundle(*certificates)
    operations: Operations = [
        {"op": "add", "path": f"/webhooks/{number}/clientConfig/caBundle", "value": wanted}
        for number, webhook in enumerate(_webhooks(configuration))
        if _bundle(webhook) != wanted
    ]
    if not operations:
        return []
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version_of(configuration)},
        *operations,
    ]


def _webhooks(configuration: Object) -> list[Object]:
    return configuration.get("webhooks") or []


def _bundle(webhook: Object) -> str:
    return str((webhook.get("clientConfig") or {}).get("caBundle") or "")


def _authorities(bundle: str) -> tuple[bytes, ...]:
    try:
        return authorities(base64.b64decode(bundle, validate=True))
    except (binascii.Error, ValueError):
        return ()
