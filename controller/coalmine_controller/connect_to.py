"""Where Services are reached when neither DNS nor their ports can be had: a file that says so.

The sandbox's front for Services writes it on machines where an ordinary user may change neither.
Its format is that of a curl configuration file, so that ``curl -K FILE http://colorapi/`` works as well::

    connect-to = "colorapi.default:80:127.1.16.5:8080"

host and port as a client names them, then address and port where they are. Lines of any other
form are passed over. The file is read again when it has changed; one that is not there says nothing.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from pathlib import Path
from typing import Final

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

Endpoint = tuple[str, int]

_LINE: Final = re.compile(r'connect-to = "([^":]+):(\d{1,5}):([\d.]+):(\d{1,5})"\s*\Z')
#: Some thousand Services with four names each; a longer file is none of ours.
_MAX_BYTES: Final = 4 << 20


def parse(text: str) -> dict[Endpoint, Endpoint]:
    """Host (in lower case) and port -> address and port."""
    found = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            host, port, address, actual = match.groups()
            try:
                found[host.lower(), int(port)] = str(ipaddress.IPv4Address(address)), int(actual)
            except ValueError:
                continue
    return found


class ConnectTo:
    """What the file says now."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: tuple[int, int, int] | None = None
        self._known: dict[Endpoint, Endpoint] = {}

    def find(self, host: str, port: int) -> Endpoint | None:
        """Where this host and port are; None when the file does not say."""
        return self.entries().get((host.rstrip(".").lower(), port))

    def entries(self) -> dict[Endpoint, Endpoint]:
        """Everything that the file says."""
        try:
            with self._file.open("rb") as opened:
                # of the file that was opened: another may take its name at any moment
                status = os.fstat(opened.fileno())
                version = (status.st_ino, status.st_mtime_ns, status.st_size)
                if version != self._version:
                    self._known = parse(opened.read(_MAX_BYTES).decode(errors="replace"))
                    self._version = version
        except OSError:
            self._known, self._version = {}, None
        return self._known


class Resolver(AbstractResolver):
    """For aiohttp: what the file says comes first, `otherwise` (DNS) for the rest."""

    def __init__(self, connect_to: ConnectTo, otherwise: AbstractResolver | None = None) -> None:
        self._connect_to = connect_to
        self._otherwise = otherwise or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self._connect_to.find(host, port)
        if found is None:
            return await self._otherwise.resolve(host, port, family)
        address, actual = found
        result = ResolveResult(
            hostname=host, host=address, port=actual, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST
        )
        return [result]

    async def close(self) -> None:
        await self._otherwise.close()
