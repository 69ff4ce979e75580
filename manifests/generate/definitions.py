"""The files of manifests/crds, from `coalmine.model.schema`."""

from __future__ import annotations

from typing import Final

import yaml

from coalmine.model.names import PLURALS
from coalmine.model.schema.definitions import DEFINITIONS

HEADER: Final = "# Generated from core/coalmine/model/schema by `make manifests`: edit it there.\n"
LABELS: Final = {"app.kubernetes.io/part-of": "coalmine"}


class _Plain(yaml.SafeDumper):
    """Writes no anchors: what several kinds share is written out for each."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def dump(value: object) -> str:
    """YAML, keys in their order."""
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)


def files() -> dict[str, str]:
    """Name of the file -> its text."""
    kinds = {f"{PLURALS[each.kind]}.yaml": HEADER + dump(each.to_json(LABELS)) for each in DEFINITIONS}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(kinds),
    }
    return {**kinds, "kustomization.yaml": HEADER + dump(kustomization)}
