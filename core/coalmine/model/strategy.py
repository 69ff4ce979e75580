"""The strategy in the annotation ``coalmine.dev/canary``: Argo Rollouts' ``strategy.canary``.

Rules: it is parsed once, into values that cannot be invalid; every error names the field's path
and says what to write. Fields of Argo's that make no sense without its pods-for-weight split
(``maxSurge``, ``canaryService`` ...) are refused rather than ignored: a
strategy that is copied over means here what it meant there, or it is not accepted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from coalmine.model import spec
from coalmine.model.durations import parse_pause
from coalmine.model.errors import SpecError, shown
from coalmine.model.names import CANARY, CANARY_AUTO, CANARY_OFF
from coalmine.model.route_steps import (
    NO_ROUTES,
    InForce,
    SetHeaderRoute,
    SetMirrorRoute,
    in_force,
    read_header_route,
    read_managed,
    read_mirror_route,
)
from coalmine.model.routes import MAX_ROUTES
from coalmine.model.weights import Weight
from coalmine.model.yaml_text import load

MAX_STEPS: Final = 200
_LONGEST_DELAY: Final = 7 * 86_400
#: Texts that are known with their meaning: the webhook meets the same few again and again, and reading YAML is the
#: greater part of a review. One that is as long as a text may be (`yaml_text.MAX_TEXT`) takes half a megabyte with what
#: it says, a usual one 2 KiB; texts that are refused are not kept.
_KNOWN_TEXTS: Final = 64


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Send this share of the requests to the canary."""

    weight: Weight

    def __str__(self) -> str:
        return f"setWeight {self.weight}"


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait `duration` seconds, or for a person when it is None."""

    duration: float | None

    def __str__(self) -> str:
        return "pause" if self.duration is None else f"pause {self.duration:g}s"


Step = SetWeight | Pause | SetHeaderRoute | SetMirrorRoute


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument handed to analysis templates: a literal, or ``podTemplateHashValue``."""

    name: str
    value: str | None = None
    pod_template_hash: str | None = None  # "Stable" or "Latest"


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """An AnalysisTemplate by name, or a ClusterAnalysisTemplate."""

    name: str
    cluster_scope: bool = False


@dataclass(frozen=True, slots=True)
class BackgroundAnalysis:
    """Analysis that runs beside the steps, from `starting_step` on."""

    templates: tuple[TemplateRef, ...]
    args: tuple[Argument, ...] = ()
    starting_step: int = 0


@dataclass(frozen=True, slots=True)
class Strategy:
    """A valid canary strategy. Delays are in seconds."""

    steps: tuple[Step, ...] = ()
    analysis: BackgroundAnalysis | None = None
    scale_down_delay: float = 30.0
    #: None keeps the pods of an aborted canary until the next release (Argo's 0).
    abort_scale_down_delay: float | None = 30.0
    progress_deadline_abort: bool = True
    #: Names of the routes that steps may set, in the order in which these are tried.
    managed_routes: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Stands for the steps: an attempt that follows other ones must start again."""
        routes = [step for step in self.steps if isinstance(step, SetHeaderRoute | SetMirrorRoute)]
        # a route's text for people leaves out what tells some routes apart; the others' text stays as it
        # was, as it stands in the status of rollouts that are under way
        text = "; ".join(repr(step) if step in routes else str(step) for step in self.steps)
        used = {step.name for step in routes}
        if used:
            text += f"; managedRoutes {' '.join(name for name in self.managed_routes if name in used)}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def weight_at(self, index: int) -> Weight:
        """The weight that holds at step `index`: the last one set at or before it.

        Behind the last step it is 100 %, the implicit last one. Without any ``setWeight``
        before it, a step keeps 0 %.
        """
        if index >= len(self.steps):
            return Weight.FULL
        for step in reversed(self.steps[: index + 1]):
            if isinstance(step, SetWeight):
                return step.weight
        return Weight.ZERO

    def routes_at(self, index: int) -> InForce:
        """The routes in force at step `index`: what the steps up to it have set.

        Behind the last step those of the last one stay until 100 % is granted, which ends them all.
        """
        if not self.managed_routes or index < 0:
            return NO_ROUTES
        return in_force(self.steps[: index + 1], self.managed_routes)

    def pods_at(self, index: int, replicas: int) -> int:
        """Canary pods that step `index` needs of `replicas`: for its weight, for the copies that it sends, and one
        where a route leads to it."""
        return max(self.weight_at(index).of(replicas), self.pods_for_routes_at(index, replicas))

    def pods_for_routes_at(self, index: int, replicas: int) -> int:
        """Those that it needs for its routes' sake; 0 without any."""
        return self.routes_at(index).pods(self.weight_at(index), replicas)


_FIELDS: Final = (
    "steps",
    "analysis",
    "scaleDownDelaySeconds",
    "abortScaleDownDelaySeconds",
    "progressDeadlineAbort",
    "trafficRouting",
)
_STEP_KINDS: Final = ("setWeight", "pause", "setHeaderRoute", "setMirrorRoute")
_ARGO_ONLY: Final = {
    "maxSurge": "canary pods never replace stable ones one by one here, so there is no surge to bound",
    "maxUnavailable": "stable pods all stay up until the handover",
    "canaryService": "requests are split by the sidecars, not by a second Service",
    "stableService": "requests are split by the sidecars, not by a second Service",
    "canaryMetadata": "not supported by this version",
    "stableMetadata": "not supported by this version",
    "dynamicStableScale": "stable pods all stay up until the handover",
    "minPodsPerReplicaSet": "not supported by this version",
    "replicaProgressThreshold": "not supported by this version",
    "antiAffinity": "not supported by this version",
    "pingPong": "requests are split by the sidecars, not by Services",
}
_ARGO_STEPS: Final = ("setCanaryScale", "analysis", "experiment", "plugin")


def is_off(text: str | None) -> bool:
    """Whether the annotation's value is the escape hatch ``off`` (YAML reads a bare off as false)."""
    return text is not None and text.strip().strip("\"'").lower() == CANARY_OFF


def parse_strategy(text: str, path: str = f"metadata.annotations[{CANARY}]") -> Strategy:
    """Read the annotation's text. Raises SpecError with the field's path below `path`."""
    try:
        return _parsed(text)
    except SpecError as error:
        raise error.under(path) from None


@lru_cache(maxsize=_KNOWN_TEXTS)
def _parsed(text: str) -> Strategy:
    if text.strip() == CANARY_AUTO:
        advice = "write steps, as in Argo Rollouts' strategy.canary"
        raise SpecError("", '"auto" is not supported by this version', advice)
    return _strategy(load(text, "", "write Argo Rollouts' strategy.canary"))


def _strategy(raw: Any) -> Strategy:
    fields = spec.mapping(raw, "", "write a mapping with the key steps")
    if set(fields) == {"canary"}:
        raise SpecError("canary", "is one level too many", "write what stands below strategy.canary in a Rollout")
    spec.known(fields, _FIELDS, "", _ARGO_ONLY)
    steps = spec.sequence(fields.get("steps"), "steps")
    if len(steps) > MAX_STEPS:
        raise SpecError("steps", f"{len(steps)} steps are too many", f"write at most {MAX_STEPS}")
    parsed = tuple(_step(step, f"steps[{i}]") for i, step in enumerate(steps))
    abort_delay = _seconds(fields.get("abortScaleDownDelaySeconds", 30), "abortScaleDownDelaySeconds")
    deadline_abort = spec.flag(fields.get("progressDeadlineAbort", True), "progressDeadlineAbort")
    managed = read_managed(fields.get("trafficRouting"))
    _check_routes(parsed, managed)
    return Strategy(
        steps=parsed,
        analysis=_analysis(fields["analysis"], len(parsed)) if fields.get("analysis") is not None else None,
        scale_down_delay=_seconds(fields.get("scaleDownDelaySeconds", 30), "scaleDownDelaySeconds"),
        abort_scale_down_delay=abort_delay or None,
        progress_deadline_abort=deadline_abort,
        managed_routes=managed,
    )


def _check_routes(steps: tuple[Step, ...], managed: tuple[str, ...]) -> None:
    """Routes are managed ones (Argo's rule), and not more of them than a sidecar takes."""
    for i, step in enumerate(steps):
        if isinstance(step, SetHeaderRoute | SetMirrorRoute):
            kind = "setHeaderRoute" if isinstance(step, SetHeaderRoute) else "setMirrorRoute"
            if step.name not in managed:
                advice = f"write trafficRouting: {{managedRoutes: [{{name: {step.name}}}]}} beside the steps"
                problem = f"{shown(step.name)} is not one of trafficRouting.managedRoutes"
                raise SpecError(f"steps[{i}].{kind}.name", problem, advice)
            routes = in_force(steps[: i + 1], managed)
            if max(len(routes.headers), len(routes.mirrors)) > MAX_ROUTES:
                advice = f"have at most {MAX_ROUTES} entries of match in force at a time"
                raise SpecError(f"steps[{i}].{kind}.match", "makes too many routes", advice)


def _step(raw: Any, path: str) -> Step:
    advice = f"write one of {', '.join(_STEP_KINDS)}"
    fields = spec.mapping(raw, path, advice)
    if len(fields) != 1:
        raise SpecError(path, f"a step has exactly one kind, not {len(fields)}", advice)
    ((kind, value),) = fields.items()
    if kind in _ARGO_STEPS:
        raise SpecError(f"{path}.{kind}", "this step is not supported by this version", advice)
    spec.known(fields, _STEP_KINDS, path, {})
    if kind == "setWeight":
        return SetWeight(Weight.parse(value, f"{path}.setWeight"))
    if kind == "setHeaderRoute":
        return read_header_route(value, f"{path}.setHeaderRoute")
    if kind == "setMirrorRoute":
        return read_mirror_route(value, f"{path}.setMirrorRoute")
    if value is None:
        return Pause(None)
    pause = spec.mapping(value, f"{path}.pause", "write {} or {duration: 30s}")
    spec.known(pause, ("duration",), f"{path}.pause", {})
    duration = pause.get("duration")
    return Pause(None if duration is None else parse_pause(duration, f"{path}.pause.duration"))


def _analysis(raw: Any, steps: int) -> BackgroundAnalysis:
    fields = spec.mapping(raw, "analysis", "write {templates: [{templateName: NAME}]}")
    spec.known(fields, ("templates", "args", "startingStep"), "analysis", {})
    templates = []
    for i, template in enumerate(spec.sequence(fields.get("templates"), "analysis.templates")):
        path = f"analysis.templates[{i}]"
        entry = spec.mapping(template, path, "write {templateName: NAME}")
        spec.known(entry, ("templateName", "clusterScope"), path, {})
        scope = spec.flag(entry.get("clusterScope", False), f"{path}.clusterScope")
        templates.append(TemplateRef(spec.name(entry.get("templateName"), f"{path}.templateName"), scope))
    if not templates:
        raise SpecError("analysis.templates", "there is no template", "write [{templateName: NAME}]")
    starting = fields.get("startingStep", 0)
    if isinstance(starting, bool) or not isinstance(starting, int) or not 0 <= starting <= max(steps - 1, 0):
        raise SpecError(
            "analysis.startingStep", f"{shown(starting)} is not the index of a step", f"write 0 to {max(steps - 1, 0)}"
        )
    args = tuple(
        _argument(a, f"analysis.args[{i}]") for i, a in enumerate(spec.sequence(fields.get("args"), "analysis.args"))
    )
    names = [a.name for a in args]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise SpecError(f"analysis.args[{i}].name", f"{shown(name)} is given twice", "write it once")
    return BackgroundAnalysis(tuple(templates), args, starting)


def _argument(raw: Any, path: str) -> Argument:
    entry = spec.mapping(raw, path, "write {name: NAME, value: VALUE}")
    spec.known(entry, ("name", "value", "valueFrom"), path, {})
    name = spec.name(entry.get("name"), f"{path}.name")
    source = entry.get("valueFrom")
    if source is None:
        value = entry.get("value")
        if not isinstance(value, str):
            raise SpecError(f"{path}.value", f"{shown(value)} is not a string", 'write it in quotes, for example "100"')
        return Argument(name, value)
    if "value" in entry:
        raise SpecError(path, "has both value and valueFrom", "write one of them")
    reference = spec.mapping(source, f"{path}.valueFrom", "write {podTemplateHashValue: Latest}")
    spec.known(reference, ("podTemplateHashValue",), f"{path}.valueFrom", {"fieldRef": "not supported by this version"})
    kind = reference.get("podTemplateHashValue")
    if kind not in ("Stable", "Latest"):
        raise SpecError(f"{path}.valueFrom.podTemplateHashValue", f"{shown(kind)} is unknown", "write Stable or Latest")
    return Argument(name, None, kind)


def _seconds(raw: Any, path: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= _LONGEST_DELAY:
        raise SpecError(
            path, f"{shown(raw)} is not a number of seconds", f"write a whole number from 0 to {_LONGEST_DELAY}"
        )
    return float(raw)
