"""What `plan` returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from coalmine.model.rollout import Status
from coalmine_controller.actions import Action
from coalmine_controller.routing import Routes


@dataclass(frozen=True, slots=True)
class Decision:
    """The status to write first, then the sidecars' routing, then the actions in their order.

    `requeue_after` is in seconds; None means that only a change in the world matters.
    `needs_live`: a guarded write is due, but what was observed came from caches:
    observe live and plan again. `urgent`: the routing goes out even if the status cannot be written.
    """

    status: Status
    actions: tuple[Action, ...] = ()
    routes: Routes = field(default_factory=dict)
    requeue_after: float | None = None
    needs_live: bool = False
    urgent: bool = False
