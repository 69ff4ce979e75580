"""For all tests: signals as on a terminal."""

from __future__ import annotations

import signal

# A shell starts what it puts in the background with SIGINT ignored, and every process that a test starts
# would inherit that: those that are to be interrupted would not notice.
signal.signal(signal.SIGINT, signal.default_int_handler)
