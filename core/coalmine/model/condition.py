"""The condition by which an aborted canary shows on the Deployment itself.

Rules: it is the native controller's own sign of failure (``Progressing``, ``False``,
``ProgressDeadlineExceeded``), which makes ``kubectl rollout status``, Helm and Flux fail, and which
that controller leaves standing while the Deployment is paused. Its message opens with a marker that carries
the fingerprint of the template whose canary was aborted, so that anybody can tell it from a
deadline that the native controller found exceeded, and an old abort from the present one.

This module only spells and recognises; who writes it when is with the controller and the webhook.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

PROGRESSING: Final = "Progressing"
FAILURE_REASON: Final = "ProgressDeadlineExceeded"
#: The native controller's condition for a paused Deployment (deployment/util: PausedDeployReason).
PAUSED_REASON: Final = "DeploymentPaused"
PAUSED_MESSAGE: Final = "Deployment is paused"

#: What the message of our failure condition opens with. The webhook configuration's CEL
#: expression has the same text (RE2 and Python read it alike).
MARKER: Final = "^canary [0-9a-f]{16} aborted: "
_MARKER: Final = re.compile(MARKER)
#: ``message`` has no limit of its own, but is repeated in events (1,024) and shown on one line.
_LONGEST: Final = 1024


def failure_condition(fingerprint: str, message: str, now_text: str) -> dict[str, str]:
    """The Deployment condition for the aborted canary of the template `fingerprint`.

    `message` says why, `now_text` is the time as RFC 3339 (whole seconds, as metav1.Time).
    """
    text = f"canary {fingerprint} aborted: {message}"
    if not _MARKER.match(text):
        raise ValueError(f"{fingerprint!r} is no fingerprint")
    return {
        "type": PROGRESSING,
        "status": "False",
        "reason": FAILURE_REASON,
        "message": text[:_LONGEST],
        "lastUpdateTime": now_text,
        "lastTransitionTime": now_text,
    }


def paused_condition(now_text: str) -> dict[str, str]:
    """What the native controller says of a paused Deployment: takes the place of our condition."""
    return {
        "type": PROGRESSING,
        "status": "Unknown",
        "reason": PAUSED_REASON,
        "message": PAUSED_MESSAGE,
        "lastUpdateTime": now_text,
        "lastTransitionTime": now_text,
    }


def failed_fingerprint(condition: Mapping[str, Any]) -> str | None:
    """The fingerprint that our failure condition carries; None for every other condition."""
    if (condition.get("type"), condition.get("status"), condition.get("reason")) != (
        PROGRESSING,
        "False",
        FAILURE_REASON,
    ):
        return None
    message = str(condition.get("message") or "")
    return message.split(" ", 2)[1] if _MARKER.match(message) else None
