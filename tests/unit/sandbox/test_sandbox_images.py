"""What an image name stands for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from coalmine.model.errors import SpecError
from coalmine_sandbox.node.images import Images, UnknownImageError, tag


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("particule/simplecolorapi:1.0", "1.0"),
        ("colorapi", "latest"),
        ("registry:5000/a/b", "latest"),
        ("registry:5000/a/b:2.0", "2.0"),
        ("a/b:2.0@sha256:abc", "2.0"),
        ("a/b@sha256:abc", "latest"),
    ],
)
def test_tag(name: str, expected: str) -> None:
    assert tag(name) == expected


def test_first_match_is_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(
        """
images:
- name: "a/app:2.*"
  command: ["{python}", "{folder}/app.py", "--release", "{image.tag}"]
  env: {BIND: "{pod.ip}", NUMBER: 1}
  executables: [bin]
- name: "a/*"
"""
    )
    images = Images.load([file])
    image = images.resolve("a/app:2.1", "10.0.0.7")
    assert image.command == (sys.executable, f"{tmp_path}/app.py", "--release", "2.1")
    assert image.env == {"BIND": "10.0.0.7", "NUMBER": "1"}
    assert image.executables == (f"{tmp_path}/bin",)
    assert images.resolve("a/app:3.0", "10.0.0.7").command == ()
    with pytest.raises(UnknownImageError, match=r'image "b/app:1" is in no images file \(known: a/app:2\.\*, a/\*\)'):
        images.resolve("b/app:1", "10.0.0.7")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: 1", "there is no list of images"),
        ("[", "cannot be read"),
        ("images: [{command: [a]}]", r"images\[0\]\.name: is missing"),
        ("images: [{name: a, command: b}]", r"images\[0\]\.command: 'b' is not a list of texts"),
        ("images: [{name: a, env: [b]}]", r"images\[0\]\.env: is not a mapping"),
    ],
)
def test_bad_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=said):
        Images.load([file])
