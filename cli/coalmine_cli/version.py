"""`version`: of this program."""

from __future__ import annotations

import json

from coalmine_cli.call import DONE, Call, Verbs, add_output, add_verb


def declare(verbs: Verbs) -> None:
    add_output(add_verb(verbs, "version", run, about="tell the version of this program"))


async def run(call: Call) -> int:
    from importlib.metadata import version

    known = version("coalmine")
    call.terminal.say(json.dumps({"version": known}) if call.arguments.output == "json" else f"coalmine {known}")
    return DONE
