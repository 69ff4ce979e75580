"""The lab for tests on a control plane: started once, a namespace of its own for each test.

``make test`` runs them on the sandbox's control plane, ``make test-cluster`` on Kubernetes' own: that is
``python -m coalmine_sandbox.isolate -- pytest tests/cluster --control-plane=real``, as root.
Tests are plain functions; what is asynchronous they hand to `run`, which is the loop of the lab.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from coalmine.kube.resources import NAMESPACES, SERVICE_ACCOUNTS
from coalmine_sandbox.binaries import cache_of, find_or_build
from coalmine_sandbox.daemon import Daemon
from coalmine_sandbox.lab import Lab, NoKubectlError
from coalmine_sandbox.plane import ControlPlane
from coalmine_sandbox.plane.real import RealControlPlane
from coalmine_sandbox.plane.small import SmallControlPlane, find_kubectl

if TYPE_CHECKING:
    from releases import Stage

sys.path.insert(0, str(Path(__file__).parents[2]))  # developers' tooling, which is no part of the distribution
sys.path.insert(0, str(Path(__file__).parent))  # what the tests of this folder share

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

_numbers = itertools.count(1)

#: Minutes that modules take on Kubernetes' own control plane, roughly, so that parts end together.
_LONG = {
    "test_crashes": 4.5,
    "test_chaos": 3.5,
    "test_rollouts": 3.0,
    "test_install": 3.0,
    "test_drift": 2.5,
    "test_uninstall": 2.5,
    "test_git_flow": 2.0,
    "test_upgrade": 2.0,
    "test_verbs": 1.5,
    "test_keys": 1.0,
    "test_monitoring": 1.0,
    "test_story": 0.8,
    "test_check": 0.8,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--control-plane",
        choices=("sandbox", "real"),
        default="sandbox",
        help="what tests/cluster runs on: the sandbox's control plane, or Kubernetes' own (root, in namespaces)",
    )

    parser.addoption("--long", action="store_true", help="the long tests of tests/cluster on the sandbox, too")
    parser.addoption(
        "--part", default="1/1", metavar="K/N", help="of the modules of tests/cluster only every Nth, from the Kth on"
    )


def _minutes(path: Path) -> float:
    return _LONG.get(path.stem, 0.4)


def pytest_runtest_setup(item: pytest.Item) -> None:
    wanted = item.config.getoption("--control-plane") == "real" or item.config.getoption("--long")
    if item.get_closest_marker("long") and not wanted:
        pytest.skip("long: run by make test-cluster, or with --long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A part of the modules, whole ones: what they share they make once."""
    number, _, parts = config.getoption("--part").partition("/")
    if parts == "1":
        return
    here = Path(__file__).parent
    shares: list[tuple[float, int, set[Path]]] = [(0.0, n, set()) for n in range(int(parts))]
    modules = {item.path for item in items if item.path.is_relative_to(here)}
    for path in sorted(modules, key=lambda path: (-_minutes(path), path)):
        taken, n, kept = min(shares, key=lambda share: share[:2])
        shares[n] = (taken + _minutes(path), n, kept | {path})
    kept = shares[int(number) - 1][2]
    config.hook.pytest_deselected(items=[item for item in items if item.path not in kept])
    items[:] = [item for item in items if item.path in kept]


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest) -> Callable[[Path], ControlPlane]:
    """Makes the control plane. The real one's programs come from $KUBEBUILDER_ASSETS or a cache."""
    if request.config.getoption("--control-plane") == "sandbox":
        return partial(SmallControlPlane, kubectl=find_kubectl(os.environ))
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return partial(RealControlPlane, find_or_build(cache_of(os.environ), Path(assets) if assets else None))


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def run(runner: asyncio.Runner) -> Run[Any]:
    """Run a coroutine to its end on the lab's loop."""
    return runner.run


@pytest.fixture(scope="session")
def lab(plane: Callable[[Path], ControlPlane], runner: asyncio.Runner) -> Iterator[Lab]:
    """A control plane, a node and a front for Services, without any of our components."""
    lab = Lab(plane)
    runner.run(lab.__aenter__())
    yield lab
    runner.run(lab.__aexit__(None, None, None))


@pytest.fixture
def namespace(lab: Lab, runner: asyncio.Runner) -> Iterator[str]:
    """A namespace of this test's own; it goes away with everything in it, nobody waits for that."""
    name = f"test-{next(_numbers)}"

    async def made() -> bool:
        return await lab.client.find(SERVICE_ACCOUNTS, name, "default") is not None

    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    runner.run(lab.client.create(NAMESPACES, None, body))
    runner.run(lab.until(made, f"the service account of {name} is made"))
    yield name
    runner.run(lab.client.delete(NAMESPACES, None, name))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """What a person does with kubectl can only be shown where there is one."""
    try:
        return (yield)
    except NoKubectlError as error:
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what the lab's processes said last."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, Lab):
        report.sections.append(("lab logs", lab.tails(lines=15)))
    return report


@pytest.fixture(scope="session")
def installed(lab: Lab, runner: asyncio.Runner) -> Lab:
    """The lab with Coalmine's CRDs, RBAC and webhook; controllers are for the tests to start."""
    runner.run(lab.install(controllers=0))
    return lab


@pytest.fixture(scope="module")
def controller(installed: Lab, runner: asyncio.Runner) -> Iterator[Daemon]:
    """One controller, started for a module and ended after it."""
    daemon = runner.run(installed.start_controller(f"controller-{next(_numbers)}"))
    yield daemon
    runner.run(daemon.stop())
    installed.controllers.remove(daemon)


@pytest.fixture(scope="module")
def whole(installed: Lab, controller: Daemon, run: Run[Any], request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The application of a module, with its user, in a namespace that is named after the module."""
    from releases import staged  # beside this file, which is in the path by now

    context = staged(installed, request.module.__name__.rpartition("test_")[2])
    yield run(context.__aenter__())
    run(context.__aexit__(None, None, None))
