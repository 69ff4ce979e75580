"""An AdmissionReview (admission.k8s.io/v1) in, an outcome out, as values.

Rules: what comes in is bounded and checked once, here; what goes out is one of `Allowed`,
`Patched`, `Denied` and `Errored`, each with codes of `reasons.Reason` and sentences for people.
Nothing here knows what a Deployment or a Pod is, nor HTTP.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine.model.reasons import Reason, say
from coalmine_webhook.patch import Operation

#: The API server takes requests of up to 3 MiB; a review carries the object and the old object,
#: and 1 MiB is ample for the user, the options and the frame.
MAX_REVIEW: Final = 7 << 20

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"

#: The API server may cut a warning longer than this before it shows it (its webhook documentation).
_WARNING_LENGTH: Final = 256

FORBIDDEN: Final = 403
CONFLICT: Final = 409
UNPROCESSABLE: Final = 422


class ReviewError(ValueError):
    """The body is no AdmissionReview. The text is a sentence."""


class Refused(Exception):
    """A rule refuses the write. `code` is an HTTP status."""

    def __init__(self, reason: Reason, *, code: int = FORBIDDEN, **fields: object) -> None:
        self.reason = reason
        self.code = code
        self.message = say(reason, **fields)
        super().__init__(self.message)


@dataclass(frozen=True, slots=True)
class Review:
    """What the API server asks. `object` is None on DELETE, `old` on CREATE."""

    uid: str
    operation: str
    subresource: str
    namespace: str
    name: str
    user: str
    dry_run: bool
    object: Object | None
    old: Object | None


@dataclass(frozen=True, slots=True)
class Notice:
    """A code and its sentence, shown to the writer as a warning."""

    reason: Reason
    text: str


def notice(reason: Reason, **fields: object) -> Notice:
    """A notice with the table's sentence, cut to what the API server passes on."""
    text = say(reason, **fields)
    return Notice(reason, text if len(text) <= _WARNING_LENGTH else f"{text[: _WARNING_LENGTH - 3]}...")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The object passes as it is."""

    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Patched:
    """The object passes with a JSON patch. `notices` are warnings; `note`, if any, is only logged."""

    patch: tuple[Operation, ...]
    notices: tuple[Notice, ...] = ()
    note: Notice | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """A rule refuses the write. `code` is an HTTP status."""

    reason: Reason
    message: str
    code: int = FORBIDDEN


@dataclass(frozen=True, slots=True)
class Errored:
    """We could not decide: the review was malformed (400) or this is our bug (500)."""

    message: str
    code: int = 500


Outcome = Allowed | Patched | Denied | Errored


def allowed_or_patched(patch: tuple[Operation, ...], notices: tuple[Notice, ...] = ()) -> Outcome:
    """An empty patch is no patch: the API server would run the other webhooks again for it."""
    return Patched(patch, notices) if patch else Allowed(notices)


def parse(body: bytes) -> Review:
    """Read a review. Raises ReviewError with a sentence."""
    if len(body) > MAX_REVIEW:
        raise ReviewError(f"the review is larger than {MAX_REVIEW} bytes")
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ReviewError("the body is not JSON") from error
    if not isinstance(raw, dict) or (raw.get("apiVersion"), raw.get("kind")) != (API_VERSION, KIND):
        raise ReviewError(f"the body is no {KIND} of {API_VERSION}")
    request = raw.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise ReviewError("the review has no request with a uid")
    obj, old = (_object(request, key) for key in ("object", "oldObject"))
    user = request.get("userInfo")
    metadata = (obj or old or {}).get("metadata") or {}
    return Review(
        uid=request["uid"],
        operation=str(request.get("operation") or ""),
        subresource=str(request.get("subResource") or ""),
        namespace=str(request.get("namespace") or ""),
        # a name that the server is still to generate is known by its beginning
        name=str(request.get("name") or metadata.get("name") or metadata.get("generateName") or ""),
        user=str(user.get("username") or "") if isinstance(user, dict) else "",
        dry_run=request.get("dryRun") is True,
        object=obj,
        old=old,
    )


def _object(request: Mapping[str, Any], key: str) -> Object | None:
    raw = request.get(key)
    if raw is None:
        return None
    if not isinstance(raw, dict) or not isinstance(raw.get("metadata"), dict):
        raise ReviewError(f"request.{key} is no object with metadata")
    return raw


def render(uid: str, outcome: Outcome) -> bytes:
    """The body of the answer."""
    response: Object = {"uid": uid, "allowed": isinstance(outcome, Allowed | Patched)}
    if isinstance(outcome, Allowed | Patched) and outcome.notices:
        response["warnings"] = [n.text for n in outcome.notices]
    if isinstance(outcome, Patched):
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(outcome.patch, separators=(",", ":")).encode()).decode()
    if isinstance(outcome, Denied):
        # kubectl shows both: "Error from server (HandoverInProgress): ... handover in progress, ..."
        response["status"] = {"code": outcome.code, "reason": outcome.reason.value, "message": outcome.message}
    if isinstance(outcome, Errored):
        response["status"] = {"code": outcome.code, "reason": "InternalError", "message": outcome.message}
    document = {"apiVersion": API_VERSION, "kind": KIND, "response": response}
    return json.dumps(document, separators=(",", ":")).encode()


def codes(outcome: Outcome) -> tuple[str, ...]:
    """The codes of an outcome for the log; the first is the metric's. Never empty."""
    if isinstance(outcome, Denied):
        return (outcome.reason.value,)
    if isinstance(outcome, Errored):
        return ("Errored",)
    found = tuple(n.reason.value for n in outcome.notices)
    if isinstance(outcome, Patched):
        note = (outcome.note.reason.value,) if outcome.note else ()
        return found + note or ("Patched",)
    return found or ("Allowed",)
