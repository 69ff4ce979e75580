"""`pause NAME`: stand still at the current step, until somebody promotes or aborts."""

from __future__ import annotations

from coalmine.model.errors import SpecError
from coalmine_cli import wish
from coalmine_cli.call import Call, Verbs, add_name, add_output, add_verb


def declare(verbs: Verbs) -> None:
    parser = add_verb(
        verbs,
        "pause",
        run,
        about="stop a rollout at its current step and weight",
        more="The share of the canary stays as it is, its analysis goes on and may take it back. `promote` goes on.",
    )
    add_name(parser)
    add_output(parser)


async def run(call: Call) -> int:
    return await wish.write(call, "pause", decide)


def decide(at: wish.Standing) -> wish.Answer:
    """Raises SpecError when nothing moves that could be stopped."""
    status = at.status
    if status.aborted_at is not None:
        raise SpecError(
            "",
            f"the canary of {at.name} was aborted: there is nothing to pause",
            f"`coalmine retry {at.name}` tries it again",
        )
    if status.handover_at is not None:
        raise SpecError(
            "",
            f"{at.images} is being handed over to the Deployment, which is too late to pause",
            f"follow its end with `coalmine status {at.name}`",
        )
    if at.wishes.paused == at.wish:
        raise SpecError("", f"{at.name} is paused already", f"`coalmine promote {at.name}` goes on")
    return wish.Answer(
        {"paused": at.wish.to_json()},
        f"{at.name} is paused at step {status.step_text}: {at.images} keeps {status.weight} % of the requests; "
        f"`coalmine promote {at.name}` goes on, `coalmine abort {at.name}` takes it back",
    )
