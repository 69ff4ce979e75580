"""Which network of the loopback device a sandbox gets, and what is where on it."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys

import pytest

from coalmine_sandbox import ground
from coalmine_sandbox.node import addresses

#: Networks that these tests alone use, and that they use one after the other.
OURS = range(201, 204)


def test_layout_of_a_network() -> None:
    one = ground.on(7)
    assert one == ground.Ground(
        api=("127.7.0.1", 6443),
        webhook=("127.7.0.2", 9443),
        node="127.7.0.10",
        services="127.7.16.0/20",
        pods="127.7.128.0/17",
    )
    assert (one.kubernetes, one.server) == ("127.7.16.1", "https://127.7.0.1:6443")
    assert (ground.REAL.kubernetes, ground.REAL.server) == ("10.96.0.1", "https://10.97.0.1:6443")


@pytest.mark.parametrize("one", [ground.on(1), ground.REAL])
def test_ranges_are_apart(one: ground.Ground) -> None:
    ranges = [ipaddress.ip_network(r) for r in (one.services, one.pods)]
    assert not ranges[0].overlaps(ranges[1])
    assert not any(ipaddress.ip_address(a) in r for a in (one.api[0], one.webhook[0], one.node) for r in ranges)


def test_claims_exclude_each_other_and_end() -> None:
    with ground.free(OURS) as first:
        assert first.ground.node == "127.201.0.10"
        with ground.free(OURS) as second, ground.free(OURS) as third:
            assert (second.ground.node, third.ground.node) == ("127.202.0.10", "127.203.0.10")
            with pytest.raises(ground.GroundError, match="every network"):
                ground.free(OURS)
    with ground.free(OURS) as again:
        assert again.ground == first.ground


def test_claim_ends_with_the_last_process_that_holds_it() -> None:
    claim = ground.free(OURS)
    with subprocess.Popen(["sleep", "3600"], pass_fds=(claim.fileno(),)) as heir:
        claim.close()
        with ground.free(OURS) as other:
            assert other.ground != claim.ground
        heir.kill()
        heir.wait()
    with ground.free(OURS) as again:
        assert again.ground == claim.ground


def test_claim_of_a_killed_process_ends() -> None:
    program = "from coalmine_sandbox import ground; c = ground.free(range(201, 204)); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"up\n"
        with ground.free(OURS) as second:
            assert second.ground.node == "127.202.0.10"
        other.kill()
    with ground.free(OURS) as again:
        assert again.ground.node == "127.201.0.10"


def test_networks_that_others_use_are_left_to_them() -> None:
    with (
        socket.create_server(("127.201.77.1", 0)),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver,
    ):
        resolver.bind(("127.202.0.53", 0))
        with ground.free(OURS) as claim:
            assert claim.ground.node == "127.203.0.10"


def test_port_that_is_taken_at_every_address_is_avoided() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        assert ground._free_port("127.201.0.1", port) > port


def test_loopback_addresses_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)  # there is no `ip` to be called
    addresses.add("127.201.1.1")
    addresses.remove("127.201.1.1")
    with pytest.raises(OSError, match="ip"):
        addresses.add("10.0.0.1")
