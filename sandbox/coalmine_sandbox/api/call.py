"""One write as the verbs see it: to what, by whom, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from coalmine.kube.resources import Object
from coalmine_sandbox.api.admission.attributes import Attributes, Operation
from coalmine_sandbox.api.errors import StatusError, invalid
from coalmine_sandbox.api.http import Request
from coalmine_sandbox.api.kinds import Kind
from coalmine_sandbox.api.strategy.faults import not_supported, required
from coalmine_sandbox.api.user import User

_VALIDATIONS: Final = ("Ignore", "Strict", "Warn")
#: metav1/validation's FieldManagerMaxLength.
_LONGEST_MANAGER: Final = 128
APPLY: Final = "application/apply-patch+yaml"


@dataclass(slots=True)
class Call:
    """A write to one object or to its subresource; `namespace` is "" for what is cluster-scoped."""

    kind: Kind
    subresource: str
    namespace: str
    name: str
    user: User
    uid: str
    dry_run: bool = False
    manager: str = ""
    force: bool = False
    validation: str = "Warn"
    warnings: list[str] = field(default_factory=list)

    def options(self, kind: str) -> Object:
        """CreateOptions, UpdateOptions or PatchOptions, as admission shows them."""
        options: Object = {"kind": kind, "apiVersion": "meta.k8s.io/v1"}
        if self.dry_run:
            options["dryRun"] = ["All"]
        if self.manager:
            options["fieldManager"] = self.manager
        if self.validation != "Warn":
            options["fieldValidation"] = self.validation
        return options

    def attributes(
        self, operation: Operation, obj: Object | None, old: Object | None, options: Object | None = None
    ) -> Attributes:
        """What admission is asked about."""
        names: dict[Operation, str] = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
        namespace = self.namespace
        name = self.name
        if not name and obj is not None:
            name = str(obj["metadata"].get("name") or "")
        if self.kind.resource.kind == "Namespace" and not self.kind.group:
            namespace = name
        return Attributes(
            operation=operation,
            resource=self.kind.resource,
            subresource=self.subresource,
            namespace=namespace,
            name=name,
            object=obj,
            old=old,
            user=self.user,
            dry_run=self.dry_run,
            options=self.options(names[operation]) if options is None else options,
            uid=self.uid,
        )


def agent(user_agent: str) -> str:
    """The manager of who names none: the part of the User-Agent before its version."""
    return user_agent.partition("/")[0][:_LONGEST_MANAGER] or "unknown"


def call(request: Request, kind: Kind, subresource: str, namespace: str, name: str, uid: str) -> Call:
    """Read a write's options from its query. Raises StatusError (422)."""
    what = {"POST": "CreateOptions", "PUT": "UpdateOptions"}.get(request.method, "PatchOptions")
    faults = []
    dry_run = list(request.query.get("dryRun", ()))
    if dry_run not in ([], ["All"], [""]):
        faults.append(not_supported("dryRun", dry_run, ("All",)))
    validation = request.parameter("fieldValidation")
    if validation not in ("", *_VALIDATIONS):
        faults.append(not_supported("fieldValidation", validation, _VALIDATIONS))
    manager = request.parameter("fieldManager")
    applied = request.headers.get("content-type", "").partition(";")[0] == APPLY
    if applied and not manager:
        faults.append(required("fieldManager", "is required for apply patch"))
    if len(manager) > _LONGEST_MANAGER:
        faults.append(required("fieldManager", f"may not be more than {_LONGEST_MANAGER} bytes"))
    if faults:
        raise invalid(f"{what}.meta.k8s.io", "", faults)
    return Call(
        kind=kind,
        subresource=subresource,
        namespace=namespace,
        name=name,
        user=request.user,
        uid=uid,
        dry_run=dry_run == ["All"],
        manager=manager or agent(request.headers.get("user-agent", "")),
        force=request.flag("force"),
        validation=validation or "Warn",
    )


def names_match(obj: Object, call_: Call) -> None:
    """Give an object the request's name and namespace, if it says no others. Raises StatusError (400)."""
    from_body: Any = obj["metadata"].get("name")
    if call_.name and from_body != call_.name:
        raise StatusError(
            400,
            "BadRequest",
            f"the name of the object ({from_body or ''}) does not match the name on the URL ({call_.name})",
        )


def place(obj: Object, namespace: str) -> None:
    """Put the object into the request's namespace. Raises StatusError (400) when it says another one."""
    said = obj["metadata"].get("namespace")
    if said == namespace or (not said and not namespace):
        return
    metadata = dict(obj["metadata"])
    if not said:
        metadata["namespace"] = namespace
    elif not namespace:
        del metadata["namespace"]
    else:
        message = "the namespace of the provided object does not match the namespace sent on the request"
        raise StatusError(400, "BadRequest", message)
    obj["metadata"] = metadata
