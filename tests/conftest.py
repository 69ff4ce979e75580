"""For all tests: signals as on a terminal, and the order in which they run."""

from __future__ import annotations

import signal

import pytest

# A shell starts what it puts in the background with SIGINT ignored, and every process that a test starts
# would inherit that: those that are to be interrupted would not notice.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Facts about Kubernetes first, while our webhook is not installed in the lab; then what takes longest.

    Within each of these as they were. (`--no-loadscope-reorder` keeps it so where several run beside each other.)
    """

    def turn(item: pytest.Item) -> int:
        if item.get_closest_marker("cluster") is None:
            return 2
        return 1 if "installed" in getattr(item, "fixturenames", ()) else 0

    items.sort(key=turn)
