"""A pod's logs: the node's agent has them, and is asked over its own API, as kube-apiserver asks a kubelet.

The agent's certificate is not verified: neither does kube-apiserver without a --kubelet-certificate-authority.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp

from coalmine.kube.resources import NODES, PODS, Object
from coalmine_sandbox.api import errors
from coalmine_sandbox.api.errors import StatusError
from coalmine_sandbox.api.http import TEXT, Answer, Request, Stream
from coalmine_sandbox.api.store import Store

_PASSED_ON: Final = ("follow", "previous", "timestamps", "tailLines", "limitBytes", "sinceSeconds", "sinceTime")
#: Seconds for the agent to begin: it is on this machine.
_PATIENCE: Final = 10.0


class Logs:
    """Asks node agents, showing them the client certificate in `pki`; to be closed."""

    def __init__(self, store: Store, pki: Path | None) -> None:
        self._store = store
        self._pki = pki
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, namespace: str, name: str, request: Request) -> Answer | Stream:
        """The log that the request asks for. Raises StatusError (400, 404, 500)."""
        pod = self._store.get(PODS, namespace, name)
        if pod is None:
            raise errors.not_found("pods", name)
        container = request.parameter("container") or _only_container(pod)
        _known(pod, container)
        node = pod["spec"].get("nodeName")
        if not node:
            return Answer(200, b"", TEXT)  # nothing ran yet
        url = f"{self._agent(node)}/containerLogs/{namespace}/{name}/{container}"
        query = {key: request.parameter(key) for key in _PASSED_ON if request.query.get(key)}
        return await self._ask(url, query)

    def _agent(self, node: str) -> str:
        """Where the node's agent listens."""
        found = self._store.get(NODES, None, node)
        status = (found or {}).get("status") or {}
        addresses = [a["address"] for a in status.get("addresses") or () if a["type"] == "InternalIP"]
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        if not addresses or not port:
            raise errors.internal(f'node "{node}" tells no address and port of its agent')
        return f"https://{addresses[0]}:{port}"

    async def _ask(self, url: str, query: dict[str, str]) -> Answer | Stream:
        if self._session is None:
            trust = ssl.create_default_context()
            trust.check_hostname = False
            trust.verify_mode = ssl.CERT_NONE
            if self._pki is not None:
                trust.load_cert_chain(self._pki / "node-client.crt", self._pki / "node-client.key")
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE)
        try:
            response = await self._session.get(url, params=query, timeout=limits)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.internal(f'Get "{url}": {error or type(error).__name__}') from error
        if response.status != 200:
            said = await _refusal(response)
            raise errors.bad_request(said) if response.status < 500 else errors.internal(said)
        return Stream(_pieces(response), TEXT)


async def _refusal(response: aiohttp.ClientResponse) -> str:
    try:
        return (await response.text(errors="replace"))[:1000].strip() or f"the node's agent answered {response.status}"
    except aiohttp.ClientError as error:
        return f"the node's agent broke off: {error}"
    finally:
        response.release()


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        yield b""  # the answer's head goes out at once
        async for piece in response.content.iter_any():
            yield piece
    except aiohttp.ClientError:
        return  # the agent is gone: what came before is all there is
    finally:
        response.close()


def _only_container(pod: Object) -> str:
    spec = pod["spec"]
    names = [container["name"] for container in spec.get("containers") or ()]
    default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if default in names:
        return str(default)
    if len(names) == 1:
        return str(names[0])
    inits = [container["name"] for container in spec.get("initContainers") or ()]
    listed = f"[{' '.join(names)}]"
    why = f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: {listed}"
    if inits:
        why += f" or one of the init containers: [{' '.join(inits)}]"
    raise errors.bad_request(why)


def _known(pod: Object, container: str) -> None:
    spec = pod["spec"]
    every = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    if container not in [each["name"] for each in every]:
        raise StatusError(400, "BadRequest", f"container {container} is not valid for pod {pod['metadata']['name']}")
