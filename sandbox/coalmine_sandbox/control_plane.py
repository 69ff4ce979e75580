"""A real Kubernetes control plane on this machine: etcd and three processes of Kubernetes' own.

Rules: it runs inside the sandbox's namespaces only, so its addresses and ports are fixed; flags
make it start fast and idle cheaply and change nothing that a controller, a webhook or a person
can see; RBAC decides what each identity may do, and `kubeconfig_for` asks for real tokens.

``--unsafe-no-fsync``: the data is thrown away at the end; nothing has to survive a power cut.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp

from coalmine.kube.client import ApiError, Client
from coalmine.kube.resources import SERVICE_ACCOUNTS
from coalmine_sandbox import kubeconfig
from coalmine_sandbox.certificates import Authority, Pair, signing_key
from coalmine_sandbox.daemon import Daemon, DaemonError
from coalmine_sandbox.node import addresses

#: The API server's own address: 127.0.0.0/8 is refused as the endpoint of a Service, which the
#: Service "kubernetes" needs.
ADDRESS: Final = "10.97.0.1"
PORT: Final = 6443
SERVER: Final = f"https://{ADDRESS}:{PORT}"
SERVICE_RANGE: Final = "10.96.0.0/16"
SERVICE_ADDRESS: Final = "10.96.0.1"
_ETCD: Final = "http://127.0.0.1:2379"
_ETCD_PEER: Final = "http://127.0.0.1:2380"
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
#: Starting takes 4 seconds on two idle cores.
_READY_SECONDS: Final = 90.0
#: A token outlives any lab.
_TOKEN_SECONDS: Final = 7 * 86_400


class ControlPlane:
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler as daemons.

    `binaries` holds the programs; certificates, data, kubeconfigs and logs go below `state`.
    """

    def __init__(self, binaries: Path, state: Path) -> None:
        self.binaries = binaries
        self.state = state
        self.admin_kubeconfig = state / "admin.kubeconfig"
        self.authority = b""
        self._logs = state / "logs"
        self._pki = state / "pki"
        self.etcd = self._daemon("etcd", _etcd_flags(state))
        self.apiserver = self._daemon("kube-apiserver", _apiserver_flags(self._pki))
        self.controller_manager = self._daemon("kube-controller-manager", self._controller_manager_flags())
        self.scheduler = self._daemon("kube-scheduler", [f"--config={state / 'scheduler.yaml'}", "--secure-port=0"])
        self.daemons = (self.etcd, self.apiserver, self.controller_manager, self.scheduler)
        self._admin_certificate: Pair | None = None

    async def start(self) -> None:
        """Start everything; returns once the API server is ready and controllers have begun to work.

        Raises DaemonError.
        """
        self._prepare()
        addresses.add(ADDRESS)
        self.etcd.start()
        async with aiohttp.ClientSession() as session:
            await self._until(lambda: _answers(session, f"{_ETCD}/readyz"), self.etcd)
        self.apiserver.start()
        await self.api_ready()
        self.controller_manager.start()
        self.scheduler.start()
        async with await self.client() as client:
            # made by a controller of the controller manager: it is at work
            await self._until(lambda: _exists(client, "default"), self.controller_manager)

    async def api_ready(self) -> None:
        """Returns once the API server's /readyz says ok. Raises DaemonError."""
        context = ssl.create_default_context(cafile=self._pki / "ca.crt")
        context.load_cert_chain(self._pki / "admin.crt", self._pki / "admin.key")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            await self._until(lambda: _answers(session, f"{SERVER}/readyz"), self.apiserver)

    async def stop(self) -> None:
        """End everything, clients before servers."""
        for daemon in reversed(self.daemons):
            await daemon.stop(grace=5.0)

    async def client(self) -> Client:
        """A client with all rights; to be closed by the caller."""
        return await Client.connect(str(self.admin_kubeconfig))

    def kubeconfig_of(self, name: str, user: dict[str, Any]) -> Path:
        """Write a kubeconfig with these credentials below the state directory; its path."""
        return kubeconfig.write(self.state / f"{name}.kubeconfig", SERVER, self.authority, user)

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

    # --- before the first start ----------------------------------------------------------------

    _authority: Authority | None = None

    def _prepare(self) -> None:
        if self._authority is not None:
            return  # started again: same certificates, same data
        self._pki.mkdir(parents=True, exist_ok=True)
        authority = self._authority = Authority("coalmine-sandbox", datetime.datetime.now(datetime.UTC))
        self.authority = authority.certificate
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        server = authority.issue("kube-apiserver", hosts=["localhost", *names, ADDRESS, SERVICE_ADDRESS, "127.0.0.1"])
        admin = authority.issue("admin", groups=["system:masters"])
        private, public = signing_key()
        files = {
            "ca.crt": authority.certificate,
            "apiserver.crt": server.certificate,
            "apiserver.key": server.key,
            "admin.crt": admin.certificate,
            "admin.key": admin.key,
            "sa.key": private,
            "sa.pub": public,
        }
        for name, content in files.items():
            (self._pki / name).write_bytes(content)
            (self._pki / name).chmod(0o600)
        self.kubeconfig_of("admin", kubeconfig.certificate_user(admin))
        for name in ("kube-controller-manager", "kube-scheduler"):
            self.kubeconfig_of(name, kubeconfig.certificate_user(authority.issue(f"system:{name}")))
        (self.state / "scheduler.yaml").write_text(
            _SCHEDULER.format(kubeconfig=self.state / "kube-scheduler.kubeconfig")
        )

    def _controller_manager_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self.state / 'kube-controller-manager.kubeconfig'}",
            f"--service-account-private-key-file={self._pki / 'sa.key'}",
            f"--root-ca-file={self._pki / 'ca.crt'}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            # no port of its own: it would make an RSA key at each start, for nobody
            "--secure-port=0",
            # 20 requests a second is what a shared cluster needs; here it would be a queue
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]

    def _daemon(self, name: str, flags: list[str]) -> Daemon:
        environment = {"PATH": os.defpath, "GOGC": "200"}  # collects garbage half as often, for 100 MB
        return Daemon(name, [str(self.binaries / name), *flags], self._logs / f"{name}.log", environment)

    async def _until(self, ready: Callable[[], Any], daemon: Daemon) -> None:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not await ready():
                    daemon.check()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise DaemonError(f"{daemon.name} was not ready in {_READY_SECONDS:g} s:\n{daemon.tail()}") from None


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=5)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def _exists(client: Client, service_account: str) -> bool:
    try:
        return await client.find(SERVICE_ACCOUNTS, "default", service_account) is not None
    except ApiError:
        return False


_SCHEDULER: Final = """\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {{kubeconfig: {kubeconfig}, qps: 200, burst: 400}}
leaderElection: {{leaderElect: false}}
"""


def _etcd_flags(state: Path) -> list[str]:
    return [
        "--name=sandbox",
        f"--data-dir={state / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_ETCD_PEER}",
        f"--initial-advertise-peer-urls={_ETCD_PEER}",
        f"--initial-cluster=sandbox={_ETCD_PEER}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver_flags(pki: Path) -> list[str]:
    return [
        f"--etcd-servers={_ETCD}",
        f"--bind-address={ADDRESS}",
        f"--advertise-address={ADDRESS}",
        f"--secure-port={PORT}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-account-issuer={_ISSUER}",
        "--allow-privileged=true",
        "--profiling=false",
        # queues that nobody fills here cost a steady few percent of a core
        "--enable-priority-and-fairness=false",
    ]
