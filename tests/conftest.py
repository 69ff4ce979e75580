"""For all tests: signals as on a terminal, no verdicts by the clock, and the order in which they run."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

# A shell starts what it puts in the background with SIGINT ignored, and every process that a test starts
# would inherit that: those that are to be interrupted would not notice.
signal.signal(signal.SIGINT, signal.default_int_handler)


# A property does not fail because the machine is busy.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Facts about Kubernetes first, while our webhook is not installed in the lab; then what takes longest.

    Within each of these as they were. (`--no-loadscope-reorder` keeps it so where several run beside each other.)
    """

    def turn(item: pytest.Item) -> int:
        if item.get_closest_marker("cluster") is None:
            return 2
        return 1 if "installed" in getattr(item, "fixturenames", ()) else 0

    items.sort(key=turn)
