"""The live stage in a real pseudo-terminal: whatever ends it, the terminal is as it was."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pyte
import pytest

PROGRAM = Path(__file__).parent / "demo_on_a_terminal.py"
SIZE = (24, 80)


class Terminal:
    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, SIZE)
        self.screen = pyte.Screen(SIZE[1], SIZE[0])
        self._stream = pyte.ByteStream(self.screen)
        environ = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(PROGRAM.parent)}
        environ.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments], stdout=theirs, stderr=theirs, stdin=theirs, env=environ
        )
        os.close(theirs)

    def read(self) -> bool:
        """Take what was written next; False at the end."""
        try:
            data = os.read(self._ours, 1 << 16)
        except OSError:
            return False
        self._stream.feed(data)
        return bool(data)

    def until(self, text: str) -> None:
        while text not in "\n".join(self.screen.display):
            assert self.read(), f"it ended without {text!r}:\n" + "\n".join(self.screen.display)

    def end(self) -> int:
        while self.read():
            pass
        return self.process.wait()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]


def as_it_was(terminal: Terminal) -> None:
    assert not terminal.screen.cursor.hidden
    assert pyte.modes.DECAWM in terminal.screen.mode
    assert not any(line.startswith("── 1 ") for line in terminal.lines), "the picture is gone"
    assert terminal.screen.cursor.x == 0


def test_ctrl_c() -> None:
    with Terminal("interrupt") as terminal:
        terminal.until("5 of 5 pods came up")
        terminal.until("── 1 ")
        assert terminal.screen.cursor.hidden
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        as_it_was(terminal)
        assert terminal.lines[-1] == "ended", "below the page"
        assert any("5 of 5 pods came up" in line for line in terminal.lines), "the page stays"


@pytest.mark.parametrize(("how", "status"), [("error", 1), ("end", 0)])
def test_end(how: str, status: int) -> None:
    with Terminal(how) as terminal:
        assert terminal.end() == status
        as_it_was(terminal)
        assert any("RuntimeError: a bug" in line for line in terminal.lines) == (how == "error")
