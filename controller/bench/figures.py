"""Numbers: what a process used, and what lies where in a list of times."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import psutil
from rich.table import Table

T = TypeVar("T")
Row = tuple[str, str, Callable[[T], float]]
"""A figure: its name, how it is written, and where it comes from."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and resident bytes of a process and its children."""

    cpu_s: float
    rss: int

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_s - other.cpu_s, self.rss)


class Plain:
    """A result whose fields are numbers.  ``DERIVED``: what of its properties is told with them."""

    __slots__: tuple[str, ...] = ()
    DERIVED: ClassVar[tuple[str, ...]] = ()

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {name: round(getattr(self, name), 3) for name in (*self.__slots__, *self.DERIVED)}


def usage(pid: int) -> Usage:
    """What a process and its children have used so far."""
    cpu, rss = 0.0, 0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        times = one.cpu_times()
        cpu += times.user + times.system
        rss += one.memory_info().rss
    return Usage(cpu, rss)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the values lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def figures_table(title: str, rows: Sequence[Row[T]], results: Sequence[T]) -> Table:
    """Medians, with the least and the most."""
    shown = Table(title=title, title_justify="left")
    for column in ("", "median", "least", "most"):
        shown.add_column(column, justify="left" if not column else "right")
    for name, form, value in rows:
        values = [value(result) for result in results]
        shown.add_row(name, *(form.format(figure) for figure in (statistics.median(values), min(values), max(values))))
    return shown
