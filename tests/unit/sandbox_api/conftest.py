"""Tests of the API server are coroutines on a virtual clock; each gets a server of its own."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, which are no tests

sys.path.insert(0, str(Path(__file__).parents[1] / "kube"))

import virtual_time
from api_stand import Stand


@pytest.fixture
def stand() -> Stand:
    """An API server with nothing in it."""
    return Stand()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    virtual_time.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
    return True
