"""All native controllers in one process, as kube-controller-manager and kube-scheduler have them.

Each acts as its own user; one set of local copies serves them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final, NoReturn

from coalmine.kube.verbs import Verbs
from coalmine_sandbox.native.accounts import RootCaPublisher, ServiceAccountController
from coalmine_sandbox.native.deployment.controller import DeploymentController
from coalmine_sandbox.native.disruption import DisruptionController
from coalmine_sandbox.native.endpoints.controller import EndpointSliceController
from coalmine_sandbox.native.events import Recorder
from coalmine_sandbox.native.garbage.collector import GarbageCollector
from coalmine_sandbox.native.informers import Informers
from coalmine_sandbox.native.jobs.controller import JobController
from coalmine_sandbox.native.namespaces import NamespaceController
from coalmine_sandbox.native.nodes import NodeLifecycleController
from coalmine_sandbox.native.pod_garbage import PodGarbageCollector
from coalmine_sandbox.native.quota import ResourceQuotaController
from coalmine_sandbox.native.replicaset.controller import ReplicaSetController
from coalmine_sandbox.native.scheduling.scheduler import Scheduler
from coalmine_sandbox.native.work import Runnable

MANAGER: Final = "system:kube-controller-manager"
SCHEDULER: Final = "system:kube-scheduler"


#: The API server as the user of this name sees it (a controller's own service account).
Connect = Callable[[str], Verbs]


class Manager:
    """Call `run` once. `clock` gives Unix time; `authority` is what pods verify the API server with (PEM)."""

    def __init__(self, connect: Connect, clock: Callable[[], float], random: Random, authority: str = "") -> None:
        self._connect = connect
        self._clock = clock
        self._random = random
        self._authority = authority

    async def run(self) -> NoReturn:
        """Run everything; an error in one ends them all and is raised."""
        async with asyncio.TaskGroup() as group:
            for each in self._all():
                group.create_task(each.run())
        raise AssertionError("controllers run for ever")

    def _all(self) -> list[Runnable]:
        informers = Informers(self._connect(MANAGER))
        clock = self._clock
        recorders: list[Runnable] = []

        def api(account: str) -> Verbs:
            """The API server for a controller with this service account."""
            return self._connect(f"system:serviceaccount:kube-system:{account}")

        def recorder(account: str, component: str = "") -> Recorder:
            made = Recorder(api(account), component or account, clock)
            recorders.append(made)
            return made

        scheduler = self._connect(SCHEDULER)
        told = Recorder(scheduler, "default-scheduler", clock)
        recorders.append(told)
        collector = GarbageCollector(api("generic-garbage-collector"), informers)
        controllers: list[Runnable] = [
            DeploymentController(api("deployment-controller"), informers, recorder("deployment-controller"), clock),
            ReplicaSetController(api("replicaset-controller"), informers, recorder("replicaset-controller"), clock),
            EndpointSliceController(api("endpointslice-controller"), informers),
            Scheduler(scheduler, informers, told, clock, self._random),
            collector,
            collector.served,
            NamespaceController(api("namespace-controller"), informers),
            ServiceAccountController(api("service-account-controller"), informers),
            NodeLifecycleController(api("node-controller"), informers, recorder("node-controller"), clock),
            PodGarbageCollector(api("pod-garbage-collector"), informers, clock),
            ResourceQuotaController(api("resourcequota-controller"), informers, clock),
            DisruptionController(
                api("disruption-controller"), informers, recorder("disruption-controller", "controllermanager"), clock
            ),
            JobController(api("job-controller"), informers, recorder("job-controller"), clock),
        ]
        if self._authority:
            controllers.append(RootCaPublisher(api("root-ca-cert-publisher"), informers, self._authority))
        return [informers, *recorders, *controllers]
