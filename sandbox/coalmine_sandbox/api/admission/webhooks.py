"""Mutating webhooks, asked one after the other (apiserver's mutating dispatcher).

Rules:
- In the order of their configurations' names, then of the list; each is shown what the ones before it made.
- A webhook with ``reinvocationPolicy: IfNeeded`` is asked once more when a later one, or a built-in plugin, changed
  the object after it; one that was not asked in the first round is not asked in the second. oldObject never changes.
- failurePolicy is about a webhook that cannot be asked or says nonsense, not about one that refuses.
- Nobody's managedFields change: what a webhook sets is owned by nobody.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from coalmine.kube.resources import MUTATING_WEBHOOKS, Object, Resource, name_of
from coalmine_sandbox.api import defaults, errors
from coalmine_sandbox.api.admission import reviews
from coalmine_sandbox.api.admission.attributes import Attributes, Reader
from coalmine_sandbox.api.admission.calling import Caller, CallError
from coalmine_sandbox.api.admission.matching import is_asked, is_exempt
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.merge.patches import json_patch
from coalmine_sandbox.api.schema import builtin, check, decoding

_log = logging.getLogger(__name__)

_NO_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")
#: Characters of somebody else's text in an error.
_SHOWN: Final = 256


class _FailedError(Exception):
    """A webhook could not be asked, or gave no answer that can be used."""


@dataclass(slots=True)
class Rounds:
    """What the second round needs to know of the first."""

    second: bool = False
    #: Something was changed, so that there is a second round.
    again: bool = False
    warnings: list[str] = field(default_factory=list)
    #: What the last round ended with.
    left: Object | None = None
    _asked: set[str] = field(default_factory=set)
    _to_ask_again: set[str] = field(default_factory=set)

    def changed(self) -> None:
        """The object was changed after these were asked."""
        self._to_ask_again |= self._asked
        self._asked = set()

    def asked(self, identity: str) -> None:
        self._asked.add(identity)

    def skips(self, identity: str) -> bool:
        return self.second and identity not in self._to_ask_again


class Webhooks:
    """The MutatingWebhookConfigurations as a plugin."""

    def __init__(self, reader: Reader, caller: Caller, chance: random.Random) -> None:
        self._reader = reader
        self._caller = caller
        self._chance = chance

    async def admit(self, attributes: Attributes, rounds: Rounds) -> Object | None:
        """One round; the object as it is then. Raises StatusError."""
        if is_exempt(attributes):
            return attributes.object
        if rounds.second and rounds.left != attributes.object:
            rounds.changed()
        for identity, webhook in self._all():
            if not is_asked(webhook, attributes, self._reader) or rounds.skips(identity):
                continue
            try:
                after = await self._ask(webhook, attributes, rounds.warnings)
            except _FailedError as error:
                text = f'failed calling webhook "{webhook["name"]}": {error}'
                if webhook.get("failurePolicy") != "Ignore":
                    raise _internal(text) from error
                _log.warning("%s; ignored, as its failurePolicy says", text)
                after = attributes.object
            if after != attributes.object:
                attributes = dataclasses.replace(attributes, object=after)
                rounds.changed()
                rounds.again = True
            if webhook.get("reinvocationPolicy") == "IfNeeded":
                rounds.asked(identity)
        rounds.left = attributes.object
        return attributes.object

    def _all(self) -> Iterator[tuple[str, Object]]:
        for configuration in sorted(self._reader.objects(MUTATING_WEBHOOKS), key=name_of):
            for number, webhook in enumerate(configuration.get("webhooks") or ()):
                yield f"{name_of(configuration)}/{number}", webhook

    async def _ask(self, webhook: Object, attributes: Attributes, warnings: list[str]) -> Object | None:
        """The object as the webhook wants it. Raises _FailedError, or StatusError where it refuses."""
        name = str(webhook["name"])
        if attributes.dry_run and webhook.get("sideEffects") not in _NO_SIDE_EFFECTS:
            raise errors.bad_request(f'admission webhook "{name}" does not support dry run')
        if "v1" not in (webhook.get("admissionReviewVersions") or ()):
            raise _FailedError("could not create admission objects: this server knows AdmissionReview v1 only")
        uid = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        seconds = int(webhook.get("timeoutSeconds") or 10)
        try:
            body = await self._caller(webhook["clientConfig"], reviews.review(attributes, uid), seconds)
            answer = reviews.answer(body, uid)
        except CallError as error:
            raise _FailedError(f"failed to call webhook: {error}") from error
        except reviews.AnswerError as error:
            raise _FailedError(str(error)) from error
        warnings += answer.warnings
        if not answer.allowed:
            raise reviews.refusal(name, answer.status)
        if not answer.patch:
            return attributes.object
        if attributes.object is None:
            raise _internal(f'admission webhook "{name}" attempted to modify the object, which is not supported')
        return self._patched(attributes.resource, attributes.object, answer.patch)

    def _patched(self, resource: Resource, obj: Object, operations: list[Any]) -> Object:
        """The patched object as decoding leaves it; the same one where nothing changed. Raises StatusError."""
        try:
            made = json_patch(obj, operations)
        except StatusError as error:
            raise _internal(_misfit(obj, operations)) from error
        if obj.get("kind") == resource.kind and (node := builtin.structure(resource)) is not None:
            refusal = decoding.refusal(node, resource.api_version, resource.kind, made)
            if refusal is not None:
                raise _internal(
                    refusal.message.partition(f" as a {resource.kind}: ")[2] or refusal.message
                ) from refusal
            made = defaults.complete(resource, check.prune(node, made))
        return obj if made == obj else made


def _misfit(obj: Object, operations: list[Any]) -> str:
    """Which operation does not fit, and why: without the object, which may be a Secret."""
    for operation in operations:
        try:
            obj = json_patch(obj, [operation])
        except StatusError:
            said = operation if isinstance(operation, dict) else {}
            what, path = str(said.get("op"))[:_SHOWN], str(said.get("path"))[:_SHOWN]
            if what == "test":
                return f"testing value {path} failed: test failed"
            return f'{what} operation does not apply: doc is missing path: "{path}": missing value'
    return "the patch has too many operations"


def _internal(message: str) -> StatusError:
    """500, told as a cause too, as apierrors.NewInternalError does."""
    error = errors.internal(message)
    error.details = {"causes": [{"message": message}]}
    return error
