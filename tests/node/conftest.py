"""The real node, started once: `make test-node`, which is root's, inside the namespaces of `isolate`.

Tests are plain functions; what is asynchronous they hand to `run`, which is the loop of the lab.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from coalmine_sandbox import isolate
from coalmine_sandbox.binaries import cache_of, find_or_build

sys.path.insert(0, str(Path(__file__).parent))  # what the tests of this folder share

import prepare
from node_lab import NodeLab

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def run(runner: asyncio.Runner) -> Run[Any]:
    """Run a coroutine to its end on the lab's loop."""
    return runner.run


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tell the person who waits; seen without -s."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(sentence: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  {sentence}", end="", flush=True)

    return tell


@pytest.fixture(scope="session")
def lab(runner: asyncio.Runner, say: Callable[[str], None]) -> Iterator[NodeLab]:
    """A node that is Ready, and nothing of ours on it."""
    if isolate.current() is None:
        pytest.skip("a real node needs namespaces of its own: make test-node")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    cache = cache_of(os.environ)
    lab = NodeLab(find_or_build(cache, Path(assets) if assets else None), cache)
    assert prepare.programs(cache).is_dir(), "run tests/node/prepare.py first: make test-node does"
    runner.run(lab.__aenter__())
    _tell(lab, say)
    yield lab
    runner.run(lab.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def installed(lab: NodeLab, runner: asyncio.Runner, say: Callable[[str], None]) -> NodeLab:
    """The node with Coalmine as manifests/base installs it."""
    lab.timings.clear()
    runner.run(lab.install())
    _tell(lab, say)
    return lab


def _tell(lab: NodeLab, say: Callable[[str], None]) -> None:
    for what, seconds in lab.timings.items():
        say(f"{what}: {seconds:.1f} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what the node's processes said last."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, NodeLab):
        report.sections.append(("lab logs", lab.tails(lines=15)))
    return report
