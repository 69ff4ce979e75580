"""The phases of a measurement, a metric and a run, and which is worse."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """Argo Rollouts' AnalysisPhase."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"
    FAILED = "Failed"

    @property
    def completed(self) -> bool:
        """Whether it is final."""
        return self in _SEVERITY

    @property
    def ends_run(self) -> bool:
        """Whether a metric that ends so ends its whole run."""
        return _SEVERITY.get(self, 0) > 0


_SEVERITY: Final = {Phase.SUCCESSFUL: 0, Phase.INCONCLUSIVE: 1, Phase.ERROR: 2, Phase.FAILED: 3}


def severity(phase: Phase) -> int:
    """How bad a completed phase is: Successful < Inconclusive < Error < Failed. KeyError for others."""
    return _SEVERITY[phase]
