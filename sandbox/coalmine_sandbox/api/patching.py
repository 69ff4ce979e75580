"""Patches: what a PATCH's body makes of an object, in each of the four languages.

A merge, JSON or strategic patch is made of the object as it is now, and again when somebody else wrote meanwhile,
unless it names the version that it is about. An apply may create.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coalmine.kube.resources import Object
from coalmine.kube.verbs import APPLY, JSON_PATCH, MERGE, STRATEGIC
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.body import complete, decoded, node_of, parse_noting, strict
from coalmine_sandbox.api.call import Call, names_match
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.kinds import Kind, has_status
from coalmine_sandbox.api.merge import apply, patches
from coalmine_sandbox.api.merge.strategic_patch import strategic
from coalmine_sandbox.api.schema import check, decoding
from coalmine_sandbox.api.schema.node import Node
from coalmine_sandbox.api.store import encoded
from coalmine_sandbox.api.strategy.faults import invalid
from coalmine_sandbox.api.times import timestamp
from coalmine_sandbox.api.writing import Writer


def languages(kind: Kind) -> tuple[str, ...]:
    """The media types of the patches that a kind takes."""
    return (JSON_PATCH, MERGE, APPLY) if kind.custom is not None else (JSON_PATCH, MERGE, STRATEGIC, APPLY)


def language(kind: Kind, content_type: str) -> str:
    """The patch's language. Raises StatusError (415)."""
    media = content_type.partition(";")[0].strip()
    if media not in languages(kind):
        raise errors.unsupported_media_type(media, languages(kind))
    return media


def patched(media: str, node: Node, current: Object, body: Any) -> Object:
    """What a merge, JSON or strategic patch makes of a value. Raises StatusError (400, 422)."""
    if media == JSON_PATCH:
        made = patches.json_patch(current, body)
    else:
        if not isinstance(body, dict):
            raise errors.bad_request("json: cannot unmarshal array into Go value of type map[string]interface {}")
        made = patches.merge_patch(current, body) if media == MERGE else strategic(node, current, body)
    return made


def change(
    call: Call, media: str, body: bytes, writer: Writer, clock: Callable[[], float]
) -> Callable[[Object | None], Object]:
    """What the request makes of the object as it is. Raises StatusError; so does the answer when it is called."""
    value, twice = parse_noting(body, "application/yaml" if media == APPLY and not _is_json(body) else "")
    if media == APPLY:
        return _applied(call, value, twice, clock)

    def changed(current: Object | None) -> Object:
        if current is None:
            raise errors.not_found(call.kind.qualified, call.name)
        node = node_of(call.kind)
        call.warnings.clear()  # told by an attempt that came to nothing
        made = patched(media, node, current, value)
        new = _decoded(call, media, made, twice, value)
        names_match(new, call)
        return writer.managed(call, current, new)

    return changed


def _is_json(body: bytes) -> bool:
    return body.lstrip()[:1] == b"{"


def _decoded(call: Call, media: str, made: Object, twice: list[str], sent: Any) -> Object:
    """The patched object as its kind's types hold it. Raises StatusError (422)."""
    kind = call.kind
    node = node_of(kind)
    made.setdefault("metadata", {})
    if not isinstance(made["metadata"], dict) or (made.get("apiVersion"), made.get("kind")) != (
        kind.resource.api_version,
        kind.resource.kind,
    ):
        raise errors.bad_request("a patch may not change what an object is")
    problem = None
    if kind.custom is None:
        problem = decoding.refusal(node, kind.resource.api_version, kind.resource.kind, made)
    if problem is not None:
        raise errors.invalid("", "", [invalid("patch", _shown(media, made, sent), problem.message)])
    unknown = check.unknown(node, made)
    try:
        strict(kind, call.validation, call.warnings, unknown=unknown, twice=twice)
    except StatusError as error:
        said = error.message.rpartition("cannot be handled as a ")[2].partition(": ")[2]
        raise errors.invalid("", "", [invalid("patch", _shown(media, made, sent), said)]) from error
    return complete(kind, made)


def _shown(media: str, made: Object, sent: Any) -> str:
    """What an error shows of a patch: a strategic one as Go prints it, of others what they made."""
    return _go(sent) if media == STRATEGIC else encoded(made).decode()


def _go(value: Any) -> str:
    """A value as Go's %v prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(_go(item) for item in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _applied(call: Call, value: Any, twice: list[str], clock: Callable[[], float]) -> Callable[[Object | None], Object]:
    if not isinstance(value, dict):
        raise errors.bad_request("error decoding YAML: the applied configuration is no object")
    resource = call.kind.resource
    for field, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if not value.get(field):
            raise errors.bad_request(f"Object '{field}' is missing in the applied configuration")
        if value[field] != wanted:
            raise errors.bad_request(f"the {field} in the data ({value[field]}) does not match the expected ({wanted})")
    about = value.get("metadata")
    if about is not None and not isinstance(about, dict):
        raise errors.bad_request("metadata must be an object")
    about = dict(about or {})
    about.setdefault("name", call.name)
    if call.namespace:
        about.setdefault("namespace", call.namespace)
    sent = {**value, "metadata": about}

    def changed(current: Object | None) -> Object:
        call.warnings.clear()
        node = node_of(call.kind)
        # checked as a whole object would be: types, unknown fields
        decoded(call.kind, sent, call.validation, call.warnings, twice)
        names_match(sent, call)
        made = apply.apply(
            node,
            current,
            check.prune(node, sent),
            manager=call.manager,
            force=call.force,
            subresource=call.subresource,
            time=timestamp(clock()),
            status=has_status(call.kind),
        )
        return complete(call.kind, made)

    return changed
