"""A real Prometheus beside the lab, which finds its targets as the published configuration says.

Debian's Prometheus is built without the discovery of Kubernetes. So what that would find is written to a file here,
label for label as its documentation names them (`role: pod`), and the relabelling is the published one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from coalmine.kube.resources import PODS, Object, annotations_of, controller_of, labels_of, name_of, namespace_of
from coalmine.kube.verbs import ApiError
from coalmine.model import names
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.lab import Lab, LabError

CONFIGURATION: Final = Path(__file__).with_name("prometheus.yaml")
#: Seconds between two scrapes; targets are looked for as often.
INTERVAL: Final = 0.5


class Prometheus:
    """A running one. `url` is where it is asked."""

    def __init__(self, lab: Lab, fixed: dict[str, str]) -> None:
        """`fixed` are the jobs of processes that are no pods here, with their addresses."""
        address, port = lab.ground.webhook[0], free_port(lab)
        self.url = f"http://{address}:{port}"
        self._lab = lab
        self._fixed = fixed
        self._folder = lab.state / f"prometheus-{port}"
        self._targets = self._folder / "targets.json"
        program = shutil.which("prometheus")
        if program is None:
            raise LabError("there is no prometheus on this machine (Debian: prometheus)")
        options = [f"--config.file={self._folder / 'prometheus.yaml'}", f"--storage.tsdb.path={self._folder / 'data'}"]
        options += [f"--web.listen-address={address}:{port}", "--web.enable-lifecycle", "--log.level=warn"]
        log = lab.state / "logs" / f"prometheus-{port}.log"
        self.daemon = Daemon("prometheus", [program, *options], log, {"PATH": os.defpath})

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Prometheus]:
        """Started, and ended at the end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        rules = CONFIGURATION.with_name("rules.yaml")
        shutil.copy(rules, self._folder / rules.name)
        (self._folder / "prometheus.yaml").write_text(yaml.safe_dump(self._configuration()))
        self._write(())
        self.daemon.start()
        discovery = asyncio.ensure_future(self._discover())
        try:
            await self._lab.until(self._ready, "Prometheus is ready")
            yield self
        finally:
            discovery.cancel()
            await asyncio.gather(discovery, return_exceptions=True)
            await self.daemon.stop()

    def _configuration(self) -> Object:
        """The published one, with a shorter interval and a file in place of Kubernetes' discovery."""
        found: Object = yaml.safe_load(CONFIGURATION.read_text())
        found["global"] = {"scrape_interval": f"{INTERVAL * 1000:.0f}ms", "evaluation_interval": "1s"}
        for job in found["scrape_configs"]:
            if job.pop("kubernetes_sd_configs", None):
                job["file_sd_configs"] = [{"files": [str(self._targets)], "refresh_interval": "1s"}]
        for job, address in self._fixed.items():
            found["scrape_configs"].append(
                {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [address]}]}
            )
        return found

    async def _discover(self) -> None:
        while True:
            with contextlib.suppress(ApiError):
                pods, _ = await self._lab.client.list(PODS, labels=names.SIDECAR_SELECTOR)
                self._write(pods)
            await asyncio.sleep(INTERVAL)

    def _write(self, pods: Iterable[Object]) -> None:
        groups = [group for pod in pods for group in discovered(pod)]
        # as a whole: it is read at any moment
        part = self._targets.with_suffix(".part")
        part.write_text(json.dumps(groups))
        part.rename(self._targets)

    async def _ready(self) -> bool:
        self.daemon.check()
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the API; raises LabError for a query that Prometheus refuses."""
        url = f"{self.url}/api/v1/{path}"
        async with aiohttp.ClientSession() as session, session.post(url, data=parameters) as response:
            answer = json.loads(await response.text())
        if answer["status"] != "success":
            raise LabError(f"{parameters}: {answer}")
        return answer["data"]

    async def query(self, expr: str) -> list[Any]:
        """The vector of an instant query."""
        return list((await self.ask("query", query=expr))["result"])

    async def over(self, expr: str, start: float, end: float, step: float = 1.0) -> list[Any]:
        """The matrix of a range query; Unix times."""
        answer = await self.ask("query_range", query=expr, start=f"{start}", end=f"{end}", step=f"{step}")
        return list(answer["result"])

    async def get(self, path: str) -> Any:
        """The data of a GET."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/api/v1/{path}") as response:
            return json.loads(await response.text())["data"]


def free_port(lab: Lab) -> int:
    """One where the webhook is as well, that nobody listens on at every address: a machine may run a Prometheus."""
    with socket.create_server((lab.ground.webhook[0], 0)) as found:
        return int(found.getsockname()[1])


def filled(expr: str, namespace: str, seconds: float) -> str:
    """A query of the dashboard with its variables in place, as Grafana sends it; `seconds` is the chosen time."""
    for variable, value in (
        ("$namespace", namespace),
        ("$rollout", "colorapi"),
        ("$__rate_interval", "3s"),
        ("$__range", f"{seconds:.0f}s"),
    ):
        expr = expr.replace(variable, value)
    return expr


def discovered(pod: Object) -> Iterator[Object]:
    """What ``kubernetes_sd_configs: [{role: pod}]`` makes of a pod: one target for each port that is declared."""
    status, spec = pod.get("status") or {}, pod["spec"]
    if not status.get("podIP"):
        return
    controller = controller_of(pod) or {}
    labels = {
        "namespace": namespace_of(pod),
        "pod_name": name_of(pod),
        "pod_phase": str(status.get("phase", "")),
        "pod_controller_kind": str(controller.get("kind", "")),
        "pod_controller_name": str(controller.get("name", "")),
        **{f"pod_label_{_word(k)}": v for k, v in labels_of(pod).items()},
        **{f"pod_annotation_{_word(k)}": v for k, v in annotations_of(pod).items()},
    }
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            found = labels | {
                "pod_container_name": container["name"],
                "pod_container_port_name": port.get("name", ""),
                "pod_container_port_number": str(port["containerPort"]),
            }
            yield {
                "targets": [f"{status['podIP']}:{port['containerPort']}"],
                "labels": {f"__meta_kubernetes_{k}": v for k, v in found.items()},
            }


def _word(key: str) -> str:
    """A key as a label's name (strutil.SanitizeLabelName)."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in key)
