"""The CustomResourceDefinitions of our kinds, whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from coalmine.model.names import (
    ANALYSIS_RUN,
    ANALYSIS_TEMPLATE,
    CLUSTER_ANALYSIS_TEMPLATE,
    GROUP,
    PLURALS,
    ROLLOUT,
    VERSION,
)
from coalmine.model.schema import Schema, analysis, rollout


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``; a `wide` one is shown with ``-o wide`` only."""

    name: str
    type: str
    path: str
    about: str
    wide: bool = False

    def to_json(self) -> dict[str, Any]:
        column = {"name": self.name, "type": self.type, "jsonPath": self.path, "description": self.about}
        return {**column, "priority": 1} if self.wide else column


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind. `status` is None for one that has none."""

    kind: str
    short_name: str
    about: str
    spec: Schema
    status: Schema | None = None
    columns: tuple[Column, ...] = ()
    namespaced: bool = True
    spec_required: bool = True

    @property
    def name(self) -> str:
        """The name of the definition's object."""
        return f"{PLURALS[self.kind]}.{GROUP}"

    def schema(self) -> Schema:
        """What the API server checks objects against."""
        fields: dict[str, Schema] = {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": self.spec,
        }
        if self.status is not None:
            fields["status"] = self.status
        whole: Schema = {"type": "object", "description": self.about}
        if self.spec_required:
            whole["required"] = ["spec"]
        return {**whole, "properties": fields}

    def to_json(self, labels: Mapping[str, str]) -> dict[str, Any]:
        """The CustomResourceDefinition."""
        version: dict[str, Any] = {"name": VERSION, "served": True, "storage": True}
        if self.status is not None:
            version["subresources"] = {"status": {}}
        version["additionalPrinterColumns"] = [column.to_json() for column in (*self.columns, _AGE)]
        version["schema"] = {"openAPIV3Schema": self.schema()}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.name, "labels": dict(labels)},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "names": {
                    "kind": self.kind,
                    "listKind": f"{self.kind}List",
                    "plural": PLURALS[self.kind],
                    "singular": self.kind.lower(),
                    "shortNames": [self.short_name],
                },
                "versions": [version],
            },
        }


_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", "When it was made.")
_STATUS: Final = Column("Status", "string", ".status.phase", "Its phase.")
_MESSAGE: Final = Column("Message", "string", ".status.message", "Why it is in this phase.", wide=True)

DEFINITIONS: Final = (
    Definition(
        ROLLOUT,
        "cro",
        "The rollout of the annotated Deployment of the same name. The controller makes it and removes it; a person "
        "writes only wishes, in its spec.",
        rollout.SPEC,
        rollout.STATUS,
        (
            _STATUS,
            Column("Step", "string", ".status.stepText", "The current step, and how many there are."),
            Column("Weight", "number", ".status.weight", "Percentage of the requests that the canary is to get."),
            _MESSAGE,
        ),
        spec_required=False,
    ),
    Definition(
        ANALYSIS_TEMPLATE,
        "cmat",
        "What an analysis measures, for the rollouts of its namespace.",
        analysis.TEMPLATE_SPEC,
    ),
    Definition(
        CLUSTER_ANALYSIS_TEMPLATE,
        "cmcat",
        "What an analysis measures, for the rollouts of every namespace.",
        analysis.TEMPLATE_SPEC,
        namespaced=False,
    ),
    Definition(
        ANALYSIS_RUN,
        "cmar",
        "One analysis, from its first measurement to its verdict. The controller makes it from the templates that a "
        "Rollout names.",
        analysis.RUN_SPEC,
        analysis.RUN_STATUS,
        (_STATUS, _MESSAGE),
    ),
)
