"""A real Kubernetes control plane on this machine: etcd and three processes of Kubernetes' own.

Rules: it runs inside the namespaces of `isolate` only, so its addresses and ports are fixed; flags
make it start fast and idle cheaply and change nothing that a controller, a webhook or a person
can see; RBAC decides what each identity may do, and `kubeconfig_for` asks for real tokens.

``--unsafe-no-fsync``: the data is thrown away at the end; nothing has to survive a power cut.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import aiohttp

from coalmine_sandbox import isolate, kubeconfig
from coalmine_sandbox.certificates import Authority
from coalmine_sandbox.daemon import Daemon, DaemonError
from coalmine_sandbox.ground import REAL
from coalmine_sandbox.node import addresses
from coalmine_sandbox.plane import ControlPlane, answers

_ETCD: Final = "http://127.0.0.1:2379"
_ETCD_PEER: Final = "http://127.0.0.1:2380"
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"


class RealControlPlane(ControlPlane):
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler as daemons; `binaries` holds the programs."""

    def __init__(self, binaries: Path, state: Path) -> None:
        """Raises DaemonError outside of the namespaces of `isolate`."""
        if isolate.current() is None:
            raise DaemonError(
                "a real control plane needs namespaces of its own: "
                "run it by `python -m coalmine_sandbox.isolate -- ...`"
            )
        super().__init__(state, REAL)
        self._binaries = binaries
        self.etcd = self._daemon("etcd", _etcd_flags(state))
        self._apiserver = self._daemon("kube-apiserver", _apiserver_flags(self._pki))
        self.controller_manager = self._daemon("kube-controller-manager", self._controller_manager_flags())
        self.scheduler = self._daemon("kube-scheduler", [f"--config={state / 'scheduler.yaml'}", "--secure-port=0"])
        self.daemons = (self.etcd, self._apiserver, self.controller_manager, self.scheduler)

    @property
    def apiserver(self) -> Daemon:
        return self._apiserver

    @property
    def kubectl(self) -> Path:
        return self._binaries / "kubectl"

    async def start(self) -> None:
        authority = self._prepare()
        if authority is not None:
            self._prepare_clients(authority)
        addresses.add(REAL.api[0])
        self.etcd.start()
        async with aiohttp.ClientSession() as session:
            await self._until(lambda: answers(session, f"{_ETCD}/readyz"), self.etcd)
        self._apiserver.start()
        await self.api_ready()
        self.controller_manager.start()
        self.scheduler.start()
        await self._controllers_work(self.controller_manager)

    def _prepare_clients(self, authority: Authority) -> None:
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
        return Daemon(name, [str(self._binaries / name), *flags], self.state / "logs" / f"{name}.log", environment)


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
        f"--bind-address={REAL.api[0]}",
        f"--advertise-address={REAL.api[0]}",
        f"--secure-port={REAL.api[1]}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        # for kubectl logs; the node's name is no host name
        f"--kubelet-client-certificate={pki / 'node-client.crt'}",
        f"--kubelet-client-key={pki / 'node-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-cluster-ip-range={REAL.services}",
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
