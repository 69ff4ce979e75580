"""The options of ``coalmine webhook``: what is wrong with them is a sentence and exit status 2."""

from __future__ import annotations

import logging

import pytest

from coalmine_webhook.__main__ import main
from coalmine_webhook.options import read
from coalmine_webhook.resources import Resources
from coalmine_webhook.sidecar import Kind, Settings


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
        (["--image", "x", "--listen", "9443"], "--listen '9443': write HOST:PORT"),
        (["--image", "x", "--listen", "127.0.0.1:99999"], "write HOST:PORT"),
        (["--image", "x", "--metrics-listen", "8080"], "--metrics-listen '8080': write HOST:PORT"),
        (["--image", "x", "--address", "here"], "'here' does not appear to be an IPv4 or IPv6 address"),
        (["--image", "x", "--sidecar-cpu-request", "a lot"], "--sidecar-cpu-request 'a lot': write a quantity"),
        (["--image", "x", "--shutdown-delay", "-1"], "--shutdown-delay -1: write seconds from 0 to 3600"),
        (["--image", "x", "--shutdown-delay", "nan"], "--shutdown-delay nan: write seconds"),
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["--certs", "dir", "--certs-secret", "name"],
        ["--sidecar", "maybe"],
        ["--image-pull-policy", "Sometimes"],
        ["--shutdown-delay", "soon"],
    ],
)
def test_what_argparse_refuses(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(["--image", "x", *arguments], {})
    assert caught.value.code == 2
    assert arguments[-2] in capsys.readouterr().err


def test_what_holds_when_nothing_is_said():
    chosen = read([], {"COALMINE_IMAGE": "coalmine:1"})
    assert chosen.certs is None
    assert (chosen.namespace, chosen.certs_secret) == ("coalmine-system", "coalmine-webhook-certificates")
    assert (chosen.listen, chosen.metrics_listen) == ((None, 9443), (None, 8080))
    assert "coalmine-webhook.coalmine-system.svc" in chosen.mint.names
    assert chosen.mint.addresses == ()
    assert chosen.sidecar == Settings("coalmine:1")
    assert not chosen.kind_known


def test_what_is_said():
    chosen = read(
        [
            *("--listen", "[::1]:1", "--metrics-listen", "10.0.0.1:2", "--address", "10.0.0.2", "--name", "a.example"),
            *("--namespace", "elsewhere", "--certs-secret", "mine", "--certs-settle", "2", "--shutdown-delay", "0"),
            *("--image", "i", "--image-pull-policy", "Always", "--sidecar", "classic"),
            *("--sidecar-cpu-limit", "", "--sidecar-memory-limit", ""),
            *("--sidecar-cpu-request", "1", "--sidecar-memory-request", "1Gi"),
        ],
        {"COALMINE_IMAGE": "other"},
    )
    assert (chosen.listen, chosen.metrics_listen) == (("::1", 1), ("10.0.0.1", 2))
    assert chosen.mint.addresses == ("10.0.0.2", "::1")
    assert {"a.example", "coalmine-webhook.elsewhere.svc"} <= set(chosen.mint.names)
    assert (chosen.certs_secret, chosen.settle, chosen.shutdown_delay) == ("mine", 2.0, 0.0)
    assert chosen.kind_known
    assert chosen.sidecar == Settings("i", Kind.CLASSIC, Resources("1", "1Gi", "", ""), "Always")


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", ":1", "some.name:1"])
def test_an_address_that_stands_for_all_is_not_on_the_certificate(listen):
    assert read(["--image", "i", "--listen", listen], {}).mint.addresses == ()
