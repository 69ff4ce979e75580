"""What the sidecar is told when it starts: arguments, environment, a static file. Made into `Settings` here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from coalmine.model import names, wire
from coalmine.model.errors import SpecError
from coalmine.model.proxy_settings import MAX_WORKERS, ProxySettings, read_settings
from coalmine_proxy.exposition import Workload
from coalmine_proxy.limits import Limits
from coalmine_proxy.settings import Settings
from coalmine_proxy.static import PROTOCOLS, Static, load_static, parse_address

UID: Final = "COALMINE_POD_UID"
IP: Final = "COALMINE_POD_IP"
BIND: Final = "COALMINE_BIND"
#: For the labels of Istio's metrics.
WORKLOAD: Final = "COALMINE_WORKLOAD"
NAMESPACE: Final = "COALMINE_NAMESPACE"
VERSION: Final = "COALMINE_VERSION"


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings from arguments and environment. Raises SpecError naming what is missing or wrong, and OSError."""
    arguments = _parser().parse_args(argv)
    listen = _address(arguments.listen, "--listen", environ, arguments.listen_port)
    admin = _address(arguments.admin, "--admin", environ, arguments.admin_port)
    static = load_static(arguments.static) if arguments.static else None
    if static is not None and arguments.settings is not None:
        raise SpecError("--settings", "is given beside --static", "write them in the file, as its settings")
    wanted = _injected(arguments.settings) if static is None else static.settings
    found = _alone(arguments, static) if static is not None else _in_a_pod(arguments, environ)
    return replace(
        found,
        listen=listen,
        admin=admin,
        drain_seconds=arguments.drain_seconds,
        limits=Limits.of(wanted),
        trusted=wanted.trusted,
        log_sample=0.0 if wanted.log_sample is None else wanted.log_sample.hundredths / 10_000,
        istio=_workload(environ) if wanted.istio else None,
        workers=_workers(arguments.workers, wanted),
    )


def _address(text: str | None, name: str, environ: Mapping[str, str], port: int) -> tuple[str | None, int]:
    return parse_address(text, name) if text else (environ.get(BIND) or None, port)


def _alone(arguments: argparse.Namespace, static: Static) -> Settings:
    return Settings(
        listen=(None, 0),
        admin=(None, 0),
        own=None,
        pod="",
        routing=static.routing,
        static=True,
        protocol=arguments.protocol or static.protocol,
    )


def _in_a_pod(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    uid, address = environ.get(UID, ""), environ.get(IP, "")
    if not uid or not address:
        raise SpecError(UID if not uid else IP, "is not set", "set it from the downward API, or give --static FILE")
    if arguments.app_port is None:
        raise SpecError("--app-port", "is missing", "give the port of the application, or --static FILE")
    return Settings(
        listen=(None, 0),
        admin=(None, 0),
        own=wire.Endpoint(address, arguments.app_port, uid, arguments.admin_port),
        pod=uid,
        canary=arguments.canary,
        state=arguments.state,
        keys=arguments.keys,
        routing=wire.Routing(local_paths=tuple(p.strip() for p in arguments.local_paths.split(",") if p.strip())),
        protocol=arguments.protocol or PROTOCOLS[0],
    )


def _injected(text: str | None) -> ProxySettings:
    """What injection passes on. The webhook that wrote it chose this program's image, too, so both know the same."""
    if text is None:
        return ProxySettings()
    try:
        return read_settings(json.loads(text))
    except SpecError as error:
        raise error.under("--settings") from None
    except (ValueError, RecursionError) as error:
        raise SpecError("--settings", f"is not JSON: {error}", "write an object, for example {}") from error


def _workload(environ: Mapping[str, str]) -> Workload:
    """What is not known is so called by Istio, too."""
    name, namespace, version = (environ.get(key) or "unknown" for key in (WORKLOAD, NAMESPACE, VERSION))
    return Workload(name, namespace, version, {})


def _workers(given: int | None, wanted: ProxySettings) -> int:
    if given is None:
        return wanted.workers or 1
    if not 1 <= given <= MAX_WORKERS:
        raise SpecError("--workers", f"{given} is out of range", f"write a whole number from 1 to {MAX_WORKERS}")
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coalmine proxy", description="The sidecar that splits requests.")
    add = parser.add_argument
    add("--listen-port", type=int, default=names.PROXY_PORT, help="port for requests (default %(default)s)")
    add("--admin-port", type=int, default=names.ADMIN_PORT, help="port for the controller (default %(default)s)")
    add("--app-port", type=int, help="port of the application in this pod")
    add("--state", type=Path, help="directory that outlives a restart of the container")
    add("--keys", type=Path, help="directory of public keys that may sign a configuration")
    add("--canary", action="store_true", help="not ready before it has a configuration")
    add("--local-paths", default="/metrics", help="comma-separated paths served by this pod (default %(default)s)")
    add("--drain-seconds", type=float, default=20.0, help="grace after SIGTERM (default %(default)s)")
    add("--protocol", choices=PROTOCOLS, help="what the application's port speaks (default http)")
    add("--settings", metavar="JSON", help="timeouts, limits and the like, as in coalmine.dev/proxy")
    add("--workers", type=int, metavar="N", help="processes that share the port (default 1)")
    add("--listen", metavar="H:P", help="address and port for requests")
    add("--admin", metavar="H:P", help="address and port for the admin port")
    add("--static", type=Path, metavar="FILE", help="{stable: [h:p], canary: [h:p], weight: 20}")
    return parser
