"""Docker archives, written without Docker: layers and configurations of images in one tar file.

Rules: the same content gives the same bytes, whoever makes it and when (owner, time and order are fixed), so
that a layer is known by its digest. The format is the one of ``docker save``, which ``ctr images import`` reads:
manifest.json names the configuration and the layers, the configuration the layers' digests.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

#: Not an account of any image, and not root.
USER: Final = 65_532
#: Every machine that Kubernetes' programs are built for here.
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Config:
    """What runs in a container of the image."""

    entrypoint: Sequence[str]
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int = USER


@dataclass(frozen=True, slots=True)
class Image:
    """A name with its tag, what is in it from the bottom up, and what runs."""

    name: str
    layers: Sequence[Path]
    config: Config


def layer(tree: Path, target: Path) -> Path:
    """Write the tree at `tree` as a layer to `target`; replaced as a whole."""
    fresh = target.with_name(f".{target.name}")
    with tarfile.open(fresh, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            tar.add(path, arcname=str(path.relative_to(tree)), recursive=False, filter=_anonymous)
    return fresh.replace(target)


def write(target: Path, images: Sequence[Image], machine: str) -> Path:
    """Write the images to one archive, each layer once. Raises KeyError for a machine that is not known."""
    layers: dict[str, Path] = {}
    documents: dict[str, bytes] = {}
    manifest = []
    for image in images:
        digests = [_digest(each) for each in image.layers]
        layers.update(zip(digests, image.layers, strict=True))
        document = json.dumps(_configuration(image.config, digests, _ARCHITECTURES[machine]), sort_keys=True).encode()
        name = f"{hashlib.sha256(document).hexdigest()}.json"
        documents[name] = document
        manifest.append(
            {"Config": name, "RepoTags": [image.name], "Layers": [f"{digest}/layer.tar" for digest in digests]}
        )
    fresh = target.with_name(f".{target.name}")
    with tarfile.open(fresh, "w") as tar:
        for digest, path in layers.items():
            tar.add(path, arcname=f"{digest}/layer.tar", filter=_anonymous)
        for name, document in documents.items():
            _put(tar, name, document)
        _put(tar, "manifest.json", json.dumps(manifest).encode())
    return fresh.replace(target)


def _configuration(config: Config, digests: Sequence[str], architecture: str) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": list(config.entrypoint),
            "Cmd": list(config.command),
            "Env": [f"{key}={value}" for key, value in config.environment.items()],
            "User": f"{config.user}:{config.user}",
            "WorkingDir": "/",
        },
        "history": [{"created_by": "tests/node"}] * len(digests),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry
