"""How one sidecar runs: what its arguments, its environment and its static file came to.

PURE. Parsed once (`__main__`); every process of the sidecar has the same.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path

from coalmine.model import wire
from coalmine_proxy.exposition import Workload
from coalmine_proxy.limits import DEFAULT, Limits
from coalmine_proxy.service import HTTP

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Settings:
    """How one sidecar runs. Ports of 0 let the kernel choose, hosts of None mean all addresses."""

    listen: tuple[str | None, int]
    admin: tuple[str | None, int]
    #: This pod's application; None with a static file.
    own: wire.Endpoint | None
    pod: str
    canary: bool = False
    state: Path | None = None
    keys: Path | None = None
    #: What holds until the first document: local paths, or the static arms.
    routing: wire.Routing = wire.LOCAL_ONLY
    static: bool = False
    #: After SIGTERM, all in all, in seconds.
    drain_seconds: float = 20.0
    limits: Limits = DEFAULT
    #: What the port speaks: `service.HTTP` or `stats.TCP`.
    protocol: str = HTTP
    #: Whose word about earlier hops is believed; None: everybody's.
    trusted: tuple[Network, ...] | None = None
    #: The part of requests that are logged, 0 to 1.
    log_sample: float = 0.0
    #: Whose sidecar this is, when Istio's metrics are wanted. The versions of arms come with each document.
    istio: Workload | None = None
    #: Processes that share the port.
    workers: int = 1

    def of_worker(self) -> Settings:
        """The same for one of the workers: of what there may be at once it has its part, rounded up.

        The kernel spreads connections by chance, so one of them may refuse a client a little before all are full.
        """
        limits = self.limits
        return replace(
            self,
            limits=replace(
                limits,
                connections=self._part(limits.connections),
                mirrors=self._part(limits.mirrors),
                idle_per_endpoint=self._part(limits.idle_per_endpoint),
            ),
        )

    def _part(self, of_all: int) -> int:
        return -(-of_all // self.workers)
