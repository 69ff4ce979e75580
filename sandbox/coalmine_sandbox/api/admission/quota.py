"""ResourceQuota: what is made must fit into every quota of its namespace, and is counted as it is let in.

The quota controller counts again what is really there; until then `status.used` holds what admission has let in,
so that two requests in a row cannot both take what only one may have. A dry run is checked, and not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

from coalmine.kube.resources import PODS, Object, Resource
from coalmine.model.quantities import parse
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.admission import usage
from coalmine_sandbox.api.admission.attributes import Attributes, Reader
from coalmine_sandbox.api.admission.matching import qualified
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.kinds import RESOURCE_QUOTAS

#: Stores a changed object.
Put = Callable[[Resource, Object], Object]


def charge(attributes: Attributes, reader: Reader, put: Put) -> None:
    """Count a new object. Raises StatusError (403) where it does not fit."""
    obj = attributes.object
    if attributes.operation != "CREATE" or attributes.subresource or obj is None or not attributes.namespace:
        return
    changes = []
    for quota in reader.objects(RESOURCE_QUOTAS, attributes.namespace):
        if usage.in_scope(attributes.resource, obj, quota["spec"].get("scopes") or ()):
            changes.append((quota, _needed(attributes, obj, quota)))
    for quota, needed in changes:
        if needed and not attributes.dry_run:
            used, hard = quota["status"]["used"], quota["status"]["hard"]
            now = {name: usage.total(str(used[name]), n, like=str(hard[name])) for name, n in needed.items()}
            put(RESOURCE_QUOTAS, {**quota, "status": {**quota["status"], "used": {**used, **now}}})


def _needed(attributes: Attributes, obj: Object, quota: Object) -> dict[str, Fraction]:
    """What the object takes of a quota. Raises StatusError (403)."""
    name = quota["metadata"]["name"]
    hard: Object = quota["spec"].get("hard") or {}
    if attributes.resource == PODS and (missing := usage.unsaid(obj["spec"], hard)):
        said = "; ".join(f"{what} for: {','.join(containers)}" for what, containers in missing.items())
        raise _refused(attributes, f"failed quota: {name}: must specify {said}")
    needed = {what: n for what, n in usage.of(attributes.resource, obj).items() if what in hard and n}
    status = quota.get("status") or {}
    limits, used = status.get("hard") or {}, status.get("used") or {}
    if unknown := sorted(what for what in needed if what not in limits or what not in used):
        raise _refused(attributes, f"status unknown for quota: {name}, resources: {','.join(unknown)}")
    over = sorted(what for what, n in needed.items() if parse(str(used[what])) + n > parse(str(limits[what])))
    if over:
        requested = {what: usage.spelled(needed[what], binary=str(limits[what]).endswith("i")) for what in over}
        said = f"requested: {_list(over, requested)}, used: {_list(over, used)}, limited: {_list(over, limits)}"
        raise _refused(attributes, f"exceeded quota: {name}, {said}")
    return needed


def _list(names: Iterable[str], quantities: Object) -> str:
    return ",".join(f"{name}={quantities[name]}" for name in names)


def _refused(attributes: Attributes, why: str) -> StatusError:
    return errors.forbidden(qualified(attributes), attributes.name, why)
