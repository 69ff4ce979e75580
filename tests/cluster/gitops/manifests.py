"""The folder of manifests that stands for Git: the example's three objects, with a release and a strategy.

Knows nothing of clusters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from coalmine.kube.resources import Object
from coalmine.model import names
from coalmine_sandbox.lab import read
from coalmine_sandbox.story.application import MANIFESTS, REPOSITORY

#: Pauses that wait for a person, so that a test can stand still at every step.
PATIENT: Final = """\
steps:
- setWeight: 20
- pause: {}
- setWeight: 50
- pause: {}
analysis:
  templates: [{templateName: webcheck}]
  args: [{name: host, value: colorapi}]
scaleDownDelaySeconds: 1
abortScaleDownDelaySeconds: 1
"""


class Manifests:
    """One file an object, as a person commits them."""

    def __init__(self, folder: Path, strategy: str = PATIENT, interval: str = "500ms") -> None:
        """`interval` is that of the analysis."""
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for obj in read(MANIFESTS):
            if obj["kind"] == names.ANALYSIS_TEMPLATE:
                obj["spec"]["metrics"][0]["interval"] = interval
            if obj["kind"] == "Deployment":
                obj["metadata"]["annotations"][names.CANARY] = strategy
            self._write(obj)

    @property
    def deployment(self) -> Object:
        (found,) = read(self.folder / "deployment.yaml")
        return found

    @property
    def objects(self) -> list[Object]:
        return [obj for file in sorted(self.folder.glob("*.yaml")) for obj in read(file)]

    def release(self, release: str) -> None:
        """Write another tag of the image."""
        deployment = self.deployment
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = f"{REPOSITORY}:{release}"
        self._write(deployment)

    def paused(self, value: bool | None) -> None:
        """Write ``spec.paused``, which nobody should; None takes it out again."""
        deployment = self.deployment
        deployment["spec"].pop("paused", None)
        if value is not None:
            deployment["spec"]["paused"] = value
        self._write(deployment)

    def _write(self, obj: Object) -> None:
        (self.folder / f"{obj['kind'].lower()}.yaml").write_text(yaml.safe_dump(obj, sort_keys=False))
