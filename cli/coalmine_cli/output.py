"""What is shown, as a document for programs: ``-o json`` and ``-o yaml``.

Rules: one document for a call; while something is followed, a JSON line or a YAML document for each
change. The keys are the same in both, in the same order, and are not taken away in a later version. It is ASCII, with
escapes for all else: no stream's encoding can spoil it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from coalmine_cli.call import Call
from coalmine_cli.terminal import clean


def is_text(call: Call) -> bool:
    """Whether a person reads it."""
    return call.arguments.output not in ("json", "yaml")


def document(call: Call, fields: Mapping[str, Any], *, one_of_many: bool = False) -> None:
    """Show `fields` in the format that the call asks for."""
    if call.arguments.output == "json":
        call.terminal.say(json.dumps(fields, indent=None if one_of_many else 2))
        return
    import yaml  # a tenth of a second: only for who wants it

    text = yaml.safe_dump(dict(fields), sort_keys=False, width=120)
    call.terminal.say(("---\n" if one_of_many else "") + text.rstrip("\n"))


def told(call: Call, namespace: str, action: str, sentence: str, *, changed: bool = True) -> None:
    """What a verb that writes has done: its sentence, or the document of it."""
    if is_text(call):
        call.terminal.say("\n".join(map(clean, sentence.split("\n"))))
        return
    name = call.arguments.name
    document(call, {"name": name, "namespace": namespace, "action": action, "changed": changed, "message": sentence})
