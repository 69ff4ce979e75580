"""The AnalysisRun that runs beside a rollout's steps.

Pure but for reading templates from the caches. The run carries its metrics whole: templates that change
later do not change it.
"""

from __future__ import annotations

from coalmine.kube.resources import Object, name_of, uid_of
from coalmine.model.errors import SpecError
from coalmine.model.names import API_VERSION, FINGERPRINT, ROLLOUT
from coalmine.model.strategy import Strategy
from coalmine_controller.analysis.building import build_run
from coalmine_controller.observed import Observed
from coalmine_controller.versions import Versions
from coalmine_controller.world import World


def build(world: World, observed: Observed, versions: Versions, name: str, rollout: Object | None) -> Object:
    """The run's object, owned by `rollout`. Raises SpecError when a template or an argument is missing or bad."""
    d, strategy = observed.deployment, observed.deployment.strategy
    assert isinstance(strategy, Strategy)
    assert strategy.analysis is not None
    templates = []
    for i, ref in enumerate(strategy.analysis.templates):
        cache = world.cluster_templates if ref.cluster_scope else world.templates
        template = cache.get("" if ref.cluster_scope else d.namespace, ref.name)
        if template is None:
            kind = "ClusterAnalysisTemplate" if ref.cluster_scope else "AnalysisTemplate"
            where = "" if ref.cluster_scope else f" in namespace {d.namespace}"
            path = f"analysis.templates[{i}].templateName"
            raise SpecError(path, f"there is no {kind} {ref.name}{where}", "apply it, or mend the name")
        templates.append(template)
    hashes = {
        "Latest": versions.canary.hash if versions.canary else "",
        "Stable": versions.stable_set.hash if versions.stable_set else "",
    }
    args = {
        a.name: a.value if a.value is not None else hashes[a.pod_template_hash or "Latest"]
        for a in strategy.analysis.args
    }
    owner = {}
    if rollout is not None:
        owner = {
            "apiVersion": API_VERSION,
            "kind": ROLLOUT,
            "name": name_of(rollout),
            "uid": uid_of(rollout),
            "controller": True,
        }
    run = build_run(templates, args, name, d.namespace, owner, {})
    run["metadata"]["annotations"] = {FINGERPRINT: d.fingerprint}
    return run
