"""Conformance tests are coroutines, each with a Deployment of its own, and run on the lab's loop."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, which are no tests

from conformance_app import App

from coalmine_sandbox.lab import Lab


@pytest.fixture
def app(lab: Lab, namespace: str) -> App:
    """The Deployment that the test is about; it is made by `start`."""
    return App(lab, namespace)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine by the fixture `run`."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    run = pyfuncitem._request.getfixturevalue("run")
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
    return True
