"""All findings about a cluster, in the order in which they are read: the server, the installation, each Deployment.

Pure.
"""

from __future__ import annotations

from coalmine.kube.resources import DEPLOYMENTS, name_of, namespace_of
from coalmine_cli.checking import (
    autoscaling,
    controller,
    deployments,
    leftovers,
    mesh,
    network,
    rights,
    room,
    security,
    server,
    services,
    webhook,
)
from coalmine_cli.checking.findings import CLUSTER, Finding, skipped
from coalmine_cli.checking.sight import Sight, is_annotated


def findings(sight: Sight, *, before: bool) -> list[Finding]:
    """`before`: nothing of ours is expected to be there yet."""
    found = [*server.check(sight, before=before), *rights.check(sight, before=before)]
    if not before:
        found += [*webhook.check(sight), *controller.check(sight)]
    listing = sight.of(DEPLOYMENTS)
    if listing.problem:
        found.append(skipped("deployments", CLUSTER, f"Deployments cannot be read: {listing.problem}"))
    for deployment in sorted(listing, key=lambda d: (namespace_of(d), name_of(d))):
        if is_annotated(deployment):
            found += deployments.check(sight, deployment, before=before)
            for subject in (services, network, mesh, security, room, autoscaling):
                found += subject.check(sight, deployment)
    return [*found, *leftovers.check(sight, before=before)]
