"""The tools' rules live with the tests on a control plane, which ask them of live objects; here of recorded ones."""

from __future__ import annotations

import sys
from pathlib import Path

# what the tests of this folder share, and the rules
for _folder in (Path(__file__).parent, Path(__file__).parents[2] / "cluster"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))
