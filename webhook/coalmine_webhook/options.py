"""The options of ``coalmine webhook``, read into values that cannot be wrong."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from coalmine.model.names import CERTIFICATES_SECRET, SYSTEM_NAMESPACE
from coalmine_webhook.certificates import Mint, service_names
from coalmine_webhook.listening import Endpoint
from coalmine_webhook.resources import USUAL, Resources, check
from coalmine_webhook.sidecar import Kind, Settings

AUTO: Final = "auto"
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
#: Seconds: an API server learns of a new configuration within one as a rule; the rest is for one whose watch has to be
#: opened again, and for replicas whose clocks differ. A new authority is in no hurry.
SETTLE: Final = 300.0
#: Seconds that endpoints lag behind a pod's end: API servers connect to it until then.
SHUTDOWN_DELAY: Final = 5.0
#: Seconds. Longer than any grace period that somebody sets, or than anybody waits.
_LONGEST: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the process is to do."""

    listen: Endpoint
    metrics_listen: Endpoint
    #: Where others put certificates; None: they are kept in the Secret.
    certs: Path | None
    certs_secret: str
    namespace: str
    mint: Mint
    settle: float
    kubeconfig: str | None
    #: Its kind stands only if `kind_known`; else it is the API server's version that says.
    sidecar: Settings
    kind_known: bool
    shutdown_delay: float
    log_level: str


def parser() -> argparse.ArgumentParser:
    """The options as they are written."""
    result = argparse.ArgumentParser(prog="coalmine webhook", description="Serve Coalmine's admission webhook.")
    add = result.add_argument
    add("--listen", default=":9443", metavar="HOST:PORT", help="reviews, over TLS (default %(default)s)")
    add("--metrics-listen", default=":8080", metavar="HOST:PORT", help="metrics and health (default %(default)s)")
    certificates = result.add_mutually_exclusive_group()
    certificates.add_argument("--certs", type=Path, metavar="DIR", help="tls.crt, tls.key, ca.crt, made by others")
    certificates.add_argument(
        "--certs-secret",
        default=CERTIFICATES_SECRET,
        metavar="NAME",
        help="the Secret that we keep certificates in (default %(default)s)",
    )
    add("--namespace", default=SYSTEM_NAMESPACE, help="of that Secret and of the Service (default %(default)s)")
    add("--name", action="append", default=[], metavar="DNS", help="a further name of the certificate")
    add("--address", action="append", default=[], metavar="IP", help="a further address of it")
    add(
        "--certs-settle",
        type=float,
        default=SETTLE,
        metavar="SECONDS",
        help="how long API servers may take to learn of a new authority (default %(default)g)",
    )
    add("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, the pod's own account, ~/.kube/config")
    add("--image", help="the sidecar's image; default: $COALMINE_IMAGE")
    add("--image-pull-policy", choices=PULL_POLICIES, default="", help="of the sidecar's image (default: Kubernetes')")
    add(
        "--sidecar",
        choices=[AUTO, *(kind.value for kind in Kind)],
        default=AUTO,
        help="how it runs: auto is native where the API server is of version 1.33 or later",
    )
    add("--sidecar-cpu-request", default=USUAL.cpu_request, metavar="QUANTITY", help="default %(default)s")
    add("--sidecar-memory-request", default=USUAL.memory_request, metavar="QUANTITY", help="default %(default)s")
    add("--sidecar-cpu-limit", metavar="QUANTITY", help='"" for none (default: a core for each process)')
    add(
        "--sidecar-memory-limit",
        default=USUAL.memory_limit,
        metavar="QUANTITY",
        help='"" for none (default %(default)s)',
    )
    add(
        "--shutdown-delay",
        type=float,
        default=SHUTDOWN_DELAY,
        metavar="SECONDS",
        help="how long reviews are served after SIGTERM (default %(default)g)",
    )
    add("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    return result


def read(argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Raises ValueError with a sentence that names the option; SystemExit as argparse does."""
    given = parser().parse_args(argv)
    image = given.image or environ.get("COALMINE_IMAGE")
    if not image:
        raise ValueError("no sidecar image: write --image IMAGE")
    resources = Resources(
        given.sidecar_cpu_request, given.sidecar_memory_request, given.sidecar_cpu_limit, given.sidecar_memory_limit
    )
    check(resources)
    listen = _endpoint("--listen", given.listen)
    known = given.sidecar != AUTO
    kind = Kind(given.sidecar) if known else Kind.NATIVE
    return Options(
        listen=listen,
        metrics_listen=_endpoint("--metrics-listen", given.metrics_listen),
        certs=given.certs,
        certs_secret=given.certs_secret,
        namespace=given.namespace,
        mint=Mint(
            (*service_names(namespace=given.namespace), *given.name),
            tuple(sorted({str(ip_address(address)) for address in given.address} | _concrete(listen[0]))),
        ),
        settle=_seconds("--certs-settle", given.certs_settle),
        kubeconfig=given.kubeconfig,
        sidecar=Settings(image, kind, resources, given.image_pull_policy),
        kind_known=known,
        shutdown_delay=_seconds("--shutdown-delay", given.shutdown_delay),
        log_level=given.log_level,
    )


def _endpoint(option: str, text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise ValueError(f"{option} {text!r}: write HOST:PORT, for example 0.0.0.0:9443")
    return host.strip("[]") or None, int(port)


def _seconds(option: str, value: float) -> float:
    if not 0 <= value <= _LONGEST:
        raise ValueError(f"{option} {value:g}: write seconds from 0 to {_LONGEST:g}")
    return value


def _concrete(host: str | None) -> set[str]:
    """The address of --listen belongs on the certificate, unless it stands for all."""
    with contextlib.suppress(ValueError):
        address = ip_address(host or "")
        return set() if address.is_unspecified else {str(address)}
    return set()
