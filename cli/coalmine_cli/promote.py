"""`promote NAME [--full]`: end the current pause or step, or all that remain."""

from __future__ import annotations

from functools import partial

from coalmine.model.errors import SpecError
from coalmine.model.rollout import Promotion
from coalmine_cli import wish
from coalmine_cli.call import Call, Verbs, add_name, add_output, add_verb


def declare(verbs: Verbs) -> None:
    parser = add_verb(verbs, "promote", run, about="go on with a rollout: end the current pause or step")
    add_name(parser)
    add_output(parser)
    parser.add_argument("--full", action="store_true", help="skip all steps that remain, and the analysis")


async def run(call: Call) -> int:
    return await wish.write(call, "promote", partial(decide, full=call.arguments.full))


def decide(at: wish.Standing, *, full: bool) -> wish.Answer:
    """Raises SpecError when there is nothing to promote."""
    status = at.status
    if status.aborted_at is not None:
        raise SpecError("", f"the canary of {at.name} was aborted", f"`coalmine retry {at.name}` tries it again")
    if status.handover_at is not None:
        raise SpecError(
            "", f"{at.images} is being handed over to the Deployment", "nothing is left to promote: it is promoted soon"
        )
    if status.full_promotion:
        raise SpecError("", f"{at.name} is promoted fully already", f"follow it with `coalmine status {at.name}`")
    paused = at.wishes.paused == at.wish
    if status.step >= status.steps and not full and not paused:
        raise SpecError(
            "", f"all {status.steps} steps of {at.name} are done", f"follow its end with `coalmine status {at.name}`"
        )
    promotion = Promotion(at.wish, status.step, full)
    does = "skipping all steps that remain" if full else f"going on from step {status.step_text}"
    return wish.Answer(
        {"promote": promotion.to_json(), "paused": None},
        f"{at.name} is promoted: {does} with {at.images}; follow it with `coalmine get rollout {at.name} -w`",
    )
