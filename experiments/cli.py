"""What every entry point shares: its flags, its help, its errors and its exit status."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from gnnrec.control_groups import processors
from gnnrec.errors import ConfigError, GnnrecError, suggest

INTERRUPTED = 130
READER_LEFT = 141
# how torch says it on a GPU, and on the processor under Windows and Linux
NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
RESUMED = "the same command takes the run up again, and finished runs are not run again"


@dataclass
class Arguments:
    """A parsed command line: switches, options with a value, and Hydra overrides."""

    switches: set[str] = field(default_factory=set)
    options: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)


def parse_arguments(
    argv: Sequence[str], switches: Mapping[str, str], options: Mapping[str, str] | None = None
) -> Arguments:
    """Sort a command line into switches (`--cfg`), options (`--seeds 0,1` or `--seeds=0,1`) and overrides.

    Args:
        switches: flag -> its canonical name, for example {"-m": "multirun", "--multirun": "multirun"}.
        options: the same for flags that take a value.
    """
    options = options or {}
    result = Arguments()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word in switches:
            result.switches.add(switches[word])
        elif name in options:
            if not equals and (not rest or rest[0].startswith("-")):
                raise ConfigError(f"flag '{name}' needs a value, as in {name}=VALUE")
            result.options[options[name]] = value if equals else rest.pop(0)
        elif word.startswith("-"):
            raise ConfigError(f"unknown flag '{name}'{suggest(name, [*switches, *options])}")
        else:
            result.overrides.append(word)
    return result


def command_line(script: str, words: Sequence[str]) -> str:
    """Return the command that calls experiments/`script` with these words, quoted so that a shell can take it."""
    return f"python experiments/{script} {shlex.join(words)}"


def run_main(
    body: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None, resumes: bool = True
) -> int:
    """Call `body` with the command line; return the exit status, having told any error in one line.

    0 done, 2 something the user can mend (or no memory, no disk space), 130 interrupted, 141 nobody reads the output
    any more. Anything else is a defect of ours and keeps its traceback. `resumes` says whether the same command takes
    an interrupted one up again.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", force=True)
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # a notebook's has none
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")  # a dagger where the output is no UTF-8
    try:
        body(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output left, as `| head` does; what is still to be printed has no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except KeyboardInterrupt:
        _tell(f"interrupted; {RESUMED}" if resumes else "interrupted")
        return INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return _fail(f"no space left on the disk ('{error.filename or 'unknown file'}')")
    except (GnnrecError, MemoryError, RuntimeError) as error:
        message = told(error)
        if message is None:
            raise
        return _fail(message)
    return 0


def told(error: Exception) -> str | None:
    """Return what is told of a mistake of the user's or of a lack of memory; None for a defect of ours."""
    if isinstance(error, GnnrecError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({error or 'no details'}); a smaller batch or dimension needs less"
    if any(words in str(error).lower() for words in NO_MEMORY):
        return f"out of memory ({str(error).splitlines()[0]}); a smaller batch or dimension needs less"
    return None


def _tell_interrupt(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        _tell("interrupted")
    else:
        sys.__excepthook__(kind, error, trace)


def _limit_threads() -> None:
    """Have no more threads than the processors that a container or a batch job may use, unless OMP_NUM_THREADS says.

    torch and BLAS count the processors of the machine: of 64 threads with the time of two, each waits for the others.
    """
    allowed = processors()
    if allowed is not None and allowed < len(os.sched_getaffinity(0)):
        os.environ.setdefault("OMP_NUM_THREADS", str(allowed))


# Entry points import this file first: Ctrl-C while the large libraries load is then one line too, and they find
# their number of threads when they do.
sys.excepthook = _tell_interrupt
_limit_threads()


def _fail(message: str) -> int:
    _tell(f"error: {' '.join(message.split())}")
    return 2


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def format_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a plain text table: the first column to the left, the others to the right.

    >>> print(format_table(["", "recall@20"], [["head", 0.5]]))
          recall@20
    head      .5000
    """
    cells = [[_cell(value) for value in row] for row in [list(columns), *map(list, rows)]]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths))
        lines.append("  ".join([row[0].ljust(len(first)), *others]).rstrip())
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None or value != value:
        return "-"
    if isinstance(value, float):
        text = f"{value:.4f}"
        return text.replace("0.", ".", 1) if abs(value) < 1 else text
    return str(value)
