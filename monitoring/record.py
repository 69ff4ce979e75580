"""Records what Prometheus says of the demonstration: the article's story on the sandbox, scraped all the while.

What is kept are the answers to the queries of some panels, with times from the story's begin on; `draw` makes the
picture of them. A recording is data of a run, never made up.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any, Final

from coalmine_sandbox.lab import Lab
from coalmine_sandbox.plane.small import SmallControlPlane
from coalmine_sandbox.story.tale import NAMESPACE, Tale
from monitoring.panels import STEPS, shown
from monitoring.server import Prometheus, filled, free_port

RECORDING: Final = Path(__file__).with_name("recorded.json")
#: Seconds of a pause of the story, and between two points.
_PACE: Final = 12.0
_STEP: Final = 1.0


async def record() -> None:
    """Tell the story and write what Prometheus says of it. Raises LabError."""
    async with Lab(SmallControlPlane) as lab:
        host = lab.ground.webhook[0]
        webhook = "{}:{}".format(*lab.webhook_metrics)
        jobs = {"coalmine-controller": f"{host}:{free_port(lab)}", "coalmine-webhook": webhook}
        prometheus = Prometheus(lab, jobs)
        await lab.install(controllers=0)
        async with prometheus.running():
            await lab.start_controller("controller", listen=jobs["coalmine-controller"], prometheus=prometheus.url)
            began = time.time()
            tale = Tale(lab, _PACE, time.monotonic, random.Random(1), lambda _: None, lambda _: None)
            report = await tale.run()
            if not report.ok:
                raise SystemExit("the story did not go as it should: " + "; ".join(p.sentence for p in report.promises))
            RECORDING.write_text(json.dumps(await _answers(prometheus, began, time.time()), indent=1) + "\n")


async def _answers(prometheus: Prometheus, began: float, ended: float) -> dict[str, Any]:
    found = {}
    for panel in shown():
        lines = []
        for query in panel.queries:
            expr = filled(query.expr, NAMESPACE, ended - began)
            for series in await prometheus.over(expr, began, ended, _STEP):
                lines.append([_legend(query.legend, series["metric"]), _points(series["values"], began)])
        found[panel.title] = lines
    marks = await prometheus.over(filled(STEPS.replace("30s", "2s"), NAMESPACE, 1), began, ended, _STEP)
    steps = sorted({round(t - began) for series in marks for t, _ in series["values"]})
    return {
        "seconds": round(ended - began),
        "steps": [t for i, t in enumerate(steps) if not i or t > steps[i - 1] + 1],
        "panels": found,
    }


def _points(values: list[Any], began: float) -> list[Any]:
    """Pairs of seconds and numbers; NaN is no point."""
    return [[round(t - began), float(f"{float(v):.4g}")] for t, v in values if v not in ("NaN", "+Inf", "-Inf")]


def _legend(template: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace(f"{{{{{name}}}}}", value)
    return template
