"""All manifests together: which are ours, in which order they are judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from coalmine.kube.resources import annotations_of
from coalmine.model.names import (
    ANALYSIS_RUN,
    ANALYSIS_TEMPLATE,
    API_VERSION,
    CANARY,
    CLUSTER_ANALYSIS_TEMPLATE,
    GROUP,
    ROLLOUT,
)
from coalmine.model.strategy import is_off
from coalmine_cli.linting import deployments, services, shape, templates
from coalmine_cli.linting.findings import Finding, Severity, found
from coalmine_cli.linting.manifests import Fault, Manifest

_ARGO: Final = "argoproj.io/"
_TEMPLATES: Final = (ANALYSIS_TEMPLATE, CLUSTER_ANALYSIS_TEMPLATE)
_SHAPES: Final[dict[tuple[str, str], Any]] = {
    ("apps/v1", "Deployment"): shape.DEPLOYMENT,
    ("v1", "Service"): shape.SERVICE,
    ("v1", "PersistentVolumeClaim"): shape.CLAIM,
    **{(API_VERSION, kind): shape.NAMED for kind in (*_TEMPLATES, ANALYSIS_RUN)},
}


class Bench:
    """The manifests of one call."""

    def __init__(self, read: Iterable[Manifest | Fault]) -> None:
        self._findings: list[Finding] = []
        self._kinds: dict[str, list[Manifest]] = {}
        self._misshapen = 0
        for one in read:
            if isinstance(one, Fault):
                self._findings.append(Finding(one.file, one.line, Severity.ERROR, one.message))
            else:
                self._sort_in(one)

    @property
    def checked(self) -> int:
        """How many of them are ours."""
        kinds = (*_TEMPLATES, ANALYSIS_RUN)
        return self._misshapen + len(self._annotated()) + sum(len(self._of(kind)) for kind in kinds)

    def _annotated(self) -> list[Manifest]:
        return [d for d in self._of("Deployment") if CANARY in annotations_of(d.object)]

    def findings(self) -> list[Finding]:
        """Everything that was found, in the order of files and lines."""
        broken: set[int] = set()
        known = [t for kind in _TEMPLATES for t in self._of(kind)]
        for template in [*known, *self._of(ANALYSIS_RUN)]:
            errors = list(templates.check(template))
            broken |= {id(template)} if errors else set()
            self._findings += errors
        claims = {
            str(c.object["metadata"].get("name")): (c.object.get("spec") or {}).get("accessModes") or ()
            for c in self._of("PersistentVolumeClaim")
        }
        watched = [d for d in self._annotated() if not is_off(annotations_of(d.object)[CANARY])]
        for deployment in self._of("Deployment"):
            self._findings += deployments.check(deployment, claims)
        for deployment in watched:
            strategy = deployments.strategy_of(deployment)
            if strategy is not None and strategy.analysis is not None:
                self._findings += templates.check_named(deployment, strategy.analysis, known, broken)
        for service in self._of("Service"):
            self._findings += services.check(service, watched)
        return sorted(set(self._findings), key=lambda f: (f.file, f.line, f.severity, f.message))

    def _of(self, kind: str) -> list[Manifest]:
        return self._kinds.get(kind, [])

    def _sort_in(self, manifest: Manifest) -> None:
        version, kind = str(manifest.object.get("apiVersion", "")), str(manifest.object["kind"])
        self._findings += _foreign(manifest, version, kind)
        wanted = _SHAPES.get((version, kind))
        if wanted is None:
            return
        if kind in ("Deployment", "Service", "PersistentVolumeClaim"):
            manifest = replace(manifest, object=shape.without_nulls(manifest.object))
        wrong = list(shape.faults(wanted, manifest.object))
        ours = kind not in ("Deployment", "Service", "PersistentVolumeClaim") or _mentions_us(manifest)
        if wrong and ours:
            self._findings += [found(manifest, Severity.ERROR, e.path, str(e)) for e in wrong]
            self._misshapen += 1
        if not wrong:
            self._kinds.setdefault(kind, []).append(manifest)


def _mentions_us(manifest: Manifest) -> bool:
    """Whether it is annotated, were it but well formed."""
    metadata = manifest.object.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    return isinstance(annotations, dict) and CANARY in annotations


def _foreign(manifest: Manifest, version: str, kind: str) -> Iterator[Finding]:
    """What looks like ours and is not read by us."""
    if version.startswith(_ARGO) and kind in _TEMPLATES:
        message = f"apiVersion: {version} is Argo Rollouts' and not read here; write {API_VERSION}"
        yield found(manifest, Severity.WARNING, "apiVersion", message)
    elif version.startswith(_ARGO) and kind == "Rollout":
        message = f"kind: Argo Rollouts' Rollout is not read here; annotate a Deployment: strategy.canary is {CANARY}"
        yield found(manifest, Severity.WARNING, "kind", message)
    elif version == API_VERSION and kind == ROLLOUT:
        message = f"kind: a Rollout is made by the controller; remove it, and annotate its Deployment with {CANARY}"
        yield found(manifest, Severity.ERROR, "kind", message)
    elif version.startswith(f"{GROUP}/") and version != API_VERSION:
        message = f"apiVersion: {version[:60]} is unknown; write {API_VERSION}"
        yield found(manifest, Severity.ERROR, "apiVersion", message)
    elif (version, kind) != ("apps/v1", "Deployment") and _mentions_us(manifest):
        where = f"metadata.annotations[{CANARY}]"
        message = (
            f"{where}: does nothing on a {kind[:60]} of {version[:60]}; only Deployments of apps/v1 are rolled out"
        )
        yield found(manifest, Severity.WARNING, where, message)
