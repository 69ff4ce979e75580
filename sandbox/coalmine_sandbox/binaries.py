"""The control plane's programs: found, or built once into a cache.

In this order: the directory that the caller names (the convention of envtest is
``$KUBEBUILDER_ASSETS``), the cache, a build with Go from the modules in
``tests/cluster/controlplane``. The cache's name holds the Kubernetes version and a hash of
go.mod and go.sum, so that other versions are built anew. A build goes to a directory beside it
and is renamed: half a build is never found.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

NAMES: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
_KUBERNETES: Final = NAMES[1:]
#: Beside the sources: a checkout is where the control plane is built.
MODULE: Final = Path(__file__).parents[2] / "tests" / "cluster" / "controlplane"


class BinariesError(Exception):
    """The programs are not there and cannot be built; the text says what to do."""


def cache_of(environ: Mapping[str, str]) -> Path:
    """The user's cache directory."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def find(assets: Path) -> Path:
    """`assets` if it holds every program. Raises BinariesError naming the missing ones."""
    missing = [name for name in NAMES if not os.access(assets / name, os.X_OK)]
    if missing:
        raise BinariesError(
            f"{assets} lacks {', '.join(missing)}: name a directory that holds {', '.join(NAMES)} "
            "(as envtest's KUBEBUILDER_ASSETS does)"
        )
    return assets


def cached(cache: Path, module: Path = MODULE) -> Path:
    """Where the programs of this module file are, or will be built to, below `cache`."""
    return cache / "coalmine" / "controlplane" / f"{_version(module)}-{_digest(module)}" / "bin"


def find_or_build(cache: Path, assets: Path | None = None, *, say: Callable[[str], None] = print) -> Path:
    """The directory with the programs; builds them if need be, which takes some minutes.

    Raises BinariesError.
    """
    if assets is not None:
        return find(assets)
    if not (MODULE / "go.mod").exists():
        raise BinariesError(f"there is no {MODULE}: set KUBEBUILDER_ASSETS to a directory with {', '.join(NAMES)}")
    target = cached(cache)
    if not target.is_dir():
        build(target, say=say)
    return find(target)


def build(target: Path, module: Path = MODULE, *, say: Callable[[str], None] = print) -> None:
    """Build the programs with Go and put them at `target` in one rename. Raises BinariesError."""
    go = _go(module)
    version = _version(module)
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
    try:
        say(f"building Kubernetes {version} into {target}: this takes some minutes, once")
        _compile(go, module, ["-o", f"{building}/", *(f"k8s.io/kubernetes/cmd/{n}" for n in _KUBERNETES)], version)
        say("building etcd")
        _compile(go, module, ["-o", str(building / "etcd"), "go.etcd.io/etcd/server/v3"], version)
        try:
            building.rename(target)
        except OSError:
            find(target)  # somebody else was faster, and as good
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _compile(go: str, module: Path, arguments: list[str], version: str) -> None:
    _, minor, _ = version.lstrip("v").split(".")
    base = "k8s.io/component-base/version"
    stamps = {
        f"{base}.gitVersion": version,
        f"{base}.gitMajor": "1",
        f"{base}.gitMinor": minor,
        f"{base}.gitTreeState": "archive",
        "k8s.io/client-go/pkg/version.gitVersion": version,
    }
    flags = "-s -w " + " ".join(f"-X {key}={value}" for key, value in stamps.items())
    command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", flags, *arguments]
    try:
        subprocess.run(command, cwd=module, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
    except subprocess.CalledProcessError as error:
        raise BinariesError(
            f"go build failed in {module} (exit status {error.returncode}; see above): mend it, or set "
            f"KUBEBUILDER_ASSETS to a directory with {', '.join(NAMES)}"
        ) from error


def _go(module: Path) -> str:
    wanted = _match(r"^go (\d+\.\d+)", module)
    advice = f"install Go {wanted} or later, or set KUBEBUILDER_ASSETS to a directory with {', '.join(NAMES)}"
    go = shutil.which("go")
    if go is None:
        raise BinariesError(f"the control plane has to be built, and there is no go in PATH: {advice}")
    answer = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, cwd=module)
    found = re.match(r"go(\d+)\.(\d+)", answer.stdout.strip())
    if found is None or (int(found[1]), int(found[2])) < tuple(int(n) for n in wanted.split(".")):
        raise BinariesError(f"{go} is {(answer.stdout or answer.stderr).strip() or 'of an unknown version'}: {advice}")
    return go


def _version(module: Path) -> str:
    return _match(r"^\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+)", module)


def _match(pattern: str, module: Path) -> str:
    found = re.search(pattern, (module / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise BinariesError(f"{module / 'go.mod'} has no line like {pattern}")
    return found[1]


def _digest(module: Path) -> str:
    content = (module / "go.mod").read_bytes() + (module / "go.sum").read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]
