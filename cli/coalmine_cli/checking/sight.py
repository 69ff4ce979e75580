"""A cluster as `check` sees it: objects that were read once, and what could not be read.

Pure. Rules: raw JSON as the API server sends it. What could not be read is no empty list: a `Listing` says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from coalmine.kube.resources import PODS, Object, Resource, annotations_of, labels_of, name_of, namespace_of
from coalmine.model.names import CANARY
from coalmine.model.strategy import is_off


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of one kind; with a `problem` they could not be read, and there may be any."""

    items: tuple[Object, ...] = ()
    problem: str = ""
    #: Filled when it is first asked for: a cluster has thousands of Deployments, and each asks.
    _grouped: dict[str, list[Object]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __iter__(self) -> Iterator[Object]:
        return iter(self.items)

    def of(self, namespace: str) -> list[Object]:
        """Those of one namespace."""
        if not self._grouped:
            for one in self.items:
                self._grouped.setdefault(namespace_of(one), []).append(one)
        return self._grouped.get(namespace, [])


NOTHING: Final = Listing()


@dataclass(frozen=True, slots=True)
class One:
    """One object that was asked for by name: it, or None when there is none; `problem` when that is not known."""

    object: Object | None = None
    problem: str = ""


class Tried(StrEnum):
    """What a server-side dry run of a Deployment with a bad annotation came to."""

    REFUSED = "refused"
    PASSED = "passed"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Probe:
    """What became of that dry run, and in which words."""

    tried: Tried
    message: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """A verb on a resource; "" is the whole cluster, or no name in particular. `user` "" is who asks."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    user: str = ""

    @property
    def text(self) -> str:
        """As a sentence names it."""
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        group = f".{self.group}" if self.group else ""
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {what}{group}{named}" + (f" in {self.namespace}" if self.namespace else "")


@dataclass(frozen=True, slots=True)
class Sight:
    """All that was read. `namespaces` are those in scope; `now` is a Unix time.

    `rights` answers accesses: True, False, or None where nobody could say.
    """

    now: float
    version: Mapping[str, Any]
    groups: frozenset[str]
    namespaces: Listing
    crds: Listing
    rights: Mapping[Access, bool | None]
    registration: One = One()
    webhook: One = One()
    controller: One = One()
    lease: One = One()
    signing_key: One = One()
    certificates: One = One()
    endpoints: Listing = NOTHING
    probe: Probe = Probe(Tried.UNKNOWN, "it was not tried")
    system: One = One()
    lists: Mapping[Resource, Listing] = field(default_factory=dict)
    _pods: dict[tuple[str, str], list[Object]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, resource: Resource) -> Listing:
        """The objects of a kind in the namespaces in scope."""
        return self.lists.get(resource, Listing(problem="it was not asked for"))

    def pods_of(self, deployment: Object) -> list[Object]:
        """The pods that a Deployment's Services would reach: those that are not ending. Looked for once."""
        key = namespace_of(deployment), name_of(deployment)
        if key not in self._pods:
            selector = selector_of(deployment)
            self._pods[key] = [
                p
                for p in self.of(PODS).of(key[0])
                if matches(selector, labels_of(p))
                and not p["metadata"].get("deletionTimestamp")
                and (p.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            ]
        return self._pods[key]

    def namespace(self, name: str) -> Object | None:
        """A namespace in scope."""
        return next((n for n in self.namespaces if n["metadata"]["name"] == name), None)


def is_annotated(deployment: Object) -> bool:
    """Whether releases of it are to be canaries."""
    text = annotations_of(deployment).get(CANARY)
    return text is not None and not is_off(text)


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects `labels`; an empty one selects all, None nothing (metav1)."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions") or ())


def _holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = rule.get("key", ""), rule.get("values") or ()
    match rule.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def pod_labels(deployment: Object) -> dict[str, str]:
    """The labels of a Deployment's pods."""
    return labels_of({"metadata": deployment["spec"]["template"].get("metadata") or {}})


def selector_of(deployment: Object) -> Mapping[str, Any]:
    """Which pods are a Deployment's, canary pods included."""
    found: Mapping[str, Any] = deployment["spec"].get("selector") or {}
    return found
