"""`abort NAME`: take the canary back; all requests go to stable."""

from __future__ import annotations

from coalmine.model.errors import SpecError
from coalmine_cli import wish
from coalmine_cli.call import Call, Verbs, add_name, add_output, add_verb


def declare(verbs: Verbs) -> None:
    parser = add_verb(verbs, "abort", run, about="take a canary back: all requests go to stable")
    add_name(parser)
    add_output(parser)


async def run(call: Call) -> int:
    return await wish.write(call, "abort", decide)


def decide(at: wish.Standing) -> wish.Answer:
    """Raises SpecError when it is aborted already, or too late."""
    if at.status.aborted_at is not None:
        raise SpecError("", f"the canary of {at.name} is aborted already", f"`coalmine retry {at.name}` tries it again")
    if at.status.handover_at is not None:
        raise SpecError(
            "",
            f"{at.images} is being handed over to the Deployment, which is too late to abort",
            "when it is Healthy, set the earlier image again",
        )
    return wish.Answer(
        {"abort": at.wish.to_json()},
        f"the canary of {at.name} ({at.images}) is aborted: all requests go to stable; `coalmine retry {at.name}` "
        "tries it again, another image starts a new one",
    )
