"""A bar where it can be redrawn, a line a minute where it cannot, nothing for what is short."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from gnnrec import progress
from gnnrec.progress import Progress

WORK = """
import time
from gnnrec import progress
progress.BAR_AFTER = 0.2
for _ in progress.Progress(range(8), name="evaluate", unit="block"):
    time.sleep(0.1)
with progress.Progress(name="train", unit="step", total=8) as bar:
    for _ in range(8):
        time.sleep(0.1)
        bar.note("epoch 1 of 2")
        bar.update()
print("done")
"""


class Clock:
    """A clock that goes on by `step` seconds whenever it is read."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(1.0)
    monkeypatch.setattr(progress, "time", found)
    return found


def test_what_takes_less_than_a_minute_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(Progress("abc", name="read", unit="letter")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_a_minute(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    clock.step = 30.0
    for number in Progress(range(4), name="evaluate", unit="block"):
        assert number < 4
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "evaluate: 2 of 4 blocks, 01:00 gone, 01:00 left",
        "evaluate: 4 of 4 blocks, 02:00 gone, 00:00 left",
    ]


def test_what_was_done_before_counts_but_not_for_the_pace(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.step = 60.0
    with Progress(name="train", unit="step", total=10, initial=6) as bar:
        bar.note("epoch 7 of 10")
        bar.update()
        assert bar.done == 7
    assert capsys.readouterr().err == "train: 7 of 10 steps, 01:00 gone, 03:00 left, epoch 7 of 10\n"


def test_bytes_and_an_unknown_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    clock.step = 60.0
    with Progress(name="file.gz", unit="B") as bar:
        bar.update(2_500_000)
    assert capsys.readouterr().err == "file.gz: 2.50M bytes, 01:00 gone\n"


def test_an_error_passes_through(clock: Clock) -> None:
    def work() -> None:
        with Progress(name="train", unit="step", total=2) as bar:
            bar.update()
            raise KeyError("x")

    with pytest.raises(KeyError):
        work()


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end() -> None:
    shown = _on_a_terminal(WORK)
    for part in ("evaluate:", "train:", "/8 [", "epoch 1 of 2"):
        assert part in shown
    # what stands in the last line once the bars are wiped
    assert shown.rstrip().rpartition("\r")[2] == "done"


def _on_a_terminal(code: str) -> str:
    """Return what a terminal of 120 columns is sent by a program."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs)
    os.close(theirs)
    received = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        received += part
    os.close(ours)
    assert process.wait() == 0
    return received.decode()
