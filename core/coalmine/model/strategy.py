"""The strategy in the annotation ``coalmine.dev/canary``: Argo Rollouts' ``strategy.canary``.

Rules: it is parsed once, into values that cannot be invalid; every error names the field's path
and says what to write. Fields of Argo's that make no sense without its pods-for-weight split
(``maxSurge``, ``canaryService``, ``trafficRouting`` ...) are refused rather than ignored: a
strategy that is copied over means here what it meant there, or it is not accepted.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from coalmine.model.durations import parse_pause
from coalmine.model.errors import SpecError, shown
from coalmine.model.names import CANARY, CANARY_AUTO, CANARY_OFF
from coalmine.model.weights import Weight

#: A strategy is written by hand: 64 KiB is far beyond any, and bounds the YAML parser.
MAX_TEXT: Final = 64 * 1024
MAX_STEPS: Final = 200
_LONGEST_DELAY: Final = 7 * 86_400
#: Digits of a number: beyond it Python's own conversions give up with errors of their own.
_MAX_SCALAR: Final = 40


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


Step = SetWeight | Pause


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

    @property
    def identity(self) -> str:
        """Stands for the steps: an attempt that follows other ones must start again."""
        return hashlib.sha256("; ".join(str(step) for step in self.steps).encode()).hexdigest()[:16]

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


_FIELDS: Final = ("steps", "analysis", "scaleDownDelaySeconds", "abortScaleDownDelaySeconds", "progressDeadlineAbort")
_STEP_KINDS: Final = ("setWeight", "pause")
_ARGO_ONLY: Final = {
    "maxSurge": "canary pods never replace stable ones one by one here, so there is no surge to bound",
    "maxUnavailable": "stable pods all stay up until the handover",
    "canaryService": "requests are split by the sidecars, not by a second Service",
    "stableService": "requests are split by the sidecars, not by a second Service",
    "trafficRouting": "requests are split by the sidecars",
    "canaryMetadata": "not supported by this version",
    "stableMetadata": "not supported by this version",
    "dynamicStableScale": "stable pods all stay up until the handover",
    "minPodsPerReplicaSet": "not supported by this version",
    "replicaProgressThreshold": "not supported by this version",
    "antiAffinity": "not supported by this version",
    "pingPong": "requests are split by the sidecars, not by Services",
}
_ARGO_STEPS: Final = ("setCanaryScale", "analysis", "experiment", "setHeaderRoute", "setMirrorRoute", "plugin")


def is_off(text: str | None) -> bool:
    """Whether the annotation's value is the escape hatch ``off`` (YAML reads a bare off as false)."""
    return text is not None and text.strip().strip("\"'").lower() == CANARY_OFF


def parse_strategy(text: str, path: str = f"metadata.annotations[{CANARY}]") -> Strategy:
    """Read the annotation's text. Raises SpecError with the field's path below `path`."""
    if len(text) > MAX_TEXT:
        raise SpecError(path, f"{len(text)} characters are too many", f"write at most {MAX_TEXT}")
    if text.strip() == CANARY_AUTO:
        raise SpecError(
            path, '"auto" is not supported by this version', "write steps, as in Argo Rollouts' strategy.canary"
        )
    try:
        raw = _load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise SpecError(path, f"not YAML{where}: {problem}", "write Argo Rollouts' strategy.canary") from None
    try:
        return _strategy(raw)
    except SpecError as error:
        raise error.under(path) from None


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a few bytes of them can stand for gigabytes. Without keys that stand
    twice, too: YAML forbids them, and the loader would drop the first one silently."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and isinstance(node, yaml.ScalarNode) and len(node.value) > _MAX_SCALAR:
            raise yaml.constructor.ConstructorError(None, None, "the number is too long", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
            # a date of the 13th month, an explicit tag on a value that it does not fit: the
            # library's constructors raise whatever Python does
            raise yaml.constructor.ConstructorError(
                None, None, f"{shown(getattr(node, 'value', ''))} is no value of its kind", node.start_mark
            ) from error


def _load(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


def _strategy(raw: Any) -> Strategy:
    fields = _mapping(raw, "", "write a mapping with the key steps")
    if set(fields) == {"canary"}:
        raise SpecError("canary", "is one level too many", "write what stands below strategy.canary in a Rollout")
    _known(fields, _FIELDS, "", _ARGO_ONLY)
    steps = _sequence(fields.get("steps"), "steps")
    if len(steps) > MAX_STEPS:
        raise SpecError("steps", f"{len(steps)} steps are too many", f"write at most {MAX_STEPS}")
    parsed = tuple(_step(step, f"steps[{i}]") for i, step in enumerate(steps))
    abort_delay = _seconds(fields.get("abortScaleDownDelaySeconds", 30), "abortScaleDownDelaySeconds")
    deadline_abort = fields.get("progressDeadlineAbort", True)
    if not isinstance(deadline_abort, bool):
        problem = f"{shown(deadline_abort)} is neither true nor false"
        raise SpecError("progressDeadlineAbort", problem, "write true or false")
    return Strategy(
        steps=parsed,
        analysis=_analysis(fields["analysis"], len(parsed)) if fields.get("analysis") is not None else None,
        scale_down_delay=_seconds(fields.get("scaleDownDelaySeconds", 30), "scaleDownDelaySeconds"),
        abort_scale_down_delay=abort_delay or None,
        progress_deadline_abort=deadline_abort,
    )


def _step(raw: Any, path: str) -> Step:
    advice = f"write one of {', '.join(_STEP_KINDS)}"
    fields = _mapping(raw, path, advice)
    if len(fields) != 1:
        raise SpecError(path, f"a step has exactly one kind, not {len(fields)}", advice)
    ((kind, value),) = fields.items()
    if kind in _ARGO_STEPS:
        raise SpecError(f"{path}.{kind}", "this step is not supported by this version", advice)
    _known(fields, _STEP_KINDS, path, {})
    if kind == "setWeight":
        return SetWeight(Weight.parse(value, f"{path}.setWeight"))
    if value is None:
        return Pause(None)
    pause = _mapping(value, f"{path}.pause", "write {} or {duration: 30s}")
    _known(pause, ("duration",), f"{path}.pause", {})
    duration = pause.get("duration")
    return Pause(None if duration is None else parse_pause(duration, f"{path}.pause.duration"))


def _analysis(raw: Any, steps: int) -> BackgroundAnalysis:
    fields = _mapping(raw, "analysis", "write {templates: [{templateName: NAME}]}")
    _known(fields, ("templates", "args", "startingStep"), "analysis", {})
    templates = []
    for i, template in enumerate(_sequence(fields.get("templates"), "analysis.templates")):
        path = f"analysis.templates[{i}]"
        entry = _mapping(template, path, "write {templateName: NAME}")
        _known(entry, ("templateName", "clusterScope"), path, {})
        scope = entry.get("clusterScope", False)
        if not isinstance(scope, bool):
            raise SpecError(f"{path}.clusterScope", f"{shown(scope)} is neither true nor false", "write true or false")
        templates.append(TemplateRef(_name(entry.get("templateName"), f"{path}.templateName"), scope))
    if not templates:
        raise SpecError("analysis.templates", "there is no template", "write [{templateName: NAME}]")
    starting = fields.get("startingStep", 0)
    if isinstance(starting, bool) or not isinstance(starting, int) or not 0 <= starting <= max(steps - 1, 0):
        raise SpecError(
            "analysis.startingStep", f"{shown(starting)} is not the index of a step", f"write 0 to {max(steps - 1, 0)}"
        )
    args = tuple(
        _argument(a, f"analysis.args[{i}]") for i, a in enumerate(_sequence(fields.get("args"), "analysis.args"))
    )
    names = [a.name for a in args]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise SpecError(f"analysis.args[{i}].name", f"{shown(name)} is given twice", "write it once")
    return BackgroundAnalysis(tuple(templates), args, starting)


def _argument(raw: Any, path: str) -> Argument:
    entry = _mapping(raw, path, "write {name: NAME, value: VALUE}")
    _known(entry, ("name", "value", "valueFrom"), path, {})
    name = _name(entry.get("name"), f"{path}.name")
    source = entry.get("valueFrom")
    if source is None:
        value = entry.get("value")
        if not isinstance(value, str):
            raise SpecError(f"{path}.value", f"{shown(value)} is not a string", 'write it in quotes, for example "100"')
        return Argument(name, value)
    if "value" in entry:
        raise SpecError(path, "has both value and valueFrom", "write one of them")
    reference = _mapping(source, f"{path}.valueFrom", "write {podTemplateHashValue: Latest}")
    _known(reference, ("podTemplateHashValue",), f"{path}.valueFrom", {"fieldRef": "not supported by this version"})
    kind = reference.get("podTemplateHashValue")
    if kind not in ("Stable", "Latest"):
        raise SpecError(f"{path}.valueFrom.podTemplateHashValue", f"{shown(kind)} is unknown", "write Stable or Latest")
    return Argument(name, None, kind)


def _mapping(raw: Any, path: str, advice: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or not all(isinstance(k, str) for k in raw):
        raise SpecError(path, f"{shown(raw)} is not a mapping", advice)
    return raw


def _sequence(raw: Any, path: str) -> list[Any]:
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise SpecError(path, f"{shown(raw)} is not a list", "write a list")
    return raw


def _name(raw: Any, path: str) -> str:
    if not isinstance(raw, str) or not raw:
        raise SpecError(path, "there is no name" if raw is None else f"{shown(raw)} is not a name", "write a name")
    return raw


def _seconds(raw: Any, path: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw <= _LONGEST_DELAY:
        raise SpecError(
            path, f"{shown(raw)} is not a number of seconds", f"write a whole number from 0 to {_LONGEST_DELAY}"
        )
    return float(raw)


def _known(fields: Mapping[str, Any], known: tuple[str, ...], path: str, refused: Mapping[str, str]) -> None:
    for key in fields:
        name = key if len(key) <= 60 else shown(key)
        where = f"{path}.{name}" if path else name
        if key in refused:
            raise SpecError(where, f"is not used here: {refused[key]}", "remove it")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            advice = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
            raise SpecError(where, "is unknown", advice)
