"""The generator is a package of the checkout, not of the distribution; kustomize is kubectl's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine_sandbox.plane.small import find_kubectl

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))

Objects = list[dict[str, Any]]


@pytest.fixture(scope="session")
def kustomize() -> Callable[[Path], Objects]:
    """Builds a folder with kubectl; skips where this machine has none."""
    kubectl = find_kubectl(os.environ)
    if kubectl is None:
        pytest.skip("there is no kubectl on this machine: `make binaries` builds one")

    def build(folder: Path) -> Objects:
        done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not done.stderr, "kustomize warns of what it will no longer take"
        return [each for each in yaml.safe_load_all(done.stdout) if each]

    return build
