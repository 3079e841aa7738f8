"""Masked numbers under load: how long a look-up and a new binding take, and how that grows with what is there already.

Drivers have ten bindings each, on as many X numbers of one pool; customers have one.  What is there is written in bulk; what is
measured goes the way of a call (``Bindings.dialled`` and ``route``) and of a request (``Bindings.bind``), several at a time."""

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass

from rich.table import Table
from sqlalchemy import Connection, func, insert, select, text, update

from controller.bench.figures import percentile
from controller.core.masking import Binding, Choice, Connect, route
from controller.store.binding_rows import binding_values, claim_values, stream_of
from controller.store.database import Database
from controller.store.postgres import connect
from controller.store.rows import OwnedNumber, Pool
from controller.store.tables import FACT
from controller.store.tables_masking import BINDING, CLAIM, X_NUMBER
from controller.store.tables_streams import STREAM

TENANT, POOL = "bench", "bench"
EACH = 10
"""Bindings of one driver."""
NUMBERS = 1000
CROWD = 5000
"""Pairs on one X."""
CHUNK = 5000
AT_ONCE = 1
SETTLE_S = 600.0
NOW = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """Times in ms at one size.  ``crowd_*``: look-ups on the X with 5,000 pairs."""

    bindings: int
    lookup_p50: float
    lookup_p99: float
    bind_p50: float
    bind_p99: float
    crowd_p99: float

    def plain(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def driver(number: int) -> str:
    """A driver's number."""
    return f"+1415{number:08d}"


def customer(number: int) -> str:
    """A customer's number."""
    return f"+1628{number:08d}"


def x_number(number: int) -> str:
    """An X of the pool; the last one is the crowded one, which is in no pool."""
    return f"+1510{number:07d}"


def binding(number: int) -> Binding:
    """The binding that is there as the ``number``-th."""
    of, nth = divmod(number, EACH)
    x = x_number((of * 37 + nth) % NUMBERS)
    return Binding(f"{number:026d}", TENANT, "axb", driver(of), NOW, b=customer(number), x=x, pool=POOL)


def crowded(number: int) -> Binding:
    """A pair on the crowded X."""
    a, b = f"+1707{number:08d}", f"+1808{number:08d}"
    return Binding(f"C{number:025d}", TENANT, "axb", a, NOW, b=b, x=x_number(NUMBERS))


async def alone(
    url: str | None, sizes: tuple[int, ...], count: int, tell: Callable[[str], None], measure: bool = True
) -> list[Line]:
    """Bench the database of ``url``, else a SQLite file that is removed afterwards.  Not ``measure``: only fill it."""
    with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as folder:
        where = url or f"sqlite:///{folder}/bench.db"
        database = await Database.open(where)
        try:
            return await bench(database, where, sizes, count, tell, measure)
        finally:
            await database.close()


def table(lines: list[Line]) -> Table:
    """The lines for people."""
    made = Table("bindings", "look-up p50", "p99", "bind p50", "p99", "5,000 pairs on one X: look-up p99", title="ms")
    for line in lines:
        times = (line.lookup_p50, line.lookup_p99, line.bind_p50, line.bind_p99, line.crowd_p99)
        made.add_row(f"{line.bindings:,}", *(f"{value:.2f}" for value in times))
    return made


async def bench(
    database: Database, url: str, sizes: tuple[int, ...], count: int, tell: Callable[[str], None], measure: bool = True
) -> list[Line]:
    """Fill a database, which ``url`` leads to, size by size and measure at each.

    One that was filled before is filled up; sizes below what is there are passed over."""
    there, lines = await _there(database), []
    if there is None:
        await _prepare(database)
    for size in (size for size in sizes if size >= (there or 0)):
        if there != size:
            tell(f"{size:,} bindings: filling")
            there = await _fill(database, there or 0, size, binding)
            await _settle(database, url)
        if measure:
            tell(f"{size:,} bindings: measuring")
            lines.append(await _measure(database, size, count))
    return lines


async def _there(database: Database) -> int | None:
    """How many bindings an earlier run has left; None for a database that is empty."""
    filled = select(func.count()).select_from(BINDING).where(BINDING.c.id.startswith("0"))
    crowds = select(func.count()).select_from(BINDING).where(BINDING.c.id.startswith("C"))

    def job(db: Connection) -> int | None:
        return int(db.execute(filled).scalar_one()) if db.execute(crowds).scalar_one() else None

    return await database.backend.read(job)


async def _prepare(database: Database) -> None:
    await database.tenants.add(TENANT, "Bench", NOW)
    await database.pools.add(Pool(POOL, TENANT, POOL, "loose", 0, "reject", None, NOW))
    for number in range(NUMBERS + 1):
        pool = POOL if number < NUMBERS else None
        await database.x_numbers.add(
            OwnedNumber(f"{number:026d}", TENANT, x_number(number), NOW, "x", "active", None, pool), number
        )
    await database.backend.write(lambda db: db.execute(update(X_NUMBER).values(use="pairs")).rowcount)
    await _fill(database, 0, CROWD, crowded)


async def _fill(database: Database, start: int, end: int, make: Callable[[int], Binding]) -> int:
    for first in range(start, end, CHUNK):
        several = [make(number) for number in range(first, min(first + CHUNK, end))]

        def job(db: Connection, several: list[Binding] = several) -> None:
            db.execute(insert(BINDING), [binding_values(one) for one in several])
            db.execute(insert(CLAIM), [row for one in several for row in claim_values(one)])
            fact = {"sequence": 1, "type": "binding.created", "at": NOW, "data": "{}"}
            db.execute(insert(FACT), [{"call": stream_of(one.id), **fact} for one in several])
            stream = {"tenant": TENANT, "sequence": 1, "over": 0}
            db.execute(insert(STREAM), [{"id": stream_of(one.id), **stream} for one in several])

        await database.backend.write(job)
    return end


async def _settle(database: Database, url: str) -> None:
    """Let the database tidy up after the bulk and learn what it has, as it does by itself after a while."""
    if database.backend.dialect == "sqlite":
        await database.backend.write(lambda db: db.execute(text("ANALYZE")) and None)
        return
    connection = await connect(url, SETTLE_S)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def _measure(database: Database, size: int, count: int) -> Line:
    chance = random.Random(size)

    def lookups() -> Iterator[Callable[[], Awaitable[None]]]:
        for _ in range(count):
            one = binding(chance.randrange(size))
            caller, other = chance.choice(((one.a, one.b), (one.b, one.a)))
            yield lambda x=one.x, caller=caller, other=other: _call(database, x, caller, other)  # type: ignore[misc]

    def crowd() -> Iterator[Callable[[], Awaitable[None]]]:
        for _ in range(count):
            one = crowded(chance.randrange(CROWD))
            yield lambda one=one: _call(database, one.x, one.b, one.a)  # type: ignore[misc]

    def binds() -> Iterator[Callable[[], Awaitable[None]]]:
        for nth in range(count):
            a = driver(chance.randrange(size // EACH))
            wanted = Binding(
                f"N{size:012d}{nth:013d}", TENANT, "axb", a, NOW, b=f"+1209{nth:08d}", pool=POOL, expires_at=NOW + 1
            )
            yield lambda wanted=wanted: _bind(database, wanted, chance.randrange(NUMBERS))  # type: ignore[misc]

    await _timed(lookups())  # who has just been restarted reads from the disk; that is not what is measured
    found, made, many = await _timed(lookups()), await _timed(binds()), await _timed(crowd())
    await database.bindings.expire(NOW + 1, count)
    await database.bindings.sweep(NOW + 1, 2 * count)
    return Line(
        size,
        percentile(found, 0.5),
        percentile(found, 0.99),
        percentile(made, 0.5),
        percentile(made, 0.99),
        percentile(many, 0.99),
    )


async def _call(database: Database, x: str, caller: str, other: str) -> None:
    found = await database.bindings.dialled(x, caller)
    assert found is not None
    decision = route(*found, caller, NOW)
    assert isinstance(decision, Connect)
    assert decision.to == other


async def _bind(database: Database, wanted: Binding, start: int) -> None:
    await database.bindings.bind(wanted, Choice(NOW, start))


async def _timed(asks: Iterator[Callable[[], Awaitable[None]]]) -> list[float]:
    """How long each took (ms), ``AT_ONCE`` at a time."""
    took: list[float] = []

    async def client() -> None:
        for ask in asks:
            begun = time.perf_counter()
            await ask()
            took.append((time.perf_counter() - begun) * 1000)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return took
