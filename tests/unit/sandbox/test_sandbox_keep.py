"""The keeper: whoever is killed, no process and no directory is left."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coalmine_sandbox import keep
from coalmine_sandbox.keep import family, lock

#: Starts what a sandbox has: a process tied to the program, a container's process, and a child of
#: a child of that, which has a session of its own and is deaf to signals.
PROGRAM = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from coalmine_sandbox import keep
from coalmine_sandbox.keep.family import MARK
from coalmine_sandbox.node.process import start

state = keep.current().state
told = Path(sys.argv[1])
SLEEP = "import time; time.sleep(3600)"
DEAF = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15)];" + SLEEP
LOST = '''
import os, signal, sys
if os.fork():
    os.wait()
    with open(sys.argv[1], "a") as ready: ready.write("x")
    signal.pause()
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1], "a") as ready: ready.write("x")
''' + DEAF
counts = dict.fromkeys((1, 2, 3, 15), 0)

def count(number, _):
    counts[number] += 1
    (told / "signals").write_text(json.dumps(counts))
    if not (told / "go on").exists():
        raise SystemExit(7)

for number in counts:
    signal.signal(number, count)
tied = subprocess.Popen(keep.tied([sys.executable, "-c", DEAF]), env={})
container = state / "node" / "pods" / "p" / "containers" / "c"
start([sys.executable, "-c", LOST, str(told / "lost")], {"PATH": "/usr/bin:/bin"}, container / "0.log", directory="/")
while not (told / "lost").exists() or (told / "lost").read_text() != "xx":
    time.sleep(0.01)
(told / "pid").write_text(str(os.getpid()))
(state / "ready").touch()
while True:
    time.sleep(3600)
"""

STARTER = """
import sys
from pathlib import Path
from coalmine_sandbox import keep
how, state, remove, *command = sys.argv[1:]
try:
    sys.exit(getattr(keep, how)(command, Path(state), remove=remove == "remove"))
except keep.KeepError as error:
    sys.exit(str(error))
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true answer; pytest's time limit ends a wait in vain."""
    while not (answer := condition()):
        time.sleep(0.01)
    return answer


class Kept:
    """A sandbox as `STARTER` has started it, and everything that must end with it."""

    def __init__(
        self, folder: Path, how: str = "run", *, remove: bool = True, go_on: bool = False, terminal: int | None = None
    ) -> None:
        self.told = folder / "told"
        self.told.mkdir()
        if go_on:
            (self.told / "go on").touch()
        self.state = folder / "s" / "state"
        (folder / "program.py").write_text(PROGRAM)
        command = [sys.executable, str(folder / "program.py"), str(self.told)]
        arguments = [how, str(self.state), "remove" if remove else "leave", *command]

        def control() -> None:
            if terminal is not None:
                fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

        self.starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, *arguments], start_new_session=True, stdin=terminal, preexec_fn=control
        )
        try:
            self._look()
        except BaseException:
            self.starter.kill()  # and with it all that it has started so far
            self.starter.wait()
            raise

    def _look(self) -> None:
        until(lambda: (self.told / "pid").exists() and (self.told / "pid").read_text(), "the program is up")
        found = until(lambda: lock.holder(self.state), "the keeper has its lock")
        self.keeper, self.program = found.keeper, found.program
        assert self.program == int((self.told / "pid").read_text())
        self.pids = family.descendants(self.keeper)
        assert len(self.pids) == 4, "the program, what is tied to it, the container, its lost grandchild"
        self._descriptors = [os.pidfd_open(pid) for pid in (self.keeper, *self.pids)]

    def ended(self) -> None:
        """Returns once every process has ended."""
        for descriptor in self._descriptors:
            select.select([descriptor], [], [])

    def clear(self) -> None:
        family.kill([self.keeper, *self.pids])
        self.starter.kill()
        self.starter.wait()
        for descriptor in self._descriptors:
            os.close(descriptor)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[..., Kept]]:
    made: list[Kept] = []

    def make(*arguments: Any, **options: Any) -> Kept:
        made.append(Kept(tmp_path, *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.clear()


@pytest.mark.parametrize(
    ("program", "status"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)],
)
def test_status_is_the_programs(tmp_path: Path, program: str, status: int) -> None:
    assert keep.run([sys.executable, "-c", program], tmp_path / "state") == status
    assert not (tmp_path / "state").exists()


def test_program_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert keep.run([str(tmp_path / "none")], tmp_path / "state") == 127
    assert "No such file" in capfd.readouterr().err
    assert not (tmp_path / "state").exists()


def test_directory_stays_when_that_is_asked(tmp_path: Path) -> None:
    state = tmp_path / "state"
    program = "from coalmine_sandbox import keep; (keep.current().state / 'mine').touch()"
    assert keep.run([sys.executable, "-c", program], state, remove=False) == 0
    assert (state / "mine").exists()
    assert not (state / lock.NAME).exists(), "it is no stale one"
    keep.sweep(tmp_path)
    assert state.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signal_reaches_the_program_once(kept: Callable[..., Kept], number: signal.Signals) -> None:
    one = kept()
    one.starter.send_signal(number)
    assert one.starter.wait() == 7
    one.ended()
    assert json.loads((one.told / "signals").read_text()) == {"1": 0, "2": 0, "3": 0, "15": 0, str(int(number)): 1}
    assert not one.state.exists()


def test_ctrl_c_reaches_the_program_once(kept: Callable[..., Kept]) -> None:
    keyboard, terminal = os.openpty()
    one = kept(terminal=terminal)
    os.write(keyboard, b"\x03")
    assert one.starter.wait() == 7
    one.ended()
    assert json.loads((one.told / "signals").read_text())[str(int(signal.SIGINT))] == 1
    os.close(keyboard)
    os.close(terminal)


def test_program_that_goes_on_after_a_signal_goes_on(kept: Callable[..., Kept]) -> None:
    one = kept(go_on=True)

    def count(number: int) -> int:
        file = one.told / "signals"
        text = file.read_text() if file.exists() else ""
        return int(json.loads(text)[str(number)]) if text else 0

    for times in (1, 2):
        one.starter.send_signal(signal.SIGINT)
        until(lambda times=times: count(signal.SIGINT) == times, "it was told")  # type: ignore[misc]
    assert one.starter.poll() is None


@pytest.mark.parametrize("victim", ["program", "keeper", "starter"])
def test_nothing_is_left_whoever_is_killed(kept: Callable[..., Kept], victim: str) -> None:
    one = kept()
    os.kill({"program": one.program, "keeper": one.keeper, "starter": one.starter.pid}[victim], signal.SIGKILL)
    one.ended()
    assert one.starter.wait() == {"program": 137, "keeper": 137, "starter": -9}[victim]
    until(lambda: not one.state.exists(), "the directory is gone")


def test_next_start_clears_what_a_killed_keeper_and_starter_left(kept: Callable[..., Kept], tmp_path: Path) -> None:
    one = kept()
    os.kill(one.starter.pid, signal.SIGSTOP)  # so that it cannot clear up either
    os.kill(one.keeper, signal.SIGKILL)
    one.starter.kill()
    one.starter.wait()
    until(lambda: lock.holder(one.state) is None, "nobody holds the lock")
    assert one.state.exists()
    assert keep.run([sys.executable, "-c", "pass"], one.state.parent / "next") == 0
    one.ended()
    assert not one.state.exists()


def test_sweep_leaves_what_is_not_stale(kept: Callable[..., Kept], tmp_path: Path) -> None:
    one = kept()
    other = one.state.parent / "other"
    other.mkdir()
    (other / lock.NAME).write_text("not a keeper's")
    keep.sweep(one.state.parent)
    assert other.exists()
    assert lock.holder(one.state) is not None
    assert one.starter.poll() is None


def test_detached_lives_on_and_is_ended(kept: Callable[..., Kept]) -> None:
    one = kept("detach", remove=False)
    assert one.starter.wait() == 0
    assert keep.holder(one.state) == one.keeper
    with pytest.raises(keep.KeepError, match="in use by another sandbox"):
        keep.detach(["true"], one.state)
    assert keep.run(["true"], one.state) == 1  # its keeper says the same
    assert keep.end(one.state) is True
    one.ended()
    assert one.state.exists()
    assert keep.holder(one.state) is None
    assert keep.end(one.state) is False


def test_detached_that_does_not_heed_is_killed(kept: Callable[..., Kept]) -> None:
    one = kept("detach", remove=True, go_on=True)
    assert keep.end(one.state, patience=0.0) is True
    one.ended()
    assert not one.state.exists()


def test_detached_that_fails_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    assert keep.detach([sys.executable, "-c", "raise SystemExit('the reason')"], state) == 1
    assert "the reason" in capfd.readouterr().err
    assert keep.holder(state) is None
    assert keep.detach([sys.executable, "-c", "pass"], state) == 1, "it ended before it was ready"


def test_starter_that_is_killed_before_the_program_is_ready_takes_it_along(tmp_path: Path) -> None:
    state = tmp_path / "state"
    program = [sys.executable, "-c", "import time; time.sleep(3600)"]
    starter = subprocess.Popen([sys.executable, "-c", STARTER, "detach", str(state), "remove", *program])
    found = until(lambda: (h := lock.holder(state)) and h.program and h, "it was started")
    descriptors = [os.pidfd_open(pid) for pid in (found.keeper, found.program)]
    starter.kill()
    starter.wait()
    for descriptor in descriptors:
        select.select([descriptor], [], [])
        os.close(descriptor)
    assert not state.exists()


def test_tied_program_that_is_not_there(tmp_path: Path) -> None:
    ended = subprocess.run(keep.tied([str(tmp_path / "none")]), capture_output=True, text=True, check=False)
    assert ended.returncode == 127
    assert "No such file" in ended.stderr


def test_home_is_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    state = keep.fresh()
    assert state.parent == keep.home()
    assert state.parent.stat().st_mode & 0o777 == 0o700
    assert not state.exists(), "its keeper makes it"
    keep.home().rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"coalmine-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(keep.KeepError, match="somebody else's"):
        keep.home()


def test_nobody_keeps_the_tests() -> None:
    keeping = keep.current()
    assert keeping is None or keeping.state.exists()
