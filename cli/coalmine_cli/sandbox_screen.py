"""What `coalmine sandbox up` and `status` show: what runs, where it is, and what to try.

Pure. Every line that is meant to be typed works as it is, in the shell that it is shown in.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from coalmine.kube.resources import Object
from coalmine_sandbox.connect import Place
from coalmine_sandbox.standing import Standing


@dataclass(frozen=True, slots=True)
class Deployment:
    """A Deployment in one line."""

    name: str
    namespace: str
    ready: int
    desired: int
    images: tuple[str, ...]

    @classmethod
    def of(cls, obj: Object) -> Deployment:
        return cls(
            name=obj["metadata"]["name"],
            namespace=obj["metadata"]["namespace"],
            ready=(obj.get("status") or {}).get("readyReplicas", 0),
            desired=obj["spec"]["replicas"],
            images=tuple(c["image"] for c in obj["spec"]["template"]["spec"]["containers"]),
        )


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that is up, as it is now."""

    standing: Standing
    #: Resident bytes of each component by its name; 0 for one that does not run.
    memory: Mapping[str, int]
    services: tuple[Place, ...]
    #: None when the API server did not tell.
    deployments: tuple[Deployment, ...] | None

    @property
    def whole(self) -> bool:
        """Whether every part of it runs, and the API server answers."""
        return all(self.memory.values()) and self.deployments is not None


@dataclass(frozen=True, slots=True)
class Means:
    """What the reader has: `folder` of our command line when it is not in their PATH, kubectl, how to end this."""

    folder: str | None
    kubectl: bool
    down: str


def document(shown: Sandbox) -> dict[str, Any]:
    """All of it for programs."""
    found = shown.standing
    return {
        "up": True,
        "whole": shown.whole,
        "since": datetime.fromtimestamp(found.since, UTC).isoformat(timespec="seconds"),
        "kubeconfig": found.kubeconfig,
        "components": [
            {
                "name": one.name,
                "running": shown.memory[one.name] > 0,
                "pid": one.pid,
                "restarts": one.restarts,
                "memoryBytes": shown.memory[one.name],
                "log": one.log,
            }
            for one in found.components
        ],
        "services": [
            {"name": s.service, "namespace": s.namespace, "port": s.port, "address": f"{s.address}:{s.actual}"}
            for s in shown.services
        ],
        "deployments": None if shown.deployments is None else [
            {"name": d.name, "namespace": d.namespace, "ready": d.ready, "desired": d.desired, "images": list(d.images)}
            for d in shown.deployments
        ],
    }  # fmt: skip


def lines(shown: Sandbox, means: Means, now: float) -> list[str]:
    """The same for people, at this Unix time."""
    return [
        f"The sandbox is up, since {_ago(now - shown.standing.since)}.",
        *_section("Processes:", _processes(shown)),
        *_section("Services:", [[f"{s.service}.{s.namespace}", f"port {s.port}", f"at {s.address}:{s.actual}"]
                                for s in shown.services]),
        *_section("Deployments:", _deployments(shown)),
        "",
        "To use it, in every shell that you need:",
        f"  export KUBECONFIG={shlex.quote(shown.standing.kubeconfig)}",
        *([f"  export PATH={shlex.quote(means.folder)}:$PATH"] if means.folder else []),
        *_section("Three things to try, each in a shell of its own:", _to_try(shown, means)),
        "",
        f"`{means.down}` ends it; nothing is left.",
    ]  # fmt: skip


def _processes(shown: Sandbox) -> list[list[str]]:
    rows = []
    for one in shown.standing.components:
        memory = shown.memory[one.name]
        restarts = f"  started again {one.restarts} time{'s' * (one.restarts != 1)}" if one.restarts else ""
        rows.append([one.name, f"{memory >> 20:>4} MB" if memory else "not running", one.log + restarts])
    return rows


def _deployments(shown: Sandbox) -> list[list[str]]:
    if shown.deployments is None:
        return [["the API server does not answer: see the log of control-plane"]]
    return [[f"{d.name}.{d.namespace}", f"{d.ready} of {d.desired} ready", ", ".join(d.images)]
            for d in shown.deployments]  # fmt: skip


def _to_try(shown: Sandbox, means: Means) -> list[list[str]]:
    service = next((s for s in shown.services if (s.service, s.namespace) == ("colorapi", "default")), None)
    example = any((d.name, d.namespace) == ("colorapi", "default") for d in shown.deployments or ())
    if service is None or not example:
        apply = "kubectl apply -f FILE" if means.kubectl else "coalmine lint -f FILE"
        return [
            [apply, "# a Deployment with the annotation coalmine.dev/canary"],
            ["coalmine list rollouts", "# what there is"],
            [f"curl -K {shlex.quote(shown.standing.connect_to)} http://NAME.NAMESPACE/", "# a Service, by its name"],
        ]
    program, what = ("kubectl", "deployment/colorapi") if means.kubectl else ("coalmine", "colorapi")
    return [
        [f"while sleep 0.1; do curl -s http://{service.address}:{service.actual}/; echo; done", "# what its users get"],
        ["coalmine get rollout colorapi -w", "# what becomes of a release"],
        [f"{program} set image {what} colorapi=particule/simplecolorapi:2.0", "# a good one; 3.0 is a bad one"],
    ]


def _section(title: str, rows: list[list[str]]) -> list[str]:
    """A title and its rows, in columns; nothing without rows."""
    if not rows:
        return []
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows)))]
    return ["", title, *("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False)).rstrip()
                         for row in rows)]  # fmt: skip


def _ago(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
