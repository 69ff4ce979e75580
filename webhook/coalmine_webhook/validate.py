"""Rule 6: what no canary can stand on is refused, with the field and what to write.

PURE: the access modes of the claims that the template mounts are not in the review; whoever
calls may look them up and pass them in (`claims_of` says which). A claim that is unknown passes:
the check is a service to the user, and an API server that is slow must not refuse his release.

A generic ephemeral volume is not refused whatever its access mode: each pod gets a claim of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from coalmine.kube.resources import Object, annotations_of
from coalmine.model.errors import SpecError
from coalmine.model.names import (
    CANARY,
    KEYS_VOLUME,
    PROTOCOL,
    PROXY,
    SIDECAR_CONTAINER,
    STATE_VOLUME,
    USER_ANNOTATIONS,
)
from coalmine.model.reasons import Reason, say
from coalmine.model.route_steps import SetHeaderRoute, SetMirrorRoute
from coalmine.model.strategy import Strategy, parse_strategy
from coalmine_webhook.facts import Facts, Mode
from coalmine_webhook.fitness import obstacle
from coalmine_webhook.ports import HTTP, Options, choose_port, free_pair, read_options
from coalmine_webhook.review import UNPROCESSABLE, Refused

#: Access modes by the name of the claim.
Claims = Mapping[str, Sequence[str]]
NO_CLAIMS: Final[Claims] = {}
#: Any of these lets several pods on several nodes use the claim.
_SHARED: Final = frozenset({"ReadWriteMany", "ReadOnlyMany"})


def is_due(deployment: Object, new: Facts, old_deployment: Object | None, old: Facts | None) -> bool:
    """Whether there is something that has not passed before.

    What stands already passes again unread (as the API server's own validation does it): a rule
    that a later version of ours adds must not block a scale-down or a label.
    """
    if new.mode is not Mode.ON:
        return False
    if old is None or old_deployment is None or old.mode is not Mode.ON or not old.stamped:
        return True
    before, now = annotations_of(old_deployment), annotations_of(deployment)
    if any(before.get(key) != now.get(key) for key in USER_ANNOTATIONS):
        return True
    spec, old_spec = deployment.get("spec") or {}, old_deployment.get("spec") or {}
    pods, old_pods = (t.get("spec") for t in (new.template, old.template))
    return pods != old_pods or any(spec.get(key) != old_spec.get(key) for key in ("strategy", "selector"))


def check(deployment: Object, new: Facts, claims: Claims = NO_CLAIMS) -> Strategy:
    """The strategy of an annotated Deployment that a canary can stand on. Raises Refused."""
    spec: Mapping[str, Any] = deployment.get("spec") or {}
    try:
        strategy = parse_strategy(new.canary or "")
        options = read_options(annotations_of(deployment))
        _check_protocol(strategy, options)
    except SpecError as error:
        raise Refused(Reason.BAD_ANNOTATION, code=UNPROCESSABLE, error=error) from error
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        raise Refused(Reason.RECREATE, code=UNPROCESSABLE)
    if _matches_nothing_labelled(spec.get("selector") or {}):
        raise Refused(Reason.SELECTOR_TOO_WIDE, code=UNPROCESSABLE)
    _check_pods(new.template.get("spec") or {}, options.port, claims)
    return strategy


def _check_protocol(strategy: Strategy, options: Options) -> None:
    """Whatever looks at requests needs some that can be read. Raises SpecError."""
    if options.protocol == HTTP:
        return
    http = f'write "http" in the annotation {PROTOCOL}'
    for i, step in enumerate(strategy.steps):
        if isinstance(step, SetHeaderRoute | SetMirrorRoute):
            path = f"metadata.annotations[{CANARY}].steps[{i}]"
            raise SpecError(
                path, f"routes need HTTP, and {PROTOCOL} is {options.protocol}", f"remove the step, or {http}"
            )
    if options.settings.affinity is not None:
        path = f"metadata.annotations[{PROXY}].affinity"
        raise SpecError(path, f"a cookie needs HTTP, and {PROTOCOL} is {options.protocol}", f"remove it, or {http}")


def _check_pods(pods: Mapping[str, Any], port: str | None, claims: Claims) -> None:
    unfit = obstacle(pods)
    if unfit in (Reason.SKIP_HOST_NETWORK, Reason.SKIP_WINDOWS):
        raise Refused(Reason.NOT_INJECTABLE, code=UNPROCESSABLE, why=f"spec.template.spec.{say(unfit)}")
    containers = [*(pods.get("containers") or ()), *(pods.get("initContainers") or ())]
    if any(c.get("name") == SIDECAR_CONTAINER for c in containers):
        why = f"spec.template.spec has a container named {SIDECAR_CONTAINER}, which injection adds by itself; remove it"
        raise Refused(Reason.NOT_INJECTABLE, code=UNPROCESSABLE, why=why)
    if unfit is not None:
        why = f"spec.template.spec.volumes: {STATE_VOLUME} and {KEYS_VOLUME} are the sidecar's; take other names"
        raise Refused(Reason.NOT_INJECTABLE, code=UNPROCESSABLE, why=why)
    try:
        choose_port(pods, port)
        free_pair(pods)
    except SpecError as error:
        raise Refused(Reason.NOT_INJECTABLE, code=UNPROCESSABLE, why=error) from error
    for index, volume in enumerate(pods.get("volumes") or ()):
        name = _claim(volume)
        modes = claims.get(name, ()) if name else ()
        if modes and not _SHARED & set(modes):
            raise Refused(Reason.READ_WRITE_ONCE, code=UNPROCESSABLE, index=index, claim=name)


def claims_of(template: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the claims that the pods share, in order."""
    volumes = (template.get("spec") or {}).get("volumes") or ()
    return tuple(dict.fromkeys(name for name in map(_claim, volumes) if name))


def _claim(volume: Mapping[str, Any]) -> str:
    return str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")


def _matches_nothing_labelled(selector: Mapping[str, Any]) -> bool:
    """Whether the selector matches an object without labels (metav1.LabelSelectorAsSelector)."""
    if selector.get("matchLabels"):
        return False
    expressions = selector.get("matchExpressions") or ()
    return all(e.get("operator") in ("NotIn", "DoesNotExist") for e in expressions)
