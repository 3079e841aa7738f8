"""Lists of calls: each filter, and pages that neither skip nor repeat."""

from typing import Any

import pytest

from controller.store.database import Database
from controller.store.rows import CallFilter
from tests.store.calls import NODE, TENANT, call_id, canceled, queued, started, story

T0 = 1_750_000_000_000


@pytest.fixture
async def five(db: Database) -> Database:
    """One call that is over and talked, one that was canceled, one live, two waiting; made a second apart."""
    for unit in story(1, at=T0 + 1000, reference="order-1", vars={"caller": "+14155550201"}):
        await db.calls.commit(unit)
    second = queued(2, at=T0 + 2000, reference="order-2", binding="b1", vars={"callee": "+14155550201"})
    third = queued(3, at=T0 + 3000, retry_of=second.call.id)
    for unit in (second, canceled(second), third, started(third), queued(4, at=T0 + 4000), queued(5, at=T0 + 4000)):
        await db.calls.commit(unit)
    return db


FILTERS: dict[str, tuple[CallFilter, list[int]]] = {
    "all": (CallFilter(), [5, 4, 3, 2, 1]),
    "kind": (CallFilter(kind="callback"), [5, 4, 3, 2, 1]),
    "another kind": (CallFilter(kind="masked"), []),
    "ended": (CallFilter(status="ended"), [2, 1]),
    "live": (CallFilter(status="live"), [3]),
    "queued": (CallFilter(status="queued"), [5, 4]),
    "dialing": (CallFilter(status="dialing"), [3]),
    "disposition": (CallFilter(disposition="canceled"), [2]),
    "reference": (CallFilter(reference="order-1"), [1]),
    "binding": (CallFilter(binding="b1"), [2]),
    "number of caller or callee": (CallFilter(number="+14155550201"), [2, 1]),
    "node": (CallFilter(node=NODE), [3, 1]),
    "since": (CallFilter(since=T0 + 3000), [5, 4, 3]),
    "until": (CallFilter(until=T0 + 3000), [2, 1]),
    "both": (CallFilter(since=T0 + 2000, until=T0 + 4000), [3, 2]),
    "several": (CallFilter(status="ended", number="+14155550201", reference="order-2"), [2]),
}


@pytest.mark.parametrize(("where", "numbers"), FILTERS.values(), ids=FILTERS)
async def test_a_list_is_narrowed_by(five: Database, where: CallFilter, numbers: list[int]) -> None:
    page = await five.calls.list(TENANT, where)
    assert [int(call.id[-2:]) for call in page.items] == numbers
    assert page.next is None


@pytest.mark.parametrize("at_once", [1, 2, 3, 1000])
async def test_all_that_waits_is_read_however_much_it_is_oldest_first(five: Database, at_once: int) -> None:
    for number in (9, 7, 8, 6):
        await five.calls.commit(queued(number, at=T0 + 4000))
    assert [int(call.id[-2:]) for call in await five.calls.all_queued(at_once)] == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
async def test_pages_neither_skip_nor_repeat_also_when_times_are_equal(five: Database, limit: int) -> None:
    seen: list[int] = []
    after: str | None = None
    for _ in range(10):
        page = await five.calls.list(TENANT, limit=limit, after=after)
        assert len(page.items) <= limit
        seen += [int(call.id[-2:]) for call in page.items]
        after = page.next
        if after is None:
            break
    assert seen == [5, 4, 3, 2, 1]


async def test_retries_of_a_call_are_found(five: Database) -> None:
    [third] = (await five.calls.list(TENANT, CallFilter(retry_of=call_id(2, T0 + 2000)))).items
    assert third.id.endswith("03")


async def test_a_cursor_that_is_no_call_of_the_tenant_lists_nothing(five: Database) -> None:
    assert (await five.calls.list(TENANT, after="nonsense")).items == []


HOSTILE = ["' OR 1=1 --", '"; DROP TABLE call; --', "%", "_", "\\", "+14155550201' OR '1'='1", "\u2028", "{}", "$1", ":x", "?"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_value_of_a_filter_is_sql(five: Database, text: str) -> None:
    for name in ("kind", "status", "disposition", "reference", "binding", "number", "node", "retry_of"):
        where: dict[str, Any] = {name: text}
        assert (await five.calls.list(TENANT, CallFilter(**where))).items == []
    assert (await five.calls.list(text)).items == []
    assert (await five.calls.list(TENANT, after=text)).items == []
    assert await five.calls.find(TENANT, text) is None
    assert len((await five.calls.list(TENANT)).items) == 5


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_value_of_a_call_is_sql(db: Database, text: str) -> None:
    unit = queued(1, reference=text, metadata={text: text}, vars={"caller": text, text: [text]})
    await db.calls.commit(unit)
    assert await db.calls.find(TENANT, call_id(1)) == unit.call
    assert (await db.calls.list(TENANT, CallFilter(reference=text, number=text))).items == [unit.call]
