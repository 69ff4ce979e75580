"""The objects of each phase as recorded on Kubernetes' own control plane, and what each tool says of them.

`UPDATE_GOLDEN=1` records anew, on the real control plane only. What differs from run to run is replaced, so that a
second recording is the first but for the sentences of measurements.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from gitops import readiness, scripts
from write_recording import TIME, constant

from coalmine.model.fingerprint import fingerprint

DATA: Final = Path(__file__).parents[1] / "recorded" / "phases"
#: The tools of the table, in its order.
TOOLS: Final = (
    "kubectl rollout status",
    "Argo CD, built in",
    "Argo CD, ours",
    "Argo CD, the Rollout",
    "kstatus, Flux",
    "kstatus, the Rollout",
    "Helm 3 --wait",
    "Helm 4 --wait",
)
#: Our own times have microseconds (metav1.MicroTime).
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
Objects = dict[str, list[dict[str, Any]]]


def store(phase: str, found: Objects) -> None:
    DATA.mkdir(parents=True, exist_ok=True)
    bare = {kind: [_bare(obj) for obj in every] for kind, every in found.items()}
    text = json.dumps(constant(bare), indent=1, sort_keys=True)
    (DATA / f"{phase}.json").write_text(_TIME.sub(TIME, text) + "\n")


def load(phase: str) -> Objects:
    """Raises FileNotFoundError for a phase that was not recorded."""
    found: Objects = json.loads((DATA / f"{phase}.json").read_text())
    return found


def verdicts(found: Objects) -> dict[str, str]:
    """What each of `TOOLS` says of the Deployment, or of what belongs to it."""
    (deployment,), (rollout,) = found["deployment"], found["rollout"]
    mark = fingerprint(deployment["spec"]["template"])
    owned = [s for s in found["replicaSets"] if _controlled(s)]
    new = next((s for s in owned if fingerprint(s["spec"]["template"]) == mark), None)
    said = (
        readiness.kubectl(deployment),
        readiness.argo(deployment),
        scripts.health("deployment", deployment)[0],
        scripts.health("rollout", rollout)[0],
        readiness.kstatus(deployment),
        readiness.kstatus(rollout),
        readiness.helm3(deployment, new),
        # whoever applies in this phase gets back what stands
        readiness.helm4(deployment, deployment),
    )
    return dict(zip(TOOLS, said, strict=True))


def _controlled(replica_set: dict[str, Any]) -> bool:
    return any(o.get("controller") for o in replica_set["metadata"].get("ownerReferences") or ())


def _bare(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}
