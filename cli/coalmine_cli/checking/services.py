"""Services in front of an annotated Deployment: judged as `lint` judges those of files.

Pure. A Service that targets the application's number passes the sidecars by.
"""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.kube.resources import SERVICES, Object, name_of
from coalmine_cli.checking.deployments import manifest_of
from coalmine_cli.checking.findings import Finding, Result, about, ok, skipped, warning
from coalmine_cli.checking.sight import Sight, matches, pod_labels
from coalmine_cli.linting import services as linting
from coalmine_cli.linting.findings import Severity


def check(sight: Sight, deployment: Object) -> Iterator[Finding]:
    """What is wrong with the Services that select the pods of `deployment`."""
    where, listing = about(deployment), sight.of(SERVICES)
    if listing.problem:
        yield skipped("services", where, f"Services cannot be read: {listing.problem}")
        return
    labels = pod_labels(deployment)
    selecting = []
    for service in listing.of(deployment["metadata"]["namespace"]):
        selector = (service.get("spec") or {}).get("selector")
        if selector and matches({"matchLabels": selector}, labels):
            selecting.append(service)
    if not selecting:
        message = "no Service selects its pods, so no request comes by their sidecars"
        yield warning("services", where, message, "make one whose targetPort is the name of the port")
    for service in selecting:
        found = list(linting.check(manifest_of(service), [manifest_of(deployment)]))
        for one in found:
            result = Result.FAILED if one.severity is Severity.ERROR else Result.WARNING
            yield Finding(result, "services", where, f"Service {name_of(service)}: {one.message}")
        if not found:
            yield ok("services", where, f"the Service {name_of(service)} comes by the sidecars")
