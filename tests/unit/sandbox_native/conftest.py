from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent
for folder in (_HERE, _HERE.parent / "kube"):  # the modules that are no tests, and the virtual clock
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
