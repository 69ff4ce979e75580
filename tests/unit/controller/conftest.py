"""The simulation, and the cluster in memory beside it, are imported by the tests of this folder."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "kube")]
