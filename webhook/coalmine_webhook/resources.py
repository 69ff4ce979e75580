"""What a sidecar asks of its node, as the installation sets it: read once, checked as the API server would.

PURE. A pod whose sidecar's resources the API server refuses would never start: what is wrong is said when the
webhook starts, by the option's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from coalmine.kube.resources import Object

#: Of a quantity (apimachinery's pkg/api/resource), without a sign: an amount of resources has none.
_QUANTITY: Final = re.compile(
    r"(\d{1,18}(?:\.\d{0,9})?|\.\d{1,9})(?:[eE]([+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)", re.ASCII
)
_FACTORS: Final = {
    **{suffix: Fraction(10) ** power for suffix, power in zip("num", (-9, -6, -3), strict=True)},
    **{suffix: Fraction(10) ** (3 * power) for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    **{f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
_LEAST_CPU: Final = Fraction(1, 1000)
#: Below this no interpreter starts.
_LEAST_MEMORY: Final = Fraction(16 << 20)


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests and limits of the sidecar, as quantities. A limit of "" is none."""

    #: A CPU request, or an HPA on utilisation could not count the pod.
    cpu_request: str = "25m"
    memory_request: str = "48Mi"
    #: None: a core for each process of the sidecar, as each has one thread that works.
    cpu_limit: str | None = None
    #: 30 MiB at rest, the rest is for connections and their buffers, and 4 MiB for each worker.
    memory_limit: str = "192Mi"

    def for_container(self, processes: int) -> Object:
        """The ``resources`` of a container that runs this many processes."""
        cpu = str(processes) if self.cpu_limit is None else self.cpu_limit
        limits = {key: value for key, value in (("cpu", cpu), ("memory", self.memory_limit)) if value}
        found: Object = {"requests": {"cpu": self.cpu_request, "memory": self.memory_request}}
        return {**found, "limits": limits} if limits else found


USUAL: Final = Resources()


def parse(text: str) -> Fraction:
    """The amount of a quantity. Raises ValueError."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no quantity")
    number, exponent, suffix = match.groups()
    return Fraction(number) * (Fraction(10) ** int(exponent) if exponent else _FACTORS[suffix or ""])


def check(resources: Resources) -> None:
    """Raises ValueError with a sentence that names the option."""
    cpu = _amount("--sidecar-cpu-request", resources.cpu_request, _LEAST_CPU, "1m", "50m")
    memory = _amount("--sidecar-memory-request", resources.memory_request, _LEAST_MEMORY, "16Mi", "48Mi")
    if resources.memory_limit:
        limit = _amount("--sidecar-memory-limit", resources.memory_limit, _LEAST_MEMORY, "16Mi", "192Mi")
        _not_below("memory", resources.memory_request, memory, resources.memory_limit, limit)
    if resources.cpu_limit:
        limit = _amount("--sidecar-cpu-limit", resources.cpu_limit, _LEAST_CPU, "1m", "1")
        _not_below("cpu", resources.cpu_request, cpu, resources.cpu_limit, limit)
    elif resources.cpu_limit is None and cpu > 1:
        raise ValueError(
            f"--sidecar-cpu-request {resources.cpu_request!r}: more than the limit, which is a core for each process; "
            'write --sidecar-cpu-limit as well, "" for none'
        )


def _amount(option: str, text: str, least: Fraction, least_text: str, example: str) -> Fraction:
    try:
        amount = parse(text)
    except ValueError as error:
        raise ValueError(f"{option} {text[:40]!r}: write a quantity, for example {example}") from error
    if amount < least:
        raise ValueError(f"{option} {text!r}: too little; write at least {least_text}")
    return amount


def _not_below(what: str, request: str, asked: Fraction, text: str, limit: Fraction) -> None:
    if limit < asked:
        raise ValueError(f"--sidecar-{what}-limit {text!r}: less than --sidecar-{what}-request {request!r}; write more")
