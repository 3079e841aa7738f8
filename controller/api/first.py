"""The first tenant and its key, and keys made without the API."""

from dataclasses import dataclass, field

from controller.api.ids import new_id
from controller.store.database import Database
from controller.store.keys import new_key

FIRST_TENANT = "main"
EVERYTHING = ("*", "operator")


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key; ``text`` is the key itself, which is nowhere else."""

    id: str
    tenant: str
    text: str = field(repr=False)


async def first_key(database: Database, now: int) -> str | None:
    """On an empty database: make the first tenant and a key that may do everything.  The key, else None."""
    if not await database.tenants.is_empty():
        return None
    await database.tenants.add(FIRST_TENANT, "Main", now)
    made = await make_key(database, now, "first admin key", EVERYTHING, FIRST_TENANT)
    return made.text if made else None


async def make_key(database: Database, now: int, name: str, scopes: tuple[str, ...], tenant: str | None) -> MadeKey | None:
    """A key of this tenant (None: the first there is, which is made if there is none); None when it does not exist."""
    if tenant is None and await database.tenants.is_empty():
        await database.tenants.add(FIRST_TENANT, "Main", now)
    if tenant is None:
        tenant = await _oldest(database)
    elif await database.tenants.get(tenant) is None:
        return None
    key_id, made = new_id(now), new_key()
    await database.keys.add(tenant, key_id, name, made.prefix, made.hash, scopes, now)
    return MadeKey(key_id, tenant, made.text)


async def _oldest(database: Database) -> str:
    if await database.tenants.get(FIRST_TENANT) is not None:
        return FIRST_TENANT
    page = await database.tenants.list(200)
    return min(page.items, key=lambda tenant: tenant.created_at).id
