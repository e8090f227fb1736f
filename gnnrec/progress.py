"""How far something long has come: a bar on a terminal or in a notebook, elsewhere a line of its own now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Generic, TypeVar

from tqdm.auto import tqdm

BAR_AFTER, LINE_EVERY = 2.0, 60.0  # seconds
T = TypeVar("T")


class Progress(Generic[T]):
    """Progress through an iterable, or through a `total` that `update` counts.

    On a terminal and in a notebook it is a bar that shows up after two seconds and is gone at the end. Where nothing
    can be redrawn, as in the log of a batch job, it is a line a minute on stderr: what takes less says nothing.

    Args:
        iterable: what to go through; its length is the total unless `total` is given.
        name: what is done, as "train".
        unit: what is counted, in the singular; "B" counts bytes.
        initial: how much was done before, by a run that is resumed.
    """

    def __init__(
        self,
        iterable: Iterable[T] = (),
        *,
        name: str,
        unit: str,
        total: int | None = None,
        initial: int = 0,
    ) -> None:
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        self.done, self._iterable = initial, iterable
        self._bar = tqdm(
            total=total,
            initial=initial,
            desc=name,
            unit=unit,
            unit_scale=unit == "B",
            leave=False,
            delay=BAR_AFTER,
            disable=None,
        )
        self._lines = _Lines(name, unit, total, initial) if self._bar.disable else None

    def update(self, count: int = 1) -> None:
        """Count what was done since the last call."""
        self.done += count
        if self._lines is None:
            self._bar.update(count)
        else:
            self._lines.tell(self.done)

    def note(self, text: str) -> None:
        """Say `text` behind the numbers from the next time on that they are shown."""
        if self._lines is None:
            self._bar.set_postfix_str(text, refresh=False)
        else:
            self._lines.note = text

    def __iter__(self) -> Iterator[T]:
        with self:
            for element in self._iterable:
                yield element
                self.update()

    def __enter__(self) -> Progress[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


class _Lines:
    def __init__(self, name: str, unit: str, total: int | None, initial: int) -> None:
        self.name, self.total, self.initial, self.note = name, total, initial, ""
        self.unit = "bytes" if unit == "B" else f"{unit}s"
        self.began = self.told = time.monotonic()

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now - self.told < LINE_EVERY:
            return
        self.told = now
        numbers = tqdm.format_meter(
            done,
            self.total or 0,
            now - self.began,
            initial=self.initial,
            unit_scale=self.unit == "bytes",
            bar_format=f"{{n_fmt}} of {{total_fmt}} {self.unit}, {{elapsed}} gone, {{remaining}} left"
            if self.total
            else f"{{n_fmt}} {self.unit}, {{elapsed}} gone",
        )
        print(", ".join(filter(None, (f"{self.name}: {numbers}", self.note))), file=sys.stderr, flush=True)
