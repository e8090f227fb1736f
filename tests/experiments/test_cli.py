from __future__ import annotations

import errno
import io
import subprocess
import sys

import pytest

from experiments.cli import INTERRUPTED, READER_LEFT, format_table, parse_arguments, run_main
from gnnrec.errors import ConfigError, DataError

SWITCHES = {"-m": "multirun", "--multirun": "multirun", "--cfg": "cfg"}


def test_arguments_are_sorted() -> None:
    arguments = parse_arguments(
        ["a=1", "-m", "--seeds", "0,1", "--output=x", "b=--c"],
        SWITCHES,
        {"--seeds": "seeds", "--output": "output"},
    )
    assert arguments.switches == {"multirun"}
    assert arguments.options == {"seeds": "0,1", "output": "x"}
    assert arguments.overrides == ["a=1", "b=--c"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--multrun"], "unknown flag '--multrun', did you mean '--multirun'?"),
        (["--seeds"], "flag '--seeds' needs a value"),
        (["--seeds", "--cfg"], "flag '--seeds' needs a value"),
    ],
)
def test_a_wrong_flag_is_told(argv: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match="flag") as caught:
        parse_arguments(argv, SWITCHES, {"--seeds": "seeds"})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (DataError("no data at\n 'x'"), 2, "error: no data at 'x'"),
        (ConfigError("bad"), 2, "error: bad"),
        (KeyboardInterrupt(), INTERRUPTED, "the same command takes the run up again"),
        (MemoryError(), 2, "error: out of memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried\nmore"),
            2,
            "out of memory",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nmore"),
            2,
            "out of memory",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "f.npz"),
            2,
            "error: no space left on the disk ('f.npz')",
        ),
    ],
)
def test_an_error_is_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, told: str
) -> None:
    def body(_: object) -> None:
        raise error

    assert run_main(body, []) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "error", [KeyError("ours"), RuntimeError("shape mismatch"), OSError(errno.EIO, "io")]
)
def test_a_defect_of_ours_keeps_its_traceback(error: Exception) -> None:
    def body(_: object) -> None:
        raise error

    with pytest.raises(type(error)):
        run_main(body, [])


def test_done_is_zero_and_the_body_sees_the_words() -> None:
    seen: list[str] = []
    assert run_main(seen.extend, ["a=1"]) == 0
    assert seen == ["a=1"]


def test_a_table_is_aligned() -> None:
    text = format_table(
        ["", "recall@20", "n"], [["head", 0.5, 12], ["tail item", float("nan"), None], ["x", 1.0, 3]]
    )
    assert text.splitlines() == [
        "           recall@20   n",
        "head           .5000  12",
        "tail item          -   -",
        "x             1.0000   3",
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_a_dagger_is_written_whatever_the_encoding_of_the_output(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding=encoding))
    assert run_main(lambda _: print("† differs"), []) == 0
    told = "† differs" if encoding == "utf-8" else "\\u2020 differs"
    assert stream.getvalue().decode(encoding) == f"{told}\n"


def test_an_output_of_another_kind_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()  # as a notebook's, it has no encoding
    monkeypatch.setattr(sys, "stdout", stream)
    assert run_main(lambda _: print("† differs"), []) == 0
    assert stream.getvalue() == "† differs\n"


def test_output_that_nobody_reads_any_more_is_no_error() -> None:
    code = "import sys; from experiments.cli import run_main; sys.exit(run_main(lambda _: print('x' * {})))"
    for size in (1_000_000, 10):  # the pipe breaks while printing, and when the rest is written out
        process = subprocess.Popen(
            [sys.executable, "-c", f"input(); {code.format(size)}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.close()
        _, told = process.communicate(b"\n")
        assert (process.returncode, told) == (READER_LEFT, b"")
