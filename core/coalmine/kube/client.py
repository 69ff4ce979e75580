"""The API server over HTTP, with raw JSON.

Where the cluster is and who we are comes from the Kubernetes client library (kubeconfig with its
exec plugins and tokens, or the service account of the pod). What is sent and received stays
as it is, for the reason given in the package.

Rules: every request has a time limit below the Lease's renew deadline, so that a hung API
server cannot let two controllers lead; a watch ends in an exception or when the server ends
it, never silently; nothing is retried here: the callers' loops are.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml

from coalmine.kube.calls import Call, Observer, ignore, words
from coalmine.kube.resources import Object
from coalmine.kube.verbs import WATCH_SECONDS, ApiError, Event, Verbs, api_error
from coalmine.model.errors import RemoteError

#: An object is at most about 3 MiB (etcd refuses more than 1.5 MiB, stored more densely): a longer event
#: is no Kubernetes answering.
_MAX_EVENT: Final = 16 << 20


class Client(Verbs):
    """A connection to one API server. Made by `connect`, closed by `close` or `async with`."""

    #: Time limit of a request; of a watch, that of its connection.
    request_seconds: float = 8.0

    def __init__(self, library_client: Any, namespace: str = "default", observe: Observer = ignore) -> None:
        self._library = library_client
        self._namespace = namespace
        self._observe = observe
        self._configuration = library_client.configuration
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    async def connect(
        cls, kubeconfig: str | None = None, context: str | None = None, *, observe: Observer = ignore
    ) -> Client:
        """Find the cluster by kubectl's rules: the given file, else $KUBECONFIG, else the
        pod's service account, else ~/.kube/config. `observe` is told of each request.

        Raises RemoteError with what to do when there is none, or it cannot be read.
        """
        from kubernetes.aio import client, config  # half a second: only for who needs a cluster

        configuration = client.Configuration()
        namespace = None
        in_cluster = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
        try:
            if (
                kubeconfig is None
                and context is None
                and "KUBECONFIG" not in os.environ
                and "KUBERNETES_SERVICE_HOST" in os.environ
                and in_cluster.exists()
            ):
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                with contextlib.suppress(OSError):  # mounted beside the token, but not by everybody
                    namespace = in_cluster.with_name("namespace").read_text().strip()
            else:
                path = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
                if not any(Path(part).expanduser().exists() for part in path.split(os.pathsep)):
                    raise RemoteError(f"no kubeconfig at {path}: name one with --kubeconfig or $KUBECONFIG")
                loader = await config.load_kube_config(  # type: ignore[no-untyped-call]
                    path, context=context, client_configuration=configuration, persist_config=False
                )
                namespace = (loader.current_context.get("context") or {}).get("namespace")
        except (config.ConfigException, yaml.YAMLError, TypeError, KeyError, ValueError, OSError) as error:
            # the library lets through what the YAML parser and a file of the wrong shape raise
            detail = "it has not the shape of one" if isinstance(error, (TypeError, KeyError)) else str(error)
            if context and detail.endswith("/contexts list"):
                detail = f"it has no context {context}; `kubectl config get-contexts` lists those that it has"
            raise RemoteError(f"the kubeconfig cannot be used: {detail}") from error
        configuration.connection_pool_maxsize = 0  # the callers bound what they have in flight
        # aiohttp would look .netrc and the proxies up at each request, in a thread: four times what a small GET costs
        proxy = configuration.proxy or _proxy(configuration.host)  # the kubeconfig's proxy-url has precedence
        configuration.client_session_kwargs = {"trust_env": False, "proxy": proxy}
        connected = cls(client.ApiClient(configuration), str(namespace or "default"), observe)
        # the library writes keys that are in a kubeconfig to the temporary directory, and removes them only if we end
        # in order: they have been read by now
        config.kube_config._cleanup_temp_files()  # type: ignore[no-untyped-call]
        return connected

    @property
    def namespace(self) -> str:
        """The namespace of who names none: that of the kubeconfig's context or of the pod, else default."""
        return self._namespace

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; watches end."""
        if self._session is not None:
            await self._session.close()
            # aiohttp closes TLS transports in the next turns of the loop
            await asyncio.sleep(0)
        await self._library.close()

    async def _events(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[Event, None]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.request_seconds, sock_read=WATCH_SECONDS + 30)
        async with self._request("GET", path, query=query, timeout=timeout) as response:
            async for line in _lines(response.content):
                yield _event(line)

    async def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        timeout = aiohttp.ClientTimeout(total=self.request_seconds)
        async with self._request(
            method, path, body, query=query, content_type=content_type, timeout=timeout
        ) as response:
            try:
                return dict(await response.json(content_type=None))
            except (ValueError, TypeError) as error:
                raise ApiError(response.status, "BadAnswer", f"{method} {path}: the answer is not JSON") from error

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  handed to aiohttp
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = self._library.rest_client._create_pool_manager()
        headers = {"Accept": "application/json", "User-Agent": "coalmine"}
        # exec plugins and projected tokens are renewed by the library when it is asked
        token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body).encode()
        url = self._configuration.host.rstrip("/") + path
        began, answered = time.perf_counter(), False
        try:
            async with self._session.request(
                method,
                url,
                params=query,
                data=data,
                headers=headers,
                timeout=timeout,
                server_hostname=self._configuration.tls_server_name or None,  # the kubeconfig's tls-server-name
            ) as response:
                answered = True
                self._observe(Call(*words(method, path, query), response.status, time.perf_counter() - began))
                if response.status >= 400:
                    text = await response.text(errors="replace")  # what stands in between may say it in any encoding
                    try:
                        status = json.loads(text)
                    except ValueError:
                        status = None
                    raise api_error(response.status, status if isinstance(status, dict) else None, text)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not answered:
                self._observe(Call(*words(method, path, query), 0, time.perf_counter() - began))
            detail = str(error) or type(error).__name__
            if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
                number = error.os_error.errno or 0  # the library's text tells of its sockets; not positive: a name's
                detail = os.strerror(number) if number > 0 else error.os_error.strerror or detail
                detail = f"{error.host}:{error.port}: {detail}"
            raise ApiError(0, "Unreachable", f"the API server cannot be reached: {detail}") from error


def _proxy(server: str) -> str | None:
    """The proxy that the environment names for `server` (HTTPS_PROXY, NO_PROXY)."""
    parts, proxies = urlsplit(server), getproxies()
    if proxy_bypass(parts.netloc) or _in_network(parts.hostname or "", proxies.get("no", "")):
        return None
    return proxies.get(parts.scheme)


def _in_network(host: str, no_proxy: str) -> bool:
    """Whether `host` is an address in one of the networks of NO_PROXY, which client-go knows and Python does not."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        with contextlib.suppress(ValueError):
            if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
    return False


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a watch. (The stream's own lines end at 128 KiB, in an exception; objects do not.)

    What the server's end cuts off is passed on too: it is no JSON, and is refused as such.
    """
    parts: list[bytes] = []
    size = 0
    async for chunk in stream.iter_any():
        *whole, rest = chunk.split(b"\n")
        for end in whole:
            yield b"".join((*parts, end))
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > _MAX_EVENT:
            raise ApiError(0, "BadWatch", f"a watch event is longer than {_MAX_EVENT} bytes")
    if size:
        yield b"".join(parts)


def _event(line: bytes) -> Event:
    try:
        raw = json.loads(line)
        event = Event(str(raw["type"]), dict(raw["object"]))
        if event.type != "ERROR":
            event.object["metadata"].get("resourceVersion")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ApiError(0, "BadWatch", f"a watch event is malformed: {error}") from error
    return event
