"""What a template says of each provider, as values: one pure file a provider.

A new provider is a file here, a file in `providers`, and a line in the table of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from coalmine_controller.analysis.fields import Fields
from coalmine_controller.analysis.settings.prometheus import PrometheusSettings, read_prometheus
from coalmine_controller.analysis.settings.web import WebSettings, read_web

#: The settings of any provider.
Settings = WebSettings | PrometheusSettings

#: The provider's key in a metric, and the function that reads its fields. It raises SpecError.
READERS: Final[dict[str, Callable[[Fields], Settings]]] = {"web": read_web, "prometheus": read_prometheus}

#: Argo's providers that this version has not.
UNSUPPORTED: Final = (
    "job",
    "datadog",
    "newRelic",
    "wavefront",
    "kayenta",
    "cloudWatch",
    "graphite",
    "influxdb",
    "skywalking",
    "plugin",
)
