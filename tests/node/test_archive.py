"""Archives are the same bytes for the same content, and name what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import archive
import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "program").write_text("#!/bin/true\n")
    (root / "bin" / "program").chmod(0o755)
    (root / "bin" / "alias").symlink_to("program")
    return root


def _read(file: Path, name: str) -> Any:
    with tarfile.open(file) as tar:
        content = tar.extractfile(name)
        assert content is not None
        return json.load(content)


def test_a_layer_does_not_depend_on_when_it_is_made(tree: Path, tmp_path: Path) -> None:
    first = archive.layer(tree, tmp_path / "first.tar").read_bytes()
    os.utime(tree / "bin" / "program", (1, 1))
    assert archive.layer(tree, tmp_path / "second.tar").read_bytes() == first


def test_a_layer_keeps_modes_and_links(tree: Path, tmp_path: Path) -> None:
    with tarfile.open(archive.layer(tree, tmp_path / "layer.tar")) as tar:
        assert tar.getmember("bin/program").mode == 0o755
        assert tar.getmember("bin/alias").linkname == "program"
        assert {(m.uid, m.gid, m.uname) for m in tar} == {(0, 0, "")}


def test_a_layer_that_images_share_is_there_once(tree: Path, tmp_path: Path) -> None:
    layer = archive.layer(tree, tmp_path / "layer.tar")
    images = [archive.Image(f"shop:{tag}", [layer], archive.Config(["program", tag])) for tag in ("1", "2")]
    file = archive.write(tmp_path / "images.tar", images, "x86_64")
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    with tarfile.open(file) as tar:
        assert [n for n in tar.getnames() if n.endswith("layer.tar")] == [f"{digest}/layer.tar"]
    manifest = _read(file, "manifest.json")
    assert [entry["RepoTags"] for entry in manifest] == [["shop:1"], ["shop:2"]]
    configuration = _read(file, manifest[1]["Config"])
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{digest}"]
    assert configuration["config"]["Entrypoint"] == ["program", "2"]
    assert configuration["config"]["User"] == "65532:65532"
    assert configuration["architecture"] == "amd64"


def test_a_machine_that_is_not_known_is_refused(tree: Path, tmp_path: Path) -> None:
    layer = archive.layer(tree, tmp_path / "layer.tar")
    with pytest.raises(KeyError, match="m68k"):
        archive.write(tmp_path / "images.tar", [archive.Image("a:1", [layer], archive.Config(["a"]))], "m68k")
