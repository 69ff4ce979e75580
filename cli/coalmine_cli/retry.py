"""`retry NAME`: try an aborted canary again, from the first step."""

from __future__ import annotations

from coalmine.model.errors import SpecError
from coalmine_cli import wish
from coalmine_cli.call import Call, Verbs, add_name, add_output, add_verb


def declare(verbs: Verbs) -> None:
    parser = add_verb(verbs, "retry", run, about="try an aborted canary again, from the first step")
    add_name(parser)
    add_output(parser)


async def run(call: Call) -> int:
    return await wish.write(call, "retry", decide)


def decide(at: wish.Standing) -> wish.Answer:
    """Raises SpecError when it is not aborted."""
    if at.status.aborted_at is None:
        raise SpecError(
            "",
            f"the canary of {at.name} is not aborted: it is {at.status.phase}, at step {at.status.step_text}",
            f"`coalmine abort {at.name}` would take it back",
        )
    if at.wishes.retry == at.wish:
        raise SpecError(
            "", f"a retry of {at.name} is asked for already", "look whether coalmine-controller runs if none begins"
        )
    return wish.Answer(
        {"retry": at.wish.to_json()},
        f"{at.name} tries {at.images} again from the first step; follow it with `coalmine get rollout {at.name} -w`",
    )
