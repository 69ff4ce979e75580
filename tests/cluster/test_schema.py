"""What the sandbox's API server knows of Kubernetes' own kinds is what the real one says and does.

On the real control plane only: what is compared was recorded there. UPDATE_GOLDEN=1 records anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from schema_recording import definitions, lines, spelling
from write_recording import NAMESPACE, Recorder, writes

from coalmine.kube.resources import NAMESPACES
from coalmine_sandbox.api.schema import builtin
from coalmine_sandbox.lab import Lab
from coalmine_sandbox.plane.real import RealControlPlane

pytestmark = pytest.mark.cluster
GOLDEN = Path(__file__).parents[1] / "unit" / "sandbox_schema" / "golden"
SCHEMA = Path(builtin.__file__).parent
MODULES = Path(__file__).parent / "controlplane" / "go.mod"


@pytest.fixture
def real(lab: Lab) -> Lab:
    """The lab, on the real control plane."""
    if not isinstance(lab.control_plane, RealControlPlane):
        pytest.skip("the sandbox would be compared with itself")
    return lab


def check(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def golden(path: Path, found: Any) -> None:
    check(path, "[\n" + ",\n".join(json.dumps(each, sort_keys=True) for each in found) + "\n]\n")


def test_the_definitions_are_the_real_ones(real: Lab, run: Any) -> None:
    check(SCHEMA / "kubernetes.json", lines(run(definitions(real.client))))


def test_empty_fields_are_written_as_gos_types_write_them(real: Lab, run: Any) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("the types are read from Go's module cache")
    cache = Path(subprocess.run([go, "env", "GOMODCACHE"], check=True, capture_output=True, text=True).stdout.strip())
    minor = re.search(r"k8s\.io/kubernetes v1\.(\S+)", MODULES.read_text())
    assert minor
    if not (cache / "k8s.io" / f"api@v0.{minor[1]}").is_dir():
        pytest.skip("the control plane was not built here: its modules are not in the cache")
    found = spelling(run(definitions(real.client)), cache / "k8s.io", f"v0.{minor[1]}")
    check(SCHEMA / "spelling.json", lines(found))


def test_objects_are_stored_and_written_as_recorded(real: Lab, run: Any) -> None:
    """Defaults, spelling, merges and managedFields: what the unit tests take for the truth is the truth."""
    recorder = Recorder(real.client, real.resource)
    control_plane: Any = real.control_plane

    async def recorded() -> tuple[Any, Any]:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await real.client.create(NAMESPACES, None, body)
        try:
            stored = await recorder.defaults()
            await control_plane.controller_manager.stop()
            return stored, await writes(recorder)
        finally:
            if not control_plane.controller_manager.running:
                control_plane.controller_manager.start()
            await real.client.delete(NAMESPACES, None, NAMESPACE)

    stored, written = run(recorded())
    golden(GOLDEN / "defaults.json", stored)
    golden(GOLDEN / "writes.json", written)
