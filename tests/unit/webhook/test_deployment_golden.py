"""The patches themselves, byte for byte: minimal, escaped, in one order."""

from __future__ import annotations

import pytest

from coalmine.model import names
from coalmine_webhook.review import Denied, Patched

STORIES = {
    "create": lambda w, new: w.create(new()),
    "create-without-labels": lambda w, new: w.create(
        new() | {"metadata": {"name": "web", "annotations": {names.CANARY: "steps: []"}}}
    ),
    "opt-in": lambda w, new: (w.create(new(canary=None)), w.annotate(canary="steps: []"))[-1],
    "hold": lambda w, _: w.stable().set_image("app:2"),
    "hold-by-put": lambda w, new: (w.stable(), w.put(new("app:2")))[-1],
    "hold-again-by-put": lambda w, new: (w.held(), w.put(new("app:2")))[-1],
    "resume-while-held": lambda w, _: (w.held(), w.resume())[-1],
    "newer-template-while-held": lambda w, _: w.held().set_image("app:4"),
    "failed-template-by-put": lambda w, new: (w.failed(), w.put(new("app:3")))[-1],
    "back-to-stable": lambda w, _: (w.failed(), w.set_image("app:1"))[-1],
    "let-through-at-0": lambda w, new: w.stable(new(replicas=0)).set_image("app:2"),
    "release": lambda w, _: (w.handing_over(), w.release())[-1],
    "off": lambda w, _: (w.handing_over(), w.annotate(canary="off"))[-1],
    "removed": lambda w, _: (w.stable(), w.annotate(canary=None))[-1],
    "removed-by-put": lambda w, new: (w.stable(), w.put(new(canary=None)))[-1],
    "denied-handover": lambda w, _: (w.handing_over(), w.set_image("app:4"))[-1],
    "denied-bad-annotation": lambda w, new: w.create(new(canary="steps:\n- setWeight: many\n")),
}


@pytest.mark.parametrize("name", STORIES)
def test_patch(world, new_deployment, golden, name):
    outcome = STORIES[name](world, new_deployment)
    if isinstance(outcome, Denied):
        golden(f"patch-{name}", {"denied": outcome.reason.value, "code": outcome.code, "message": outcome.message})
    else:
        golden(
            f"patch-{name}",
            {
                "patch": list(outcome.patch) if isinstance(outcome, Patched) else [],
                "warnings": [n.text for n in outcome.notices],
            },
        )
