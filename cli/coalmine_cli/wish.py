"""What a person asks of a rollout: read where it stands, decide, write the wish into its spec.

Rules: a wish names the revision and the attempt that the person was looking at, so that it does
nothing when these have changed meanwhile; and it is refused, with the reason, when it makes no
sense now. While the controller has not seen the Deployment's latest change nobody can know what
is asked for, so that is refused too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from coalmine.model.errors import SpecError
from coalmine.model.rollout import Status, Wish, Wishes
from coalmine_cli.call import DONE, Call
from coalmine_cli.output import told

if TYPE_CHECKING:
    from coalmine.kube.resources import Object


class Answer(NamedTuple):
    """The merge patch for the Rollout's spec, and the sentence that says what it does."""

    spec: dict[str, Any]
    sentence: str


class Standing(NamedTuple):
    """A rollout with a canary, as a person sees it."""

    name: str
    status: Status
    wish: Wish
    wishes: Wishes
    images: str


#: Raises SpecError when the wish makes no sense.
Decide = Callable[[Standing], Answer]


def standing(deployment: Object, rollout: Object, what: str) -> Standing:
    """Raises SpecError when there is no canary of which one could ask to `what`."""
    from coalmine.model.view import wish_of
    from coalmine_cli.cluster import status_of

    name, status = deployment["metadata"]["name"], status_of(rollout)
    if status.workload_generation < deployment["metadata"]["generation"]:
        raise SpecError(
            "", f"the controller has not seen the latest change of the Deployment {name} yet", "try again in a moment"
        )
    wish = wish_of(status)
    if status.canary is None or wish is None:
        raise SpecError(
            "",
            f"there is no canary of {name} to {what}: it is {status.phase}",
            "one comes up when the Deployment's template changes",
        )
    wishes = Wishes.from_json(rollout.get("spec") or {})
    return Standing(name, status, wish, wishes, ", ".join(status.canary.images))


async def write(call: Call, what: str, decide: Decide) -> int:
    """Read, decide, write, and tell; `what` is the verb. Raises SpecError, ApiError."""
    from coalmine.kube.resources import ROLLOUTS
    from coalmine_cli.cluster import connected

    name = call.arguments.name
    async with connected(call.arguments) as cluster:
        deployment = await cluster.deployment(name)
        answer = decide(standing(deployment, await cluster.rollout(deployment), what))
        await cluster.client.patch(ROLLOUTS, cluster.namespace, name, {"spec": answer.spec})
        told(call, cluster.namespace, what, answer.sentence)
    return DONE
