"""Which kind of sidecar a cluster can run, told by the version of its API server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from coalmine.model.errors import RemoteError
from coalmine_webhook.sidecar import Kind

#: Restartable init containers are stable from here on. Nodes may be three minors older than their API server: 1.30,
#: where they are on by default (from 1.29).
NATIVE_FROM: Final = (1, 33)
#: Clouds add to the minor: "33+".
_LEADING: Final = re.compile(r"\d{1,6}")


def kind_for(version: Mapping[str, Any]) -> Kind:
    """The kind for an API server; `version` is its ``/version``. Raises RemoteError for what is none."""
    numbers = [_LEADING.match(str(version.get(key) or "")) for key in ("major", "minor")]
    if not all(numbers):
        raise RemoteError(
            "the API server's /version names no major and minor version: write --sidecar native or classic"
        )
    major, minor = (int(number[0]) for number in numbers if number is not None)
    return Kind.NATIVE if (major, minor) >= NATIVE_FROM else Kind.CLASSIC
