"""The lab with a real node: containerd, kubelet, kube-proxy and cluster DNS beside the real control plane.

Rules: it runs inside the namespaces of `isolate`, so the network, the mounts and the processes are nobody else's, and
go away with whoever started it. Three things are the machine's all the same, and are kept from the node or given back:
settings of the kernel that a kubelet writes (it writes files of ours instead), folders with fixed names
(/var/lib, /var/log: shown on a tmpfs), control groups (`cgroups`).

The image store is on the scratch tmpfs: about a gigabyte of memory, and nothing is left over, whatever ends us.
Unlike the lab's own, nothing of ours runs as a process here: `install` applies the manifests, and pods do the rest.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cgroups
import prepare
import settings
import yaml

from coalmine.kube.resources import DEPLOYMENTS, NODES, PODS, Object, Resource
from coalmine_sandbox import kernel, kubeconfig
from coalmine_sandbox.certificates import Authority
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.ground import REAL
from coalmine_sandbox.lab import MANIFESTS, Answer, Lab, LabError, run
from coalmine_sandbox.node import addresses
from coalmine_sandbox.node.log_server import CLIENT as KUBELET_CLIENT
from coalmine_sandbox.plane.real import RealControlPlane

#: A machine with two cores, others on them, starts all this in a minute.
PATIENCE: Final = 240.0
#: What a kubelet sets for the whole machine; it gets files of ours to write.
_KERNEL: Final = {
    "vm/overcommit_memory": "1",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
#: Of our network namespace, as every node has them.
_NETWORK: Final = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/route_localnet": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
}
_BINDINGS: Final = Resource("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False)


class NodeControlPlane(RealControlPlane):
    """The real control plane, with credentials for a kubelet and for kube-proxy."""

    def _prepare_clients(self, authority: Authority) -> None:
        super()._prepare_clients(authority)
        kubelet = authority.issue(f"system:node:{settings.NODE}", groups=["system:nodes"])
        self.kubeconfig_of("kubelet", kubeconfig.certificate_user(kubelet))
        self.kubeconfig_of("kube-proxy", kubeconfig.certificate_user(authority.issue("system:kube-proxy")))
        serving = authority.issue(settings.NODE, hosts=[REAL.node, settings.NODE])
        for name, content in (("kubelet.crt", serving.certificate), ("kubelet.key", serving.key)):
            (self._pki / name).write_bytes(content)
            (self._pki / name).chmod(0o600)


class NodeLab(Lab):
    """An async context manager, as the lab is. `timings` tells in seconds what took how long."""

    def __init__(self, binaries: Path, cache: Path) -> None:
        """`binaries` has the control plane's programs, `cache` what `prepare` made."""
        super().__init__(lambda state: NodeControlPlane(binaries, state))
        self.timings: dict[str, float] = {}
        self._archive = prepare.images(cache)
        programs = prepare.programs(cache)
        self._token = secrets.token_hex(4)
        state = self.state
        cgroup = f"/{cgroups.PREFIX}{self._token}"
        self._runc = shutil.which("runc", path=prepare.PATH) or "runc"
        files = {
            "containerd.toml": settings.containerd(state, self._runc, prepare.PAUSE),
            "cni/10-pods.conflist": settings.network(state),
            "kubelet.yaml": settings.kubelet(state, cgroup),
            "kube-proxy.yaml": settings.kube_proxy(state),
            "Corefile": settings.corefile(state / "coalmine-dns.kubeconfig"),
        }
        for name, text in files.items():
            (state / name).parent.mkdir(parents=True, exist_ok=True)
            (state / name).write_text(text)
        self.containerd = self._daemon("containerd", ["containerd", f"--config={state / 'containerd.toml'}"])
        self.kubelet = self._daemon(
            "kubelet",
            [
                str(programs / "kubelet"),
                f"--config={state / 'kubelet.yaml'}",
                f"--kubeconfig={state / 'kubelet.kubeconfig'}",
                f"--hostname-override={settings.NODE}",
                f"--node-ip={REAL.node}",
                f"--root-dir={state / 'kubelet'}",
                f"--cert-dir={state / 'kubelet' / 'pki'}",
            ],
        )
        self.kube_proxy = self._daemon(
            "kube-proxy", [str(programs / "kube-proxy"), f"--config={state / 'kube-proxy.yaml'}"]
        )
        self.dns = self._daemon("coredns", [str(programs / "coredns"), f"-conf={state / 'Corefile'}"])

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        return (*self.control_plane.daemons, self.containerd, self.dns, self.kubelet, self.kube_proxy)

    # --- start and end -------------------------------------------------------------------------

    async def _start(self) -> None:
        began = time.monotonic()
        _hide_machine()
        _network()
        cgroups.make(self._token)
        self.containerd.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.control_plane.start())
            group.create_task(self._import())
        self._took("control plane ready, images imported", began)
        self._client = await self.control_plane.client()
        self.control_plane.administrator("coalmine:dns")
        await self.apply([_kubelet_client()])
        self.dns.start()
        started = time.monotonic()
        self.kubelet.start()
        self.kube_proxy.start()
        await self.until(self._node_ready, "the node becomes Ready", PATIENCE)
        self._took("node Ready after the kubelet's start", started)
        await self.until(self._services_reached, "kube-proxy writes its rules", PATIENCE)
        self._took("node Ready, Services reached, in all", began)

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
        for daemon in (self.kubelet, self.kube_proxy, self.dns):
            await daemon.stop(grace=5.0)
        cgroups.kill(self._token)
        await self.containerd.stop(grace=5.0)
        await self.control_plane.stop()
        for _ in range(100):  # a killed process leaves its group in its own time
            if cgroups.remove(self._token):
                break
            await asyncio.sleep(0.1)

    async def _import(self) -> None:
        await self.until(self._containerd_answers, "containerd answers", PATIENCE)
        answer = await self.ctr("images", "import", "--snapshotter", "overlayfs", str(self._archive))
        if answer.code:
            raise LabError(f"{self._archive} cannot be imported: {answer.stderr}")

    async def _containerd_answers(self) -> bool:
        return (await self.ctr("version")).code == 0

    async def _node_ready(self) -> bool:
        node = await self.client.find(NODES, None, settings.NODE)
        conditions = ((node or {}).get("status") or {}).get("conditions") or ()
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    async def _services_reached(self) -> bool:
        """The API server answers at its Service's address."""
        try:
            async with asyncio.timeout(1.0):
                _, writer = await asyncio.open_connection(REAL.kubernetes, 443)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    def _took(self, what: str, since: float) -> None:
        self.timings[what] = time.monotonic() - since

    def _daemon(self, name: str, command: Sequence[str]) -> Daemon:
        environment = {"PATH": prepare.PATH, "HOME": str(self.state), "LANG": "C.UTF-8"}
        return Daemon(name, command, self.state / "logs" / f"{name}.log", environment)

    # --- our components ------------------------------------------------------------------------

    async def install(self, *, controllers: int = 2) -> None:
        """Apply manifests/base with our image, as docs/install.md says, and wait until everything is available."""
        began = time.monotonic()
        folder = self.state / "installation"
        folder.mkdir()
        base = yaml.safe_load((MANIFESTS / "base" / "kustomization.yaml").read_text())
        name, _, tag = prepare.OURS.rpartition(":")
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(MANIFESTS / "base", folder)],
            "images": [{"name": "coalmine", "newName": name, "newTag": tag}],
            "replacements": base["replacements"],
            "replicas": [{"name": "coalmine-controller", "count": controllers}],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        answer = await self.kubectl("apply", "-k", str(folder))
        if answer.code:
            # the namespace, or a kind, was not known yet when what needs it was applied
            answer = await self.kubectl("apply", "-k", str(folder))
        if answer.code:
            raise LabError(f"kubectl apply -k: {answer.stderr}")
        for deployment in ("coalmine-webhook", "coalmine-controller"):
            await self.available("coalmine-system", deployment)
        await self.until(self.leader, "a controller takes the lead", PATIENCE)
        await self.until(self._webhook_called, "the API server calls the webhook", PATIENCE)
        self._took("installed: applied, both Deployments available, webhook called, a leader", began)

    async def available(self, namespace: str, name: str) -> Object:
        """Wait until a Deployment has every replica of its present template available; the Deployment."""

        async def there() -> Object | None:
            deployment = await self.client.get(DEPLOYMENTS, namespace, name)
            status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
            current = status.get("observedGeneration") == deployment["metadata"]["generation"]
            numbers = [status.get(k, 0) for k in ("replicas", "updatedReplicas", "availableReplicas")]
            return deployment if current and numbers == [wanted] * 3 else None

        return dict(await self.until(there, f"Deployment {namespace}/{name} is available", PATIENCE))

    # --- what is inside ------------------------------------------------------------------------

    async def ctr(self, *arguments: str) -> Answer:
        """Ask containerd, in the kubelet's namespace of it."""
        command = ["ctr", "--address", str(settings.socket(self.state)), "--namespace", "k8s.io", *arguments]
        return await run(command, environment={"PATH": prepare.PATH})

    async def process(self, pod: Object, container: str) -> int:
        """The process id, here, of a container's first process. Raises LabError when it does not run."""
        status = pod.get("status") or {}
        every = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
        identity = next((str(s.get("containerID", "")) for s in every if s["name"] == container), "")
        tasks = (await self.ctr("tasks", "list")).stdout.splitlines()
        for line in tasks:
            words = line.split()
            if identity and words[0] == identity.removeprefix("containerd://") and words[2] == "RUNNING":
                return int(words[1])
        raise LabError(f"container {container} of pod {pod['metadata']['name']} does not run")

    async def pods(self, namespace: str, labels: str) -> list[Object]:
        """The pods that are not terminating."""
        found, _ = await self.client.list(PODS, namespace, labels=labels)
        return [p for p in found if not p["metadata"].get("deletionTimestamp")]

    async def fetch(self, condition: Callable[[], Awaitable[Any]], what: str) -> Any:
        """`until` with this node's patience."""
        return await self.until(condition, what, PATIENCE)


def _hide_machine() -> None:
    for folder in ("/var/lib", "/var/log"):
        kernel.mirror(folder, folder)
    Path("/run/containerd").mkdir(exist_ok=True)
    kernel.mount("tmpfs", "/run/containerd", "tmpfs", kernel.MS_NOSUID, "mode=0711")
    for name, value in _KERNEL.items():
        file = Path("/run/coalmine", name.replace("/", "-"))
        file.write_text(f"{value}\n")
        kernel.mount(str(file), f"/proc/sys/{name}", flags=kernel.MS_BIND)
    for name, value in _NETWORK.items():
        Path("/proc/sys", name).write_text(value)


def _network() -> None:
    """A device with the node's address; a bridge without ports will do, where there is no kind dummy."""
    for words in (
        f"link add {settings.DEVICE} type bridge",
        f"address add {REAL.node}/24 dev {settings.DEVICE}",
        f"link set {settings.DEVICE} up",
        f"route add default dev {settings.DEVICE}",
    ):
        subprocess.run(["ip", *words.split()], check=True, env={"PATH": prepare.PATH})
    addresses.add(REAL.api[0])


def _kubelet_client() -> Object:
    """The API server may ask the kubelet for logs."""
    return {
        "apiVersion": _BINDINGS.api_version,
        "kind": _BINDINGS.kind,
        "metadata": {"name": "kubelet-client"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:kubelet-api-admin",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": KUBELET_CLIENT}],
    }
