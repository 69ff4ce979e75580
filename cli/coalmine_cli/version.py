"""`version`: of this program."""

from __future__ import annotations

from coalmine_cli.call import DONE, Call, Verbs, add_output, add_verb
from coalmine_cli.output import document, is_text


def declare(verbs: Verbs) -> None:
    add_output(add_verb(verbs, "version", run, about="tell the version of this program"))


async def run(call: Call) -> int:
    from importlib.metadata import version

    known = version("coalmine")
    if is_text(call):
        call.terminal.say(f"coalmine {known}")
    else:
        document(call, {"version": known})
    return DONE
