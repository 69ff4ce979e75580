"""The options of ``coalmine webhook``: what is wrong with them is a sentence and exit status 2."""

from __future__ import annotations

import logging

import pytest

from coalmine_webhook.__main__ import main


@pytest.fixture(autouse=True)
def keep_the_log():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no sidecar image: write --image IMAGE"),
        (["--image", "x", "--listen", "9443"], "write HOST:PORT"),
        (["--image", "x", "--listen", "127.0.0.1:99999"], "write HOST:PORT"),
        (["--image", "x", "--address", "here"], "'here' does not appear to be an IPv4 or IPv6 address"),
        (["--image", "x", "--listen", "127.0.0.1:0"], "name one with --kubeconfig"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, capsys, arguments, words):
    standing = ["--certs", str(tmp_path / "certs"), "--kubeconfig", str(tmp_path / "absent")]
    assert main([*standing, *arguments], {}) == 2
    error = capsys.readouterr().err
    assert error.startswith("coalmine webhook: ")
    assert words in error
    assert "Traceback" not in error
