"""What providers that ask by HTTP share: whose host is meant, what of a URL may be shown, how much is read."""

from __future__ import annotations

import ipaddress
from typing import Final

import aiohttp
import yarl

from coalmine_controller.analysis.providers.measured import MeasurementError
from coalmine_controller.analysis.settings.url import read_url

#: Bytes of an answer. A metric is a few; 1 MiB is a generous page of them, and fifty metrics of it
#: at a time fit into the controller's memory.
MAX_BODY: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024


def url_of(text: str, namespace: str, title: str) -> yarl.URL:
    """`text` as a URL, its host `in_namespace`. Raises MeasurementError, which begins with `title` and does not
    repeat the text."""
    try:
        return in_namespace(read_url(text), namespace)
    except ValueError as error:
        raise MeasurementError(f"{title}: its URL cannot be requested") from error


def in_namespace(url: yarl.URL, namespace: str) -> yarl.URL:
    """`url`, its host completed with the namespace when it is the bare name of a Service."""
    host = url.host or ""
    if not namespace or not host or "." in host or host == "localhost":
        return url
    try:
        ipaddress.ip_address(host)  # an IPv6 address has no dots
    except ValueError:
        return url.with_host(f"{host}.{namespace}")
    return url


def shown(url: yarl.URL) -> str:
    """`url` without its user and its query, which may hold secrets."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


async def read_body(response: aiohttp.ClientResponse, title: str) -> str:
    """The whole body. Raises MeasurementError, which begins with `title`, for one that is too long."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_BODY:
            raise MeasurementError(f"{title}: the answer is longer than {MAX_BODY} bytes")
    return body.decode(errors="replace")
