"""The lab: a control plane, a node and a front for Services, and our own components on top.

Everything is a real process with a log of its own, which can be killed and started again. The control
plane is Kubernetes' own or the sandbox's (`plane`); all else is the same on both, and one thing
differs from a cluster: the webhook is called at an address rather than through its Service.

    async with Lab(partial(RealControlPlane, binaries)) as lab:
        await lab.apply(Path("examples/colorapi/manifests"))
        code, out, err = await lab.kubectl("rollout", "status", "deployment/colorapi")
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import aiohttp
import yaml

from coalmine.kube.client import Client
from coalmine.kube.resources import CRDS, DEPLOYMENTS, LEASES, NODES, SERVICES, Object, Resource, labels_of
from coalmine.kube.verbs import APPLY, ApiError
from coalmine.model.names import (
    CANARY,
    CONTROLLER_SERVICE_ACCOUNT,
    FIELD_MANAGER,
    LEASE,
    ROLLOUT_LABEL,
    SYSTEM_NAMESPACE,
    WEBHOOK_SERVICE_ACCOUNT,
)
from coalmine_sandbox import isolate, keep
from coalmine_sandbox.connect import Names
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.ground import REAL, Endpoint
from coalmine_sandbox.keep.tied import tied
from coalmine_sandbox.plane import ControlPlane, answers

_SOURCES: Final = Path(__file__).parents[2]
MANIFESTS: Final = _SOURCES / "manifests"
EXAMPLES: Final = _SOURCES / "examples"
#: Our own image, as the webhook injects it: the command line of this checkout.
IMAGE: Final = "coalmine:dev"
#: What a lab's wait allows before it says what is wrong; a loaded machine is slow, not broken.
PATIENCE: Final = 90.0
_POLL: Final = 0.05
#: Five seconds until another controller takes over, rather than fifteen: tests kill many. Less than that, and one that
#: waits for a processor loses its lead.
LEASE_TIMING: Final = ("--lease-duration", "5", "--renew-deadline", "4", "--retry-period", "0.5")


class Answer(NamedTuple):
    """What a command ended with."""

    code: int
    stdout: str
    stderr: str


class LabError(Exception):
    """The lab is not as it should be; the text says what, with the tails of the logs."""


class NoKubectlError(LabError):
    """This machine has no kubectl."""


class Lab:
    """An async context manager; started on entry, torn down in order on exit."""

    def __init__(
        self,
        plane: Callable[[Path], ControlPlane],
        *,
        state: Path | None = None,
        images: Iterable[Path] = (),
        manifests: Path = MANIFESTS,
    ) -> None:
        """`plane` makes the control plane, given a directory for its state.

        `state` (logs, data, volumes) is kept when it is given, else thrown away on exit. `images` are images
        files besides the example's and our own.
        """
        self._keep = state is not None
        self.state = state or Path(tempfile.mkdtemp(prefix="lab-", dir=_scratch()))
        self.manifests = manifests
        self.control_plane = plane(self.state)
        self.ground = self.control_plane.ground
        self.isolated = self.ground == REAL
        self.connect_to = self.state / "connect-to"
        self.names = Names(None if self.isolated else self.connect_to)
        self.controllers: list[Daemon] = []
        self.webhook: Daemon | None = None
        self.agent: Daemon | None = None
        self.front: Daemon | None = None
        self._images = [*images, EXAMPLES / "colorapi" / "images.yaml"]
        self._client: Client | None = None
        self._resources: dict[tuple[str, str], Resource] = {}

    # --- start and end -------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        await self.control_plane.start()
        self._client = await self.control_plane.client()
        kubeconfig = self.control_plane.administrator("coalmine:node-agent")
        agent = ["node-agent", "--kubeconfig", str(kubeconfig), "--node-name", "sandbox"]
        agent += ["--node-address", self.ground.node, "--pods", self.ground.pods, "--state", str(self.state / "node")]
        agent += ["--api", f"{self.ground.kubernetes}:443", "--mounts", "namespace" if self.isolated else "rewrite"]
        if not self.isolated:
            agent += ["--connect-to", str(self.connect_to)]
        for images in [self._own_images(), *self._images]:
            agent += ["--images", str(images)]
        front = ["service-front", "--kubeconfig", str(self.control_plane.administrator("coalmine:service-front"))]
        front += ["--hosts", "/etc/hosts"] if self.isolated else ["--connect-to", str(self.connect_to)]
        self.agent = self._python("node-agent", "coalmine_sandbox", *agent)
        self.front = self._python("service-front", "coalmine_sandbox", *front)
        self.agent.start()
        self.front.start()
        await self.until(self._node_ready, "the node becomes Ready")
        await self.until(self._front_ready, "the Services are listened on")

    async def stop(self) -> None:
        """End everything, what depends on others first. Safe to call at any point, and twice."""
        if self._client is not None:
            await self._client.close()
            self._client = None
        for daemon in (*self.controllers, self.webhook, self.agent, self.front):
            if daemon is not None:
                await daemon.stop(grace=3.0)
        await self.control_plane.stop()
        if not self._keep:
            shutil.rmtree(self.state, ignore_errors=True)

    @property
    def client(self) -> Client:
        """The API server, with all rights."""
        if self._client is None:
            raise LabError("the lab is not started")
        return self._client

    # --- our components ------------------------------------------------------------------------

    async def install(self, *, controllers: int = 1) -> None:
        """Apply CRDs, namespace and RBAC; start the webhook, register it, start the controllers."""
        crds = [obj for file in sorted((self.manifests / "crds").glob("*.yaml")) for obj in read(file)]
        crds = [obj for obj in crds if obj["kind"] == CRDS.kind]
        await self.apply(crds)
        for name in ("namespace.yaml", "rbac.yaml"):
            await self.apply(self.manifests / "base" / name)
        await self.until(lambda: self._established(crds), "the CRDs are established")
        self._resources.clear()
        await self.start_webhook()
        for number in range(controllers):
            await self.start_controller(f"controller-{number + 1}")
        if controllers:
            await self.until(self.leader, "a controller takes the lead")

    async def start_webhook(self) -> Daemon:
        """Register the webhook at its address and start it under its service account; it publishes its authority.

        Registered first: its readiness is that API servers can trust it.
        """
        host, port = self.ground.webhook
        objects = read(self.manifests / "base" / "webhook.yaml")
        await self.apply(
            direct(obj, f"https://{host}:{port}") for obj in objects if obj["kind"].endswith("WebhookConfiguration")
        )
        self.webhook = await self.another_webhook("webhook", self.ground.webhook, self.webhook_metrics)
        await self.webhook_ready()
        # the API server learns of a new configuration in its own time
        await self.until(self._webhook_called, "the API server calls the webhook")
        return self.webhook

    async def another_webhook(self, name: str, listen: Endpoint, metrics: Endpoint, *arguments: str) -> Daemon:
        """Start a webhook process with further arguments; nobody waits for it, and the caller ends it."""
        kubeconfig = await self.control_plane.kubeconfig_for(WEBHOOK_SERVICE_ACCOUNT, SYSTEM_NAMESPACE)
        given = ["webhook", "--listen", f"{listen[0]}:{listen[1]}", "--metrics-listen", f"{metrics[0]}:{metrics[1]}"]
        given += ["--kubeconfig", str(kubeconfig), "--image", IMAGE, "--shutdown-delay", "0", *arguments]
        daemon = self._python(name, "coalmine_cli", *given)
        daemon.start()
        return daemon

    @property
    def webhook_metrics(self) -> Endpoint:
        """Where the webhook serves /metrics, /healthz and /readyz: plain HTTP, the port after that of reviews."""
        host, port = self.ground.webhook
        return host, port + 1

    async def webhook_ready(self) -> None:
        """Returns once the webhook says that it is ready."""
        host, port = self.webhook_metrics
        async with aiohttp.ClientSession() as session:
            await self.until(lambda: answers(session, f"http://{host}:{port}/readyz"), "the webhook is ready")

    async def start_controller(
        self, identity: str, *, server: str | None = None, listen: str | None = None, prometheus: str | None = None
    ) -> Daemon:
        """Start one more controller under its service account; `server` is where it finds the API
        server, when that is not where it really is; `listen` is where it is scraped, `prometheus` whom it asks."""
        kubeconfig = await self.control_plane.kubeconfig_for(CONTROLLER_SERVICE_ACCOUNT, SYSTEM_NAMESPACE)
        if server is not None:
            kubeconfig = elsewhere(kubeconfig, server)
        arguments = ["controller", "--kubeconfig", str(kubeconfig), "--identity", identity, *LEASE_TIMING]
        if not self.isolated:
            arguments += ["--connect-to", str(self.connect_to)]
        for option, value in (("--listen", listen), ("--prometheus-address", prometheus)):
            arguments += [option, value] if value is not None else []
        daemon = self._python(identity, "coalmine_cli", *arguments)
        self.controllers.append(daemon)
        daemon.start()
        return daemon

    async def leader(self) -> str:
        """The identity of the controller that holds the Lease; "" while none does."""
        lease = await self.client.find(LEASES, SYSTEM_NAMESPACE, LEASE)
        return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        """Every process of the lab itself (the pods' belong to the node agent)."""
        others = (self.agent, self.front, self.webhook, *self.controllers)
        return (*self.control_plane.daemons, *(d for d in others if d is not None))

    def check(self) -> None:
        """Raises DaemonError, with the last lines of its log, when a process ended by itself."""
        for daemon in self.daemons:
            daemon.check()

    def tails(self, lines: int = 25) -> str:
        """The last lines of every log: what a failed test prints."""
        return "\n".join(f"--- {d.name} ({d.log})\n{d.tail(lines)}" for d in self.daemons)

    # --- using the cluster ---------------------------------------------------------------------

    async def kubectl(self, *arguments: str, stdin: str = "") -> Answer:
        """Run kubectl as the administrator. Raises NoKubectlError."""
        program = self.control_plane.kubectl
        if program is None:
            raise NoKubectlError("there is no kubectl on this machine: install it, or name its folder in $PATH")
        command = [str(program), f"--kubeconfig={self.control_plane.admin_kubeconfig}"]
        command += [f"--cache-dir={self.state / 'kubectl-cache'}", *arguments]
        return await run(command, stdin=stdin)

    async def coalmine(self, *arguments: str) -> Answer:
        """Run our own command line as the administrator."""
        environment = {"KUBECONFIG": str(self.control_plane.admin_kubeconfig)}
        return await run([sys.executable, "-m", "coalmine_cli", *arguments], environment=environment)

    async def apply(
        self, what: Path | Iterable[Object], *, namespace: str = "default", manager: str = FIELD_MANAGER
    ) -> list[Object]:
        """Server-side apply of a file, a directory (its kustomization's resources) or objects."""
        applied = []
        for obj in read(what) if isinstance(what, Path) else what:
            resource = await self.resource(obj["apiVersion"], obj["kind"])
            where = obj["metadata"].get("namespace", namespace) if resource.namespaced else None
            query = {"fieldManager": manager, "force": "true"}
            name = str(obj["metadata"]["name"])
            applied.append(await self.client.patch(resource, where, name, obj, kind=APPLY, query=query))
        return applied

    async def resource(self, api_version: str, kind: str) -> Resource:
        """How the API server serves a kind. Raises LabError when it does not."""
        if (api_version, kind) not in self._resources:
            root = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
            try:
                served = await self.client.raw("GET", root)
            except ApiError as error:
                raise LabError(f"{api_version} {kind} is not served: {error}") from error
            for each in served["resources"]:
                if "/" not in each["name"]:
                    self._resources[api_version, each["kind"]] = Resource(
                        api_version, each["kind"], each["name"], bool(each["namespaced"])
                    )
        if (api_version, kind) not in self._resources:
            raise LabError(f"{api_version} has no kind {kind}")
        return self._resources[api_version, kind]

    async def service_address(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        """Where a port of a Service is, as an address: no name has to be looked up for each connection."""
        host = f"{name}.{namespace}"
        address, actual = self.names.address(host, port)
        if address == host:
            address = str((await self.client.get(SERVICES, namespace, name))["spec"]["clusterIP"])
        return address, actual

    async def open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a Service by its name, as from inside the cluster."""
        return await asyncio.open_connection(*self.names.address(host, port))

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str, patience: float = PATIENCE) -> Any:
        """Ask again and again; the first true answer. `condition` may raise ApiError: it is asked again.

        Raises LabError after `patience` seconds, DaemonError as soon as a process died.
        """
        failure: object = ""
        try:
            async with asyncio.timeout(patience):
                while True:
                    self.check()
                    try:
                        if answer := await condition():
                            return answer
                    except ApiError as error:
                        failure = error
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise LabError(f"waited {patience:g} s in vain: {what} {failure}\n{self.tails()}") from None

    def container(self, namespace: str, pod: str, container: str) -> int:
        """The process id of a container's first process. Raises LabError when it does not run."""
        found = list((self.state / "node" / "pods").glob(f"{namespace}_{pod}_*/containers/{container}/pid"))
        if len(found) != 1:
            raise LabError(f"container {container} of pod {namespace}/{pod} does not run")
        return int(found[0].read_text())

    def container_log(self, namespace: str, pod: str, container: str) -> str:
        """What all runs of a container have printed; kept after its pod is gone."""
        folders = (self.state / "node" / "pods").glob(f"{namespace}_{pod}_*/containers/{container}")
        files = [file for folder in folders for file in sorted(folder.glob("*.log"), key=lambda f: int(f.stem))]
        return "".join(file.read_text(errors="replace") for file in files)

    # --- inside --------------------------------------------------------------------------------

    async def _node_ready(self) -> bool:
        node = await self.client.find(NODES, None, "sandbox")
        conditions = ((node or {}).get("status") or {}).get("conditions") or ()
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return ready and not ((node or {}).get("spec") or {}).get("taints")

    async def _front_ready(self) -> bool:
        return await listening(*self.names.address(self.ground.kubernetes, 443))

    async def _webhook_called(self) -> bool:
        metadata = {"name": "coalmine-lab-probe", "annotations": {CANARY: "steps: []"}}
        labels = {"app": "coalmine-lab-probe"}
        container = {"name": "app", "image": "none", "ports": [{"name": "web", "containerPort": 80}]}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        body = {
            "apiVersion": DEPLOYMENTS.api_version,
            "kind": DEPLOYMENTS.kind,
            "metadata": metadata,
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        }
        answer = await self.client.raw("POST", f"{DEPLOYMENTS.path('default')}?dryRun=All", body)
        return ROLLOUT_LABEL in labels_of(answer)

    async def _established(self, crds: Iterable[Object]) -> bool:
        for crd in crds:
            found = await self.client.get(CRDS, None, crd["metadata"]["name"])
            conditions = (found.get("status") or {}).get("conditions") or ()
            if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                return False
        return True

    def _python(self, name: str, module: str, *arguments: str) -> Daemon:
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "HOME": str(self.state)}
        command = [sys.executable, "-m", module, *arguments]
        return Daemon(name, tied(command), self.state / "logs" / f"{name}.log", environment)

    def _own_images(self) -> Path:
        file = self.state / "images.yaml"
        images = [
            {
                "name": f"{IMAGE.partition(':')[0]}*",
                "command": ["{python}", "-m", "coalmine_cli"],
                # without a network of its own, a sidecar binds to its pod's address
                "env": {"COALMINE_BIND": "{pod.ip}"},
                "executables": [str(Path(sys.executable).parent)],
            },
            {"name": "python:*", "command": ["{python}"], "executables": [str(Path(sys.executable).parent)]},
        ]
        self.state.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump({"images": images}))
        return file


def read(path: Path) -> list[Object]:
    """The objects of a YAML file, or of the resources of a directory's kustomization.yaml."""
    if path.is_dir():
        kustomization = yaml.safe_load((path / "kustomization.yaml").read_text())
        return [obj for name in kustomization["resources"] for obj in read(path / name)]
    return [obj for obj in yaml.safe_load_all(path.read_text()) if obj]


def elsewhere(kubeconfig: Path, server: str) -> Path:
    """A copy of `kubeconfig` that finds the API server at `server`."""
    config = yaml.safe_load(kubeconfig.read_text())
    for cluster in config["clusters"]:
        cluster["cluster"] = {"server": server}
    copy = kubeconfig.with_suffix(f".{server.rpartition(':')[2]}")
    copy.write_text(yaml.safe_dump(config))
    copy.chmod(0o600)
    return copy


def direct(configuration: Object, server: str) -> Object:
    """A webhook configuration that is called at `server` instead of through a Service."""
    changed = dict(configuration)
    changed["webhooks"] = []
    for webhook in configuration["webhooks"]:
        service = webhook["clientConfig"].get("service") or {}
        config = {"url": f"{server}{service.get('path', '/')}"}
        changed["webhooks"].append({**webhook, "clientConfig": config})
    return changed


def _scratch() -> Path | None:
    """A directory that goes away with whoever keeps us; None without one."""
    if (isolation := isolate.current()) is not None:
        return isolation.scratch
    return kept.state if (kept := keep.current()) is not None else None


async def listening(host: str, port: int) -> bool:
    """Whether a connection is accepted there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def run(command: list[str], *, stdin: str = "", environment: Mapping[str, str] | None = None) -> Answer:
    """Run a command to its end; it is killed when the caller is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8", **(environment or {})},
    )
    try:
        out, err = await process.communicate(stdin.encode())
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return Answer(process.returncode or 0, out.decode(), err.decode())
