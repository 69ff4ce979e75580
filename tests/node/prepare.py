"""``python tests/node/prepare.py``: the node's programs and images, built once into the user's cache.

Run before the namespaces are entered: inside there is no way to a registry or a module proxy. What does
not change with the checkout (Kubernetes' programs, CoreDNS, Python, the packages of the lock file) is kept under a
digest of what it is made of; our own program is packed anew each time. What is built goes to a place beside, and is
renamed: half a build is never found.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import yaml

sys.path.insert(0, str(Path(__file__).parent))

import archive
import layers

from coalmine_sandbox.binaries import cache_of

HERE: Final = Path(__file__).resolve().parent
CHECKOUT: Final = HERE.parents[1]
EXAMPLE: Final = CHECKOUT / "examples" / "colorapi"
#: Program and the Debian package that has it; what is built here is not named.
PACKAGES: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
PAUSE: Final = "localhost/pause:1"
#: As manifests/base names it, below a registry that nobody asks.
OURS: Final = "localhost/coalmine:dev"


class MissingError(Exception):
    """Something cannot be built here; the text says what to install."""


def missing() -> list[str]:
    """The Debian packages that this machine lacks."""
    return sorted({package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None})


#: Of the example.
RELEASES: Final = ("1.0", "2.0", "3.0", "4.0")
#: Debian's tools for the network are not in everybody's.
PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def programs(cache: Path) -> Path:
    """The directory with kubelet, kube-proxy, coredns and pause."""
    made_of = [HERE / "programs" / "go.mod", HERE / "programs" / "go.sum", *sorted((HERE / "dns").iterdir())]
    return cache / "coalmine" / "node" / f"programs-{_digest(*made_of, HERE / 'pause.go')}"


def images(cache: Path) -> Path:
    """The archive of all images."""
    return cache / "coalmine" / "node" / "images.tar"


def prepare(cache: Path, say: Callable[[str], None] = print) -> None:
    """Build what is not there. Raises MissingError, CalledProcessError or LayerError."""
    if lacking := missing():
        raise MissingError(f"the node needs Debian's packages {', '.join(lacking)}: apt-get install them")
    if not (place := programs(cache)).is_dir():
        with _building(place) as building:
            _build_programs(building, say)
    _pack(cache, say)


def _build_programs(target: Path, say: Callable[[str], None]) -> None:
    if shutil.which("go") is None:
        raise MissingError("kubelet, kube-proxy and CoreDNS have to be built, and there is no go in PATH: install Go")
    version = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (HERE / "programs" / "go.mod").read_text())
    assert version is not None, "go.mod names Kubernetes' version"
    base = "k8s.io/component-base/version"
    stamps = {"gitVersion": version[1], "gitMajor": version[2], "gitMinor": version[3], "gitTreeState": "archive"}
    flags = "-s -w " + " ".join(f"-X {base}.{key}={value}" for key, value in stamps.items())
    flags += f" -X k8s.io/client-go/pkg/version.gitVersion={version[1]}"
    say(f"building kubelet and kube-proxy {version[1]}: this takes some minutes, once")
    _go(HERE / "programs", target, flags, "k8s.io/kubernetes/cmd/kubelet", "k8s.io/kubernetes/cmd/kube-proxy")
    say("building CoreDNS")
    _go(HERE / "dns", target / "coredns", "-s -w", ".")
    _go(HERE, target / "pause", "-s -w", "pause.go")


def _go(where: Path, target: Path, flags: str, *packages: str) -> None:
    output = f"{target}/" if target.is_dir() else str(target)
    command = ["go", "build", "-trimpath", "-ldflags", flags, "-o", output, *packages]
    subprocess.run(command, cwd=where, env={**os.environ, "CGO_ENABLED": "0"}, check=True)


def _pack(cache: Path, say: Callable[[str], None]) -> None:
    say(f"packing Python {platform.python_version()}, our program and the example")
    mine = _digest(HERE / "layers.py")
    pause = _layer(
        cache, f"pause-{_digest(HERE / 'pause.go')}", lambda root: layers.static(root, programs(cache) / "pause")
    )
    base = _layer(cache, f"python-{platform.python_version()}-{mine}", layers.python)
    # the root is read-only
    environment = {
        "PATH": "/usr/local/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/tmp",
    }
    with tempfile.TemporaryDirectory() as scratch:
        lock = CHECKOUT / "requirements-image.lock"
        packages = f"packages-{platform.python_version()}-{_digest(lock, HERE / 'layers.py')}"
        needed = _layer(cache, packages, lambda root: layers.packages(root, lock))
        root, wheels = Path(scratch, "root"), Path(scratch, "wheels")
        with tarfile.open(needed) as tar:
            tar.extractall(root, filter="tar")
        layers.program(root, CHECKOUT, _compiled(cache, say), wheels)
        ours = archive.layer(root, Path(scratch) / "ours.tar")
        example = Path(scratch, "example")
        layers.example(example, EXAMPLE / "colorapi.py")
        application = archive.layer(example, Path(scratch) / "example.tar")
        all_images = [
            archive.Image(PAUSE, [pause], archive.Config(["/pause"])),
            archive.Image(OURS, [base, ours], archive.Config(["coalmine"], environment=environment)),
        ]
        for release in RELEASES:
            name, entrypoint = _example(release)
            config = archive.Config(entrypoint, environment=environment)
            all_images.append(archive.Image(name, [base, application], config))
        target = archive.write(images(cache), all_images, platform.machine())
    say(f"{len(all_images)} images are in {target}: {target.stat().st_size >> 20} MB")


def _example(release: str) -> tuple[str, list[str]]:
    """Name and command of a release, as the example's images.yaml has them."""
    (entry,) = yaml.safe_load((EXAMPLE / "images.yaml").read_text())["images"]
    values = {"python": "python3", "folder": "/app", "image.tag": release, "pod.ip": "0.0.0.0"}
    command = [re.sub(r"\{([a-z.]+)\}", lambda found: values[found[1]], word) for word in entry["command"]]
    return f"docker.io/{entry['name'].replace('*', release)}", command


def _compiled(cache: Path, say: Callable[[str], None]) -> Path | None:
    """The sidecar's hot path as C, as the Dockerfile has it; None on a machine without a compiler."""
    if shutil.which(os.environ.get("CC", "cc")) is None:
        say("there is no C compiler: the sidecars run the pure modules")
        return None
    sources = [CHECKOUT / "proxy" / "compile.py", *sorted((CHECKOUT / "proxy").rglob("*.py"))]
    sources += sorted((CHECKOUT / "core" / "coalmine" / "model").rglob("*.py"))
    place = cache / "coalmine" / "node" / f"compiled-{platform.python_version()}-{_digest(*sources)}"
    if not place.is_dir():
        say("compiling the sidecar's hot path")
        with _building(place) as building:
            command = [sys.executable, str(CHECKOUT / "proxy" / "compile.py"), str(building / "modules")]
            subprocess.run(command, check=True)
    return place / "modules"


def _layer(cache: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """A layer of the cache, filled if it is not there."""
    target = cache / "coalmine" / "node" / "layers" / f"{name}.tar"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch, "root")
            root.mkdir()
            fill(root)
            archive.layer(root, target)
    return target


@contextlib.contextmanager
def _building(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
    try:
        yield building
        with contextlib.suppress(OSError):  # somebody else was faster, and as good
            building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def main() -> int:
    try:
        prepare(cache_of(os.environ))
    except (MissingError, layers.LayerError) as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"prepare: {' '.join(map(str, error.cmd[:3]))} ended with {error.returncode}; see above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
