"""A control plane of a lab: what the lab needs of it, be it Kubernetes' own programs or the sandbox's.

`real` starts etcd and Kubernetes' processes, `small` the sandbox's one process. Both are started with
certificates of one authority that is made for them, know their administrators by client certificates,
and service accounts by tokens of the TokenRequest API.
"""

from __future__ import annotations

import abc
import asyncio
import datetime
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp

from coalmine.kube.client import Client
from coalmine.kube.resources import SERVICE_ACCOUNTS
from coalmine.kube.verbs import ApiError
from coalmine_sandbox import kubeconfig
from coalmine_sandbox.certificates import Authority, signing_key
from coalmine_sandbox.daemon import Daemon, DaemonError
from coalmine_sandbox.ground import Ground
from coalmine_sandbox.node.log_server import CLIENT as NODE_CLIENT

#: The real one starts in 4 seconds on two idle cores.
_READY_SECONDS: Final = 90.0
#: A token outlives any lab.
_TOKEN_SECONDS: Final = 7 * 86_400
_NAMES: Final = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


class ControlPlane(abc.ABC):
    """`start`, `stop`, and credentials. Certificates, data, kubeconfigs and logs go below `state`."""

    #: Every process of it, in the order in which they depend on each other.
    daemons: tuple[Daemon, ...]

    def __init__(self, state: Path, ground: Ground) -> None:
        self.state = state
        self.ground = ground
        self.server = ground.server
        self.admin_kubeconfig = state / "admin.kubeconfig"
        self.authority = b""
        self._authority: Authority | None = None
        self._pki = state / "pki"

    @abc.abstractmethod
    async def start(self) -> None:
        """Start everything; returns once the API server is ready and controllers work. Raises DaemonError."""

    @property
    @abc.abstractmethod
    def kubectl(self) -> Path | None:
        """The kubectl that goes with it, if there is one on this machine."""

    @property
    @abc.abstractmethod
    def apiserver(self) -> Daemon:
        """The process that serves the API."""

    async def stop(self) -> None:
        """End everything, clients before servers."""
        for daemon in reversed(self.daemons):
            await daemon.stop(grace=5.0)

    async def api_ready(self) -> None:
        """Returns once the API server's /readyz says ok. Raises DaemonError."""
        context = ssl.create_default_context(cafile=self._pki / "ca.crt")
        context.load_cert_chain(self._pki / "admin.crt", self._pki / "admin.key")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            await self._until(lambda: answers(session, f"{self.server}/readyz"), self.apiserver)

    async def client(self) -> Client:
        """A client with all rights; to be closed by the caller."""
        return await Client.connect(str(self.admin_kubeconfig))

    def kubeconfig_of(self, name: str, user: dict[str, Any]) -> Path:
        """Write a kubeconfig with these credentials below the state directory; its path."""
        return kubeconfig.write(self.state / f"{name}.kubeconfig", self.server, self.authority, user)

    async def kubeconfig_for(self, service_account: str, namespace: str) -> Path:
        """A kubeconfig with a token of the service account, from the TokenRequest API."""
        async with await self.client() as client:
            path = SERVICE_ACCOUNTS.path(namespace, service_account, "token")
            request = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": _TOKEN_SECONDS},
            }
            answer = await client.raw("POST", path, request)
        return self.kubeconfig_of(f"{namespace}.{service_account}", {"token": answer["status"]["token"]})

    def administrator(self, name: str) -> Path:
        """A kubeconfig with all rights under a user name of its own."""
        if self._authority is None:
            raise DaemonError("the control plane was not started")
        pair = self._authority.issue(name, groups=["system:masters"])
        return self.kubeconfig_of(name.replace(":", "-"), kubeconfig.certificate_user(pair))

    def _prepare(self) -> Authority | None:
        """Make certificates and the administrator's kubeconfig; None when that was done by an earlier start."""
        if self._authority is not None:
            return None  # started again: same certificates, same data
        self._pki.mkdir(parents=True, exist_ok=True)
        authority = self._authority = Authority("coalmine-sandbox", datetime.datetime.now(datetime.UTC))
        self.authority = authority.certificate
        hosts = ["localhost", *_NAMES, self.ground.api[0], self.ground.kubernetes, "127.0.0.1"]
        server = authority.issue("kube-apiserver", hosts=hosts)
        admin = authority.issue("admin", groups=["system:masters"])
        node_client = authority.issue(NODE_CLIENT)
        private, public = signing_key()
        files = {
            "ca.crt": authority.certificate,
            "apiserver.crt": server.certificate,
            "apiserver.key": server.key,
            "node-client.crt": node_client.certificate,
            "node-client.key": node_client.key,
            "admin.crt": admin.certificate,
            "admin.key": admin.key,
            "sa.key": private,
            "sa.pub": public,
        }
        for name, content in files.items():
            path = self._pki / name
            path.touch(mode=0o600)
            path.write_bytes(content)
        self.kubeconfig_of("admin", kubeconfig.certificate_user(admin))
        return authority

    async def _controllers_work(self, daemon: Daemon) -> None:
        """Returns once a controller of `daemon` has made the ServiceAccount without which there are no pods."""
        async with await self.client() as client:

            async def made() -> bool:
                try:
                    return await client.find(SERVICE_ACCOUNTS, "default", "default") is not None
                except ApiError:
                    return False

            await self._until(made, daemon)

    async def _until(self, ready: Callable[[], Awaitable[bool]], daemon: Daemon) -> None:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not await ready():
                    daemon.check()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise DaemonError(f"{daemon.name} was not ready in {_READY_SECONDS:g} s:\n{daemon.tail()}") from None


async def answers(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
