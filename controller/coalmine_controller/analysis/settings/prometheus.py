"""The fields of the `prometheus` provider: one instant query a measurement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from coalmine.model.errors import SpecError
from coalmine_controller.analysis.fields import Fields
from coalmine_controller.analysis.settings.url import read_url
from coalmine_controller.analysis.settings.web import MAX_TIMEOUT, read_header

DEFAULT_TIMEOUT: Final = 30  # seconds, Argo's
#: A query is a few lines; Prometheus itself refuses none, but a run keeps it in its spec.
MAX_QUERY: Final = 16 * 1024
_FIELDS: Final = ("address", "query", "timeout", "headers", "insecure")


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """A query, and where it is asked: "" is the controller's own default. `timeout` is in seconds."""

    query: str
    address: str = ""
    timeout: float = DEFAULT_TIMEOUT
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # they may hold secrets
    insecure: bool = False


def read_prometheus(fields: Fields) -> PrometheusSettings:
    """Read ``provider.prometheus``. Raises SpecError."""
    fields.known(_FIELDS, ("authentication", "rangeQuery"))
    query = fields.text("query")
    if len(query) > MAX_QUERY:
        raise SpecError(fields.at("query"), f"{len(query)} characters are too many", f"write at most {MAX_QUERY}")
    address = fields.text("address", "")
    if address and not fields.is_open("address") and not is_address(address):
        raise SpecError(
            fields.at("address"),
            f"{address!r} is not an http or https URL with a host and without a query",
            'write for example "http://prometheus.monitoring:9090"',
        )
    return PrometheusSettings(
        query=query,
        address=address,
        # 0 is the default, as in Argo, which refuses less
        timeout=fields.whole("timeout", 0, 0, MAX_TIMEOUT) or DEFAULT_TIMEOUT,
        headers=tuple(read_header(fields, i, raw) for i, raw in enumerate(fields.sequence("headers"))),
        insecure=fields.boolean("insecure"),
    )


def is_address(text: str) -> bool:
    """Whether the text can be an address of Prometheus: a URL to which ``/api/v1/query`` can be added."""
    try:
        url = read_url(text)
    except ValueError:
        return False
    return not url.query_string and not url.fragment
