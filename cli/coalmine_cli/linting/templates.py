"""AnalysisTemplates and ClusterAnalysisTemplates, judged by the controller's own code, and those that a
strategy names.

Rules: as for Deployments, what is wrong is mended in a copy that is read again, so that one run tells a
fault of each metric.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from coalmine.model.errors import SpecError
from coalmine.model.names import ANALYSIS_RUN, ANALYSIS_TEMPLATE, CANARY, CLUSTER_ANALYSIS_TEMPLATE
from coalmine.model.strategy import BackgroundAnalysis, TemplateRef
from coalmine_cli.linting.findings import Finding, Severity, found
from coalmine_cli.linting.manifests import Manifest
from coalmine_cli.linting.positions import tokens
from coalmine_controller.analysis.building import build_run
from coalmine_controller.analysis.template import check_template, read_run

_MOST: Final = 100
_ANALYSIS: Final = f"metadata.annotations[{CANARY}].analysis"
_UNDECLARED: Final = re.compile(r"^\{\{\s*args\.(.+?)\s*\}\} names no argument")
#: Stands for what is only known in a release.
_HASH: Final = "0123456789"


def check(manifest: Manifest) -> Iterator[Finding]:
    """What the controller would refuse in a template, or in a run."""
    read: Callable[[Any], object] = read_run if manifest.object["kind"] == ANALYSIS_RUN else check_template
    spec = copy.deepcopy(manifest.object.get("spec"))
    seen: set[str] = set()
    for _ in range(_MOST):
        try:
            read(spec)
        except SpecError as error:
            if str(error) in seen:
                return
            seen.add(str(error))
            yield found(manifest, Severity.ERROR, error.path, str(error))
            if not _mended(spec, error):
                return
        else:
            return


def _mended(spec: Any, error: SpecError) -> bool:
    if not isinstance(spec, dict):
        return False
    undeclared = _UNDECLARED.match(error.problem)
    where = tokens(error.path)[1:]
    if undeclared and isinstance(spec.get("args", []), list):
        spec.setdefault("args", []).append({"name": undeclared[1], "value": "mended"})
        return True
    match where:
        case ["metrics", int(index), *_]:
            spec["metrics"][index] = {"name": f"mended-{index}", "provider": {"web": {"url": "http://localhost/"}}}
        case ["args", int(index), *_]:
            entry = spec["args"][index]
            name = entry.get("name") if isinstance(entry, dict) and len(where) > 2 and where[2] != "name" else None
            spec["args"][index] = {"name": name or f"mended-{index}", "value": "mended"}
        case [str(key)] if key in spec and key not in ("metrics", "args"):
            del spec[key]
        case _:
            return False
    return True


def check_named(
    manifest: Manifest, analysis: BackgroundAnalysis, templates: Sequence[Manifest], broken: set[int]
) -> Iterator[Finding]:
    """Whether the templates that a Deployment names are among the files, and whether its arguments suffice.

    `broken` are ids of templates that have errors of their own.
    """
    named = []
    for index, reference in enumerate(analysis.templates):
        one = next((t for t in templates if _is(t, reference, manifest)), None)
        if one is None:
            kind = CLUSTER_ANALYSIS_TEMPLATE if reference.cluster_scope else ANALYSIS_TEMPLATE
            where = f"{_ANALYSIS}.templates[{index}]"
            message = (
                f"{where}: the {kind} {reference.name} is not among these files; lint it with them, "
                "or make sure that the cluster has it"
            )
            yield found(manifest, Severity.WARNING, where, message)
        else:
            named.append(one)
    if len(named) < len(analysis.templates) or any(id(one) in broken for one in named):
        return
    given = {a.name: a.value if a.value is not None else _HASH for a in analysis.args}
    try:
        build_run([one.object for one in named], given, "lint", "", {}, {})
    except SpecError as error:
        where = f"{_ANALYSIS}.args" if analysis.args else _ANALYSIS
        yield found(manifest, Severity.ERROR, where, f"{where}: {error}")


def _is(template: Manifest, reference: TemplateRef, deployment: Manifest) -> bool:
    metadata = template.object["metadata"]
    if metadata.get("name") != reference.name:
        return False
    if reference.cluster_scope:
        return bool(template.object["kind"] == CLUSTER_ANALYSIS_TEMPLATE)
    here, there = metadata.get("namespace"), deployment.object["metadata"].get("namespace")
    # a namespace that is not written comes with `kubectl -n`, for both alike
    return template.object["kind"] == ANALYSIS_TEMPLATE and (here == there or not here or not there)
