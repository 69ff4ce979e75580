"""What wrk, /proc and strace print, and what is read from it."""

from __future__ import annotations

import json

import pytest
from bench import accounting, counts, load
from bench.disturb import _complete
from bench.processes import BenchError

PRINTED = """Running 1s test @ http://127.0.0.1:9000/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms  300.00us   9.00ms   90.00%
  51907 requests in 1.01s, 12.5MB read
BENCH {"requests": 51907, "seconds": 1.010000, "bytes": 13107200, "p50": 930.0, "p99": 1444.0, "worst": 9000.0, \
"connect": 1, "read": 2, "write": 3, "status": 4, "timeout": 5}
"""


def test_a_report_of_wrk() -> None:
    report = load.parse(PRINTED, 0.5)
    assert (report.requests, report.seconds, report.bytes) == (51907, 1.01, 13107200)
    assert (report.p50, report.p99, report.worst) == (930.0, 1444.0, 9000.0)
    assert report.errors == 15
    assert report.cpu == 0.5


def test_no_report_of_wrk_shows_what_it_said() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:9 Connection refused\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1 (nginx) S 0 1 1 0 -1 4 5 6 7 8 120 340 0 0 20 0 1 0", (120, 340)),
        ("1 (a) b) R 9) S 0 1 1 0 -1 4 5 6 7 8 12 34 0 0 20 0 1 0", (12, 34)),
    ],
)
def test_ticks_of_a_process(text: str, found: tuple[int, int]) -> None:
    assert accounting.parse_stat(text) == found


def test_nanoseconds_of_a_thread() -> None:
    assert accounting.parse_schedstat("474045 841457 9\n") == 474045


def test_memory_of_a_process() -> None:
    status = "Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t   1234 kB\n"
    assert accounting.parse_kilobytes(status, "VmRSS") == 1234 * 1024
    assert accounting.parse_kilobytes(status, "Pss") == 0


def test_work_of_cores_counts_interrupts_and_no_idle_time() -> None:
    text = "cpu  9 9 9 9 9 9 9 9\ncpu0 100 0 50 1000 7 20 30 5 0 0\ncpu1 1 2 3 4 5 6 7 8 0 0\nintr 5\n"
    ticks = accounting._TICKS
    assert accounting.parse_cores(text) == {0: 200 / ticks, 1: 19 / ticks}


def test_cpu_time_adds_and_subtracts() -> None:
    spent = accounting.Cpu(100, 30, 10) + accounting.Cpu(50, 10, 10) - accounting.Cpu(50, 10, 0)
    assert spent == accounting.Cpu(100, 30, 20)
    assert spent.user_share == 0.6
    assert accounting.Cpu().user_share == 0.0


def test_this_process_is_seen() -> None:
    import os

    assert accounting.cpu([os.getpid()]).total > 0
    assert accounting.memory([os.getpid()]).resident > 1_000_000


def test_counts_of_strace() -> None:
    printed = (
        "syscall              calls\n---------------- ---------\n"
        "epoll_wait              30\nrecvfrom              2010\n"
        "---------------- ---------\ntotal                 2040\n"
    )
    assert counts.parse_strace(printed) == {"recvfrom": 2010, "epoll_wait": 30}


def test_lines_leave_out_what_is_rare() -> None:
    lines = counts.lines("calls", {"read": 2.0, "mmap": 0.001})
    assert lines == ["calls: 2.00 per request", "     2.00  read"]


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nok", True),
    ],
)
def test_an_answer_of_the_admin_port_is_complete(data: bytes, complete: bool) -> None:
    assert _complete(bytearray(data)) is complete


def test_the_command_line_of_wrk_says_what_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "program", lambda name: f"/usr/bin/{name}")
    command = load.command(load.Load("upload", "/up", 8, 1024), 9000, 2)
    assert command[0] == "/usr/bin/wrk"
    assert command[-5:] == ["http://127.0.0.1:9000/", "--", "upload", "/up", "1024"]
    assert json.dumps(command).count("--connections") == 1
