"""A question over HTTPS to a webhook: where it is, whom to trust, how long to wait, how much to read.

Rules: one session; a TLS context for each caBundle, made once; the certificate's name is checked, for a Service
it is ``NAME.NAMESPACE.svc``. What fails is worded as Go's net/http words it, since people search for these words.
A connection that was kept and turns out to be closed is tried again once, as net/http does: the webhook may have
been restarted.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import ssl
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp

from coalmine.kube.resources import SERVICES, Object
from coalmine_sandbox.api.admission.attributes import Reader

#: What rest.Client reads of an answer at most (its default for webhooks): a patch of the largest object fits.
LARGEST_ANSWER: Final = 3 << 20
#: Certificates of one installation; a context is some 100 KiB.
_CONTEXTS: Final = 64
#: Seconds: shorter than servers keep an idle connection (aiohttp 75), so that few are found closed.
_KEPT_ALIVE: Final = 15.0
_HTTPS: Final = 443


class CallError(Exception):
    """A webhook could not be asked. The text is what follows "failed to call webhook: "."""


class Caller(Protocol):
    """Asks a webhook; the body of its answer. Raises CallError."""

    async def __call__(self, config: Object, body: bytes, seconds: int) -> bytes: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where a webhook is: as its URL says, and where the connection really goes."""

    url: str
    name: str  # that its certificate must be for
    address: str
    port: int

    @property
    def direct(self) -> str:
        """The URL to connect to."""
        parts = urlsplit(self.url)
        host = f"[{self.address}]" if ":" in self.address else self.address
        return parts._replace(netloc=f"{host}:{self.port}").geturl()


class HttpsCaller:
    """The Caller of a running server."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, config: Object, body: bytes, seconds: int) -> bytes:
        where = target(config, self._reader, seconds)
        context = _context(str(config.get("caBundle") or ""))
        trace = SimpleNamespace(reused=False)
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await self._post(where, context, body, trace)
                except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                    if not trace.reused:
                        raise
                return await self._post(where, context, body, SimpleNamespace())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CallError(f'Post "{where.url}": {_reason(error, where)}') from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, where: Target, context: ssl.SSLContext, body: bytes, trace: SimpleNamespace) -> bytes:
        headers = {
            "Host": urlsplit(where.url).netloc,
            "Content-Type": "application/json",
            "Accept": "application/json, */*",
            "User-Agent": "kube-apiserver-admission",
        }
        async with self._opened().post(
            where.direct,
            data=body,
            headers=headers,
            ssl=context,
            server_hostname=where.name,
            timeout=aiohttp.ClientTimeout(total=None),  # the caller's is for both tries
            allow_redirects=False,
            trace_request_ctx=trace,
        ) as response:
            read = await _bounded(response.content)
            if not 200 <= response.status < 300:
                raise CallError(_refused(response.status, read))
            return read

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(keepalive_timeout=_KEPT_ALIVE)
            tracing = aiohttp.TraceConfig()
            tracing.on_connection_reuseconn.append(_reused)
            self._session = aiohttp.ClientSession(connector=connector, trace_configs=[tracing])
        return self._session


async def _reused(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: Any) -> None:
    context.trace_request_ctx.reused = True


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    read = bytearray()
    async for chunk in stream.iter_any():
        read += chunk
        if len(read) > LARGEST_ANSWER:
            raise CallError(f"the answer is larger than {LARGEST_ANSWER} bytes")
    return bytes(read)


def target(config: Object, reader: Reader, seconds: int) -> Target:
    """Where a clientConfig points: its URL, or its Service's cluster address. Raises CallError."""
    if url := config.get("url"):
        try:
            parts = urlsplit(str(url))
            host, port = parts.hostname or "", parts.port or _HTTPS
        except ValueError as error:
            raise CallError(f"invalid URL: {error}") from error
        query = f"{parts.query}&timeout={seconds}s" if parts.query else f"timeout={seconds}s"
        return Target(parts._replace(query=query, fragment="").geturl(), host, host, port)
    service = config.get("service") or {}
    namespace, name = str(service.get("namespace")), str(service.get("name"))
    port = int(service.get("port") or _HTTPS)
    path = "/" + str(service.get("path") or "").lstrip("/")
    host = f"{name}.{namespace}.svc"
    url = f"https://{host}:{port}{path}?timeout={seconds}s"
    found = reader.get(SERVICES, namespace, name)
    if found is None:
        raise CallError(f'Post "{url}": service "{name}" not found')
    spec = found["spec"]
    if not any(int(each["port"]) == port for each in spec.get("ports") or ()):
        raise CallError(f'Post "{url}": no service port {port} found for service "{name}"')
    address = str(spec.get("clusterIP") or "None")
    if address == "None":
        raise CallError(f'Post "{url}": service "{name}" has no cluster address: give it one, or write a url instead')
    return Target(url, host, address, port)


@functools.lru_cache(maxsize=_CONTEXTS)
def _context(bundle: str) -> ssl.SSLContext:
    """Trusts the authorities of a caBundle, else those of the system. Raises CallError."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle, validate=True).decode("ascii"))
    except (binascii.Error, ValueError, ssl.SSLError) as error:
        raise CallError("unable to load root certificates: unable to parse bytes as PEM block") from error


def _reason(error: BaseException, where: Target) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return _distrust(error.certificate_error, where)
        case aiohttp.ClientConnectorDNSError():
            return f"dial tcp: lookup {where.address}: no such host"
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionRefusedError):
            return f"dial tcp {where.address}:{where.port}: connect: connection refused"
        case aiohttp.ClientConnectorError():
            return f"dial tcp {where.address}:{where.port}: connect: {error.os_error.strerror or error.os_error}"
        case TimeoutError():
            return "context deadline exceeded"
        case aiohttp.ServerDisconnectedError():
            return "EOF"
    return str(error) or type(error).__name__


def _distrust(error: Exception, where: Target) -> str:
    found = "tls: failed to verify certificate: x509: "
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: {error}"
    if error.verify_code == 62:  # X509_V_ERR_HOSTNAME_MISMATCH
        return f"{found}certificate is not valid for any names, but wanted to match {where.name}"
    if error.verify_code == 64:  # X509_V_ERR_IP_ADDRESS_MISMATCH
        return f"{found}cannot validate certificate for {where.name} because it doesn't contain any IP SANs"
    if error.verify_code == 10:  # X509_V_ERR_CERT_HAS_EXPIRED
        return f"{found}certificate has expired or is not yet valid"
    return f"{found}certificate signed by unknown authority"


def _refused(status: int, body: bytes) -> str:
    """An HTTP error as client-go puts it (NewGenericServerResponse)."""
    match status:
        case 404:
            return "the server could not find the requested resource"
        case 405 | 301 | 302 | 307 | 308:
            return "the server does not allow this method on the requested resource"
        case 500 | 502 | 503 | 504:
            said = body[:1024].decode(errors="replace").strip()
            return f'an error on the server ("{said}") has prevented the request from succeeding'
    return f"the server responded with the status code {status} but did not return more information"
