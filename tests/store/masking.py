"""X numbers, pools and bindings to try things with."""

from itertools import count
from typing import Any

from controller.core.masking import Binding, Choice
from controller.store.database import Database
from controller.store.rows import OwnedNumber, Pool
from tests.store.calls import TENANT

NOW = 1_000_000
A, B, C, D = "+14155550101", "+14155550102", "+14155550103", "+14155550104"
X1, X2 = "+14155550901", "+14155550902"
_ids = count(1)


def binding(a: str = A, b: str = B, **fields: Any) -> Binding:
    """A binding that is wanted; from the pool ``p1`` unless it names its X."""
    whole = {"id": f"{next(_ids):026d}", "tenant": TENANT, "mode": "axb", "created_at": NOW, "pool": "p1", **fields}
    return Binding(a=a, b=b, **whole)


async def pool(db: Database, *numbers: str, name: str = "p1", tenant: str = TENANT, cool_ms: int = 0, **fields: Any) -> None:
    """A pool with these numbers; ``areas``: of each."""
    areas = fields.pop("areas", {})
    whole = {"area_match": "loose", "unknown": "reject", "prompt": None, **fields}
    await db.pools.add(Pool(name, tenant, name, cool_ms=cool_ms, created_at=1, **whole))
    for spot, number in enumerate(numbers):
        await add(db, number, spot, tenant=tenant, pool=name, area=areas.get(number))


async def add(db: Database, number: str, spot: int = 0, *, tenant: str = TENANT, **fields: Any) -> None:
    """An X number."""
    await db.x_numbers.add(OwnedNumber(number.strip("+"), tenant, number, 1, "x", **fields), spot)


async def bind(db: Database, wanted: Binding, now: int = NOW, start: int = 0, **choice: Any) -> Binding:
    """The binding, made."""
    return await db.bindings.bind(wanted, Choice(now, start, **choice))
