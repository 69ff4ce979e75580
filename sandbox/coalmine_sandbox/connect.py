"""How Services are reached from outside of pods: by their names and ports, wherever they really are.

In namespaces a Service's name and port can be had as they are. On a machine that is shared, names
are in nobody's hosts file, and ports below 1024 may belong to root: the front for Services then
listens elsewhere and says where in a file, which `Names` reads. The file's format is the
controller's (`coalmine_controller.connect_to`): a configuration file for curl.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from coalmine_controller.connect_to import ConnectTo, Endpoint, parse

_HEAD = "# Where the Services are; for curl: curl -K THIS_FILE http://NAME.NAMESPACE/\n"


def text(places: Mapping[Endpoint, Endpoint]) -> str:
    """The file for these places by host and port."""
    lines = (
        f'connect-to = "{host}:{port}:{address}:{actual}"\n'
        for (host, port), (address, actual) in sorted(places.items())
    )
    return _HEAD + "".join(lines)


def write(file: Path, content: str) -> None:
    """Replace the file as a whole, if it differs: a reader sees the old one or the new one."""
    if file.exists() and file.read_text() == content:
        return
    fresh = file.with_name(f".{file.name}")
    fresh.write_text(content)
    fresh.replace(file)


class Place(NamedTuple):
    """A port of a Service, and where it is on this machine."""

    service: str
    namespace: str
    port: int
    address: str
    actual: int


def places(file: Path) -> list[Place]:
    """Every port of every Service that such a file tells of; none while there is no file."""
    try:
        known = parse(file.read_text())
    except FileNotFoundError:
        return []
    found = []
    for (host, port), (address, actual) in sorted(known.items()):
        service, _, namespace = host.partition(".")
        if namespace and "." not in namespace:  # of a Service's names the one with its namespace and nothing more
            found.append(Place(service, namespace, port, address, actual))
    return found


class Names:
    """Where hosts and ports are, by such a file; without one everything is where it says."""

    def __init__(self, file: Path | None = None) -> None:
        self._known = None if file is None else ConnectTo(file)

    def address(self, host: str, port: int) -> Endpoint:
        """Where to connect to for `host` and `port`; these themselves when the file does not know them."""
        found = None if self._known is None else self._known.find(host, port)
        return found or (host, port)
