"""Measuring: one small file a provider, behind one interface.

Rules: a provider hands over a result, or raises MeasurementError with a sentence that holds no secret;
it knows nothing of conditions, limits or runs. It keeps nothing between measurements.
"""

from __future__ import annotations

from coalmine_controller.analysis.providers.measured import Context, Measured, MeasurementError, Provider
from coalmine_controller.analysis.providers.prometheus import Prometheus
from coalmine_controller.analysis.providers.web import Web, open_session
from coalmine_controller.analysis.settings import Settings
from coalmine_controller.analysis.settings.prometheus import PrometheusSettings

__all__ = ["Context", "Measured", "MeasurementError", "Provider", "open_session", "provider_of"]


def provider_of(settings: Settings) -> Provider:
    """The provider for a metric's settings."""
    return Prometheus(settings) if isinstance(settings, PrometheusSettings) else Web(settings)
