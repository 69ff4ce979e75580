"""``python -m monitoring``: writes every file that is made of the values here.

``python -m monitoring record`` tells the story again, with a Prometheus beside it, for the picture of the docs; it is
to be run under a keeper: ``python -m coalmine_sandbox.keep -- python -m monitoring record``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monitoring import draw, record, rules
from monitoring.dashboard import build

_ROOT: Final = Path(__file__).parent.parent
_RULES: Final = "rules.yaml"


def files() -> dict[Path, str]:
    """Every file and what belongs in it."""
    overlay, here = _ROOT / "manifests" / "overlays" / "monitoring", _ROOT / "monitoring"
    return {
        overlay / "dashboard.json": build(),
        overlay / "prometheusrule.yaml": rules.operator(),
        here / _RULES: rules.plain(),
        here / "rules_test.yaml": rules.cases(_RULES),
        _ROOT / "docs" / "img" / "dashboard.svg": draw.picture(json.loads(record.RECORDING.read_text())),
    }


def main(argv: Sequence[str]) -> int:
    """Write them. Returns the exit status."""
    if argv == ["record"]:
        asyncio.run(record.record())
    elif argv:
        print(__doc__)
        return 2
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(_ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
