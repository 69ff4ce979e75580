"""What the webhook counts, under the names in docs/monitoring.md."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

AUTHORITY: Final = "authority"
SERVING: Final = "serving"

#: The API server gives us 5 s (`timeoutSeconds`); finer edges where answers should be.
_EDGES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """A registry of its own, so that two servers in one process do not clash."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reviews = Counter(
            "coalmine_webhook_reviews",
            "Reviews answered, by resource and by code of the outcome.",
            ("resource", "code"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "coalmine_webhook_review_seconds",
            "Time from the last byte of a review to its answer.",
            ("resource",),
            buckets=_EDGES,
            registry=self.registry,
        )
        self._expiry = Gauge(
            "coalmine_webhook_certificate_expiry_timestamp_seconds",
            "When the certificate that is served, and that of its authority, end.",
            ("certificate",),
            registry=self.registry,
        )
        self.renewals = Counter(
            "coalmine_webhook_certificate_renewals",
            "Serving pairs that this process has begun to serve, the first included.",
            registry=self.registry,
        )
        self.failures = Counter(
            "coalmine_webhook_certificate_failures",
            "Looks at the certificates that ended in an error; the pair that was served still is.",
            registry=self.registry,
        )
        self.bundles = Counter(
            "coalmine_webhook_ca_bundle_writes",
            "Times that this process wrote the authorities into the webhook configuration.",
            registry=self.registry,
        )

    def expires(self, certificate: str, moment: datetime) -> None:
        """`certificate` is AUTHORITY or SERVING."""
        self._expiry.labels(certificate).set(moment.timestamp())
