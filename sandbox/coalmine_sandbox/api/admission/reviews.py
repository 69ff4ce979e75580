"""The AdmissionReview (admission.k8s.io/v1) that a webhook is sent, and what may be made of its answer. Pure.

Rules: an answer is somebody else's text and is believed in nothing before it is checked; what it is refused with is
worded as kube-apiserver words it.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission.attributes import Attributes
from coalmine_sandbox.api.body import parse
from coalmine_sandbox.api.errors import StatusError

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
#: apiserver's maxWarningLength and the like: what a client is shown of one answer stays small.
_WARNINGS, _WARNING_LENGTH = 64, 4096


class AnswerError(Exception):
    """A webhook's answer cannot be used. The text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a webhook said. `status` is a metav1.Status or empty."""

    allowed: bool
    status: Object
    patch: list[Any]
    warnings: tuple[str, ...] = ()


def admission_request(attributes: Attributes, uid: str) -> Object:
    """The review's request; also the variable `request` of conditions."""
    plain = attributes.object or attributes.old or {}
    api_version = str(plain.get("apiVersion") or attributes.resource.api_version)
    kind = _split(api_version) | {"kind": str(plain.get("kind") or attributes.resource.kind)}
    resource = _split(attributes.resource.api_version) | {"resource": attributes.resource.plural}
    user: Object = {"username": attributes.user.name, "groups": list(attributes.user.groups)}
    if attributes.user.uid:
        user["uid"] = attributes.user.uid
    request: Object = {"uid": uid, "kind": kind, "resource": resource}
    if attributes.subresource:
        request["subResource"] = attributes.subresource
    request |= {"requestKind": kind, "requestResource": resource}
    if attributes.subresource:
        request["requestSubResource"] = attributes.subresource
    if attributes.name:
        request["name"] = attributes.name
    if attributes.namespace:
        request["namespace"] = attributes.namespace
    return request | {
        "operation": attributes.operation,
        "userInfo": user,
        "object": attributes.object,
        "oldObject": attributes.old,
        "dryRun": attributes.dry_run,
        "options": attributes.options,
    }


def review(attributes: Attributes, uid: str) -> bytes:
    """The body of a question."""
    body = {"kind": KIND, "apiVersion": API_VERSION, "request": admission_request(attributes, uid)}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def answer(body: bytes, uid: str) -> Answer:
    """Read an answer to the question `uid`. Raises AnswerError."""
    response = _response(body, uid)
    encoded, patch_type = response.get("patch"), response.get("patchType")
    if encoded and patch_type is None:
        raise AnswerError(f"{_INVALID}: webhook returned response.patch but not response.patchType")
    if not encoded and patch_type is not None:
        raise AnswerError(f"{_INVALID}: webhook returned response.patchType but not response.patch")
    allowed = response.get("allowed") is True
    status = response.get("status")
    warnings = response.get("warnings")
    told = [str(each)[:_WARNING_LENGTH] for each in warnings[:_WARNINGS]] if isinstance(warnings, list) else []
    patch = _patch(encoded, patch_type) if allowed and encoded else []
    return Answer(allowed, status if isinstance(status, dict) else {}, patch, tuple(told))


def refusal(webhook: str, status: Object) -> StatusError:
    """What the client is told when a webhook refuses."""
    code = status.get("code")
    if not isinstance(code, int) or not 400 <= code <= 599:
        code = 400
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    denied = f'admission webhook "{webhook}" denied the request'
    said = message or reason
    text = f"{denied}: {said}" if said else f"{denied} without explanation"
    details = status.get("details")
    return StatusError(code, reason, text, details if isinstance(details, dict) else None)


_INVALID: Final = "received invalid webhook response"
_UNREADABLE: Final = "failed to call webhook: couldn't get version/kind; json parse error"


def _response(body: bytes, uid: str) -> Object:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"{_UNREADABLE}: {error}") from error
    if not isinstance(found, dict):
        raise AnswerError(f"{_UNREADABLE}: json: cannot unmarshal {type(found).__name__} into an {KIND}")
    response = found.get("response")
    if not isinstance(response, dict):
        raise AnswerError(f"{_INVALID}: webhook response was absent")
    if response.get("uid") != uid:
        raise AnswerError(f'{_INVALID}: expected response.uid="{uid}", got "{str(response.get("uid") or "")[:64]}"')
    said = str(found.get("apiVersion") or "/")[:64], str(found.get("kind") or "")[:64]
    if said != (API_VERSION, KIND):
        wanted = f"{API_VERSION}, Kind={KIND}"
        raise AnswerError(f"{_INVALID}: expected webhook response of {wanted}, got {said[0]}, Kind={said[1]}")
    return response


def _patch(encoded: Any, patch_type: Any) -> list[Any]:
    if patch_type != "JSONPatch":
        raise AnswerError(f'unsupported patch type "{str(patch_type)[:64]}"')
    try:
        operations = parse(base64.b64decode(encoded, validate=True))  # bounded as what a client sends
    except (binascii.Error, ValueError, TypeError, StatusError) as error:
        raise AnswerError(f"received undecodable patch in webhook response: {error}") from error
    if not isinstance(operations, list):
        raise AnswerError("received undecodable patch in webhook response: it is no list of operations")
    return operations


def _split(api_version: str) -> Object:
    group, _, version = api_version.rpartition("/")
    return {"group": group, "version": version}
