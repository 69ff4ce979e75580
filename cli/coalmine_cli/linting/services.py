"""Services in front of an annotated Deployment: whether their requests come by the sidecars.

The sidecar takes the name of the application's port; who targets the number reaches the application itself.
Then stable and canary pods get requests by their count, whatever the weight says.
"""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.kube.resources import annotations_of
from coalmine.model.errors import SpecError
from coalmine_cli.linting.findings import Finding, Severity, found
from coalmine_cli.linting.manifests import Manifest
from coalmine_webhook.facts import template_labels
from coalmine_webhook.ports import Taken, choose_port, is_tcp, read_options, serving_containers


def check(service: Manifest, deployments: list[Manifest]) -> Iterator[Finding]:
    """What is wrong with the targets of a Service, once for each of its ports."""
    for index, port in enumerate((service.object.get("spec") or {}).get("ports") or ()):
        if not is_tcp(port):
            continue
        target = port.get("targetPort", port.get("port"))
        for deployment in deployments:
            if not _selects(service, deployment):
                continue
            problem = _problem(deployment, target)
            if problem is not None:
                severity, sentence = problem
                where = f"spec.ports[{index}].targetPort"
                path = where if "targetPort" in port else f"spec.ports[{index}]"
                yield found(service, severity, path, f"{where}: {sentence}")
                break


def _selects(service: Manifest, deployment: Manifest) -> bool:
    selector = (service.object.get("spec") or {}).get("selector") or {}
    labels = template_labels(deployment.object["spec"]["template"])
    here, there = (m.object["metadata"].get("namespace") for m in (service, deployment))
    same = here == there or not here or not there
    return bool(selector) and same and all(labels.get(key) == value for key, value in selector.items())


def _problem(deployment: Manifest, target: object) -> tuple[Severity, str] | None:
    name, pods = deployment.object["metadata"].get("name", ""), deployment.object["spec"]["template"]["spec"]
    taken = _taken(deployment)
    if taken is None:
        return None
    if isinstance(target, str) and target.isascii() and target.isdigit():
        target = int(target)  # the API server keeps it a text, which names no port: it is refused there
    if target == taken.number:
        return Severity.ERROR, (
            f"{target} is the number of the application's port, so these requests pass by the sidecars of the "
            f"Deployment {name} and are not split by weight; write targetPort: {taken.name}"
        )
    names = {
        str(port["name"]): int(port["containerPort"])
        for _, _, container in serving_containers(pods)
        for port in container.get("ports") or ()
        if port.get("name") and is_tcp(port)
    }
    if isinstance(target, str) and target not in names:
        return Severity.WARNING, (
            f"no container of the Deployment {name} has a port named {target}; named there: {', '.join(names)}"
        )
    if isinstance(target, str) and target != taken.name:
        return Severity.WARNING, (
            f"the sidecars of the Deployment {name} take the port {taken.name}, so requests to {target} are not "
            "split by weight; the annotation coalmine.dev/port names another"
        )
    return None


def _taken(deployment: Manifest) -> Taken | None:
    try:
        options = read_options(annotations_of(deployment.object))
        return choose_port(deployment.object["spec"]["template"]["spec"], options.port)
    except SpecError:
        return None  # that is told of the Deployment
