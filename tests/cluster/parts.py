"""The tests of the cluster on Kubernetes' own control plane, in parts that run side by side.

Each part has namespaces, a control plane and a node of its own, so they share nothing but the machine. Most of the time
a test waits for pods and pauses; two parts keep two cores busy. What a part printed is shown when it has ended.

    python tests/cluster/parts.py 2 [ARGUMENT OF PYTEST...]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Final

_NOTHING_CHOSEN: Final = 5  # pytest's exit status


def _start(number: int, parts: int, arguments: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "coalmine_sandbox.isolate", "--", sys.executable, "-m", "pytest"]
    chosen = arguments if any(not a.startswith("-") and Path(a.partition("::")[0]).exists() for a in arguments) else []
    where = [] if chosen else ["tests/cluster"]
    more = ["--control-plane=real", "--timeout=600", f"--part={number}/{parts}", "-p", "no:cacheprovider"]
    return subprocess.Popen([*command, *where, *more, *arguments], stdout=log, stderr=subprocess.STDOUT)


def main(arguments: list[str]) -> int:
    parts = int(arguments[0])
    logs = [tempfile.TemporaryFile() for _ in range(parts)]  # noqa: SIM115  closed by the end of the process
    running = [_start(n + 1, parts, arguments[1:], log) for n, log in enumerate(logs)]
    worst = 0
    try:
        for number, (process, log) in enumerate(zip(running, logs, strict=True), start=1):
            status = process.wait()
            log.seek(0)
            print(f"--- part {number} of {parts}", flush=True)
            sys.stdout.buffer.write(log.read())
            sys.stdout.flush()
            worst = max(worst, 0 if status == _NOTHING_CHOSEN else abs(status))
    except KeyboardInterrupt:
        worst = 130
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
                process.wait()
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
