"""Events on the Deployment, in the words of `reasons`.

An event that cannot be written is logged and lost: the story is also in the status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from coalmine.kube.client import Client
from coalmine.kube.resources import EVENTS
from coalmine.kube.verbs import ApiError
from coalmine.model.durations import format_time
from coalmine_controller.actions import Emit
from coalmine_controller.observed import Deployment

_log = logging.getLogger(__name__)

#: The API server's limit for an event's message (core/validation).
_MAX_MESSAGE = 1024


class Recorder:
    """Writes events as `identity`; `suffix` makes their names unique; `told` (`Metrics.told`) counts them."""

    def __init__(
        self,
        client: Client,
        identity: str,
        wall: Callable[[], float],
        suffix: Callable[[], str],
        told: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self._client = client
        self._identity = identity
        self._wall = wall
        self._suffix = suffix
        self._told = told

    async def record(self, deployment: Deployment, event: Emit) -> None:
        """One event on `deployment`."""
        now = format_time(self._wall())
        self._told((deployment.namespace, deployment.name), event.reason, warning=event.warning)
        stamp = f"{now[:19]}Z"
        _log.info("%s/%s: %s: %s", deployment.namespace, deployment.name, event.reason, event.message)
        try:
            await self._client.create(
                EVENTS,
                deployment.namespace,
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {
                        "name": f"{deployment.name[:200].rstrip('-.')}.{self._suffix()}",
                        "namespace": deployment.namespace,
                    },
                    "involvedObject": {
                        "apiVersion": "apps/v1",
                        "kind": "Deployment",
                        "namespace": deployment.namespace,
                        "name": deployment.name,
                        "uid": deployment.uid,
                    },
                    "reason": str(event.reason),
                    "message": event.message[:_MAX_MESSAGE],
                    "type": "Warning" if event.warning else "Normal",
                    "source": {"component": "coalmine"},
                    "reportingComponent": "coalmine.dev/controller",
                    "reportingInstance": self._identity,
                    "firstTimestamp": stamp,
                    "lastTimestamp": stamp,
                    "count": 1,
                },
            )
        except ApiError as error:
            _log.warning("event %s cannot be written: %s", event.reason, error)
