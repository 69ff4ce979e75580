"""The article's story: what the demo shows, demanded."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.lab import Lab
from coalmine_sandbox.story.tale import Tale

pytestmark = pytest.mark.cluster


def test_the_story_of_the_article(installed: Lab, controller: Daemon, run: Any) -> None:
    told: list[str] = []
    tale = Tale(installed, 3.0, time.monotonic, random.Random(), lambda what: told.append(str(what)), lambda _: None)
    report = run(tale.run())
    broken = [p.sentence for p in report.promises if not p.kept]
    assert not broken, "\n".join([*broken, *told])
    assert report.ok
    assert report.stable_restarts == 0
    assert [o.phase for o in report.outcomes] == ["Healthy", "Degraded", "Healthy", "Healthy"]
    assert "failed (2) > failureLimit (1)" in report.outcomes[1].message
    assert report.requests > 1000
