"""An annotated Deployment, judged by the webhook's own code.

Rules: the Deployment is reviewed as one that is created. The webhook ends at the first thing that it refuses; here
that is mended in a copy, which is reviewed again, so that one run tells all. The words are the
webhook's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from coalmine.kube.resources import Object
from coalmine.model.errors import SpecError
from coalmine.model.names import CANARY, OWN_ANNOTATIONS, SIDECAR_CONTAINER, USER_ANNOTATIONS
from coalmine.model.reasons import Reason
from coalmine.model.strategy import Strategy, is_off, parse_strategy
from coalmine_cli.linting.findings import Finding, Severity, found
from coalmine_cli.linting.manifests import Manifest
from coalmine_cli.linting.positions import path_in, tokens
from coalmine_webhook.deployment import decide
from coalmine_webhook.review import Allowed, Denied, Errored, Patched, Review
from coalmine_webhook.validate import Claims

#: More faults than anybody mends in one go.
_MOST: Final = 100
_ANNOTATIONS: Final = "metadata.annotations"
_STRATEGY: Final = f"{_ANNOTATIONS}[{CANARY}]"


def check(manifest: Manifest, claims: Claims) -> Iterator[Finding]:
    """What admission would refuse, and what it would warn of. The manifest has the shape of a Deployment."""
    annotations = manifest.object["metadata"].get("annotations") or {}
    yield from _keys(manifest, annotations)
    asked = copy.deepcopy(manifest.object)
    seen: set[str] = set()
    for _ in range(_MOST):
        outcome = decide(_review(asked), claims)
        if isinstance(outcome, Denied) and outcome.message not in seen:
            seen.add(outcome.message)
            yield found(manifest, Severity.ERROR, _path(outcome), outcome.message)
            if not _mended(asked, outcome):
                return
        else:
            break
    if isinstance(outcome, Errored):  # decide has no such answer; the server around it has
        yield found(manifest, Severity.ERROR, "", outcome.message)
    if isinstance(outcome, Allowed | Patched):
        for told in outcome.notices:
            yield found(manifest, Severity.WARNING, path_in(told.text), told.text)


def strategy_of(manifest: Manifest) -> Strategy | None:
    """The strategy of a Deployment that has a valid one."""
    text = (manifest.object["metadata"].get("annotations") or {}).get(CANARY)
    if text is None or is_off(text):
        return None
    try:
        return parse_strategy(text)
    except SpecError:
        return None


def _review(deployment: Object) -> Review:
    metadata = deployment["metadata"]
    name = str(metadata.get("name") or metadata.get("generateName") or "")
    return Review("lint", "CREATE", "", str(metadata.get("namespace") or ""), name, "", True, deployment, None)


def _keys(manifest: Manifest, annotations: Mapping[str, str]) -> Iterator[Finding]:
    prefix = CANARY.partition("/")[0] + "/"
    for key in annotations:
        where = f"{_ANNOTATIONS}[{key}]"
        if key in OWN_ANNOTATIONS:
            message = f"{where}: is set by Coalmine alone, what stands here is dropped; remove it"
            yield found(manifest, Severity.WARNING, where, message)
        elif key.startswith(prefix) and key not in USER_ANNOTATIONS:
            message = f"{where}: is unknown; known here: {', '.join(USER_ANNOTATIONS)}"
            yield found(manifest, Severity.WARNING, where, message)
    inner = ((manifest.object["spec"]["template"].get("metadata") or {}).get("annotations") or {}).keys()
    for key in sorted(inner & set(USER_ANNOTATIONS)):
        where = f"spec.template.metadata.annotations[{key}]"
        message = f"{where}: does nothing in the pod template; write it in metadata.annotations of the Deployment"
        yield found(manifest, Severity.WARNING, where, message)


def _path(denied: Denied) -> str:
    if denied.reason is Reason.RECREATE:
        return "spec.strategy.type"
    return path_in(denied.message)


def _mended(deployment: Object, denied: Denied) -> bool:
    """Whether what was refused could be taken out of `deployment`."""
    spec, pods = deployment["spec"], deployment["spec"]["template"]["spec"]
    match denied.reason:
        case Reason.BAD_ANNOTATION:
            return _mend_annotation(deployment["metadata"]["annotations"], path_in(denied.message))
        case Reason.RECREATE:
            del spec["strategy"]
        case Reason.SELECTOR_TOO_WIDE:
            spec["selector"] = {"matchLabels": {"app": "mended"}}
        case Reason.NOT_INJECTABLE if pods.get("hostNetwork"):
            del pods["hostNetwork"]
        case Reason.NOT_INJECTABLE if SIDECAR_CONTAINER in denied.message:
            for key in ("containers", "initContainers"):
                pods[key] = [c for c in pods.get(key) or () if c.get("name") != SIDECAR_CONTAINER]
        case Reason.NOT_INJECTABLE:
            pods["containers"] = [{"name": "mended", "ports": [{"name": "web", "containerPort": 80}]}]
            pods.pop("initContainers", None)
            for key in USER_ANNOTATIONS[1:]:
                deployment["metadata"]["annotations"].pop(key, None)
        case Reason.READ_WRITE_ONCE:
            where = tokens(path_in(denied.message))
            pods["volumes"][where[-1]] = {"name": "mended"}
        case _:
            return False
    return True


def _mend_annotation(annotations: dict[str, str], path: str) -> bool:
    if not path.startswith(_STRATEGY):
        key = next((k for k in USER_ANNOTATIONS if path.startswith(f"{_ANNOTATIONS}[{k}]")), None)
        return key is not None and annotations.pop(key, None) is not None
    where = tokens(path[len(_STRATEGY) :])
    if not where:  # the text as a whole
        annotations[CANARY] = "{}"
        return True
    # it was read as YAML before, without aliases: only what it says was refused
    raw = yaml.safe_load(annotations[CANARY])
    if not _mend_field(raw, where):
        return False
    annotations[CANARY] = yaml.safe_dump(raw)
    return True


#: What takes the place of a bad entry of a list, whose other entries must keep their numbers.
_HARMLESS: Final[Mapping[str, Any]] = {
    "steps": lambda _: {"pause": {}},
    "managedRoutes": lambda i: {"name": f"mended-{i}"},
    "templates": lambda _: {"templateName": "mended"},
    "args": lambda i: {"name": f"mended-{i}", "value": ""},
}


def _mend_field(raw: Any, where: list[str | int]) -> bool:
    for at, token in enumerate(where):
        following = where[at + 1] if at + 1 < len(where) else None
        if not isinstance(raw, dict) or token not in raw:
            return False
        if isinstance(following, int) and token in _HARMLESS and following < len(raw[token]):
            raw[token][following] = _HARMLESS[str(token)](following)
            return True
        if following is None or (following not in raw[token] and not isinstance(following, int)):
            del raw[token]
            return True
        raw = raw[token]
    return False
