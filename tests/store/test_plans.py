"""No list and no look-up walks through all calls there ever were (SQLite, which has no statistics to be clever with)."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from controller.core.masking import Guards
from controller.store.database import Database
from controller.store.rows import CallFilter
from controller.store.streams import forget_facts, silent
from tests.store.calls import NODE, TENANT, queued

Ask = Callable[[Database], Coroutine[Any, Any, Any]]
BIG = {"call", "fact", "webhook_cursor", "agent", "wrong_key", "forgotten", "stream", "binding"}
ASKS: dict[str, tuple[Ask, str]] = {
    "live": (lambda db: db.calls.live(NODE), "ix_call_open (node=?)"),
    "nodes": (lambda db: db.calls.nodes(), "ix_call_open"),
    "queued": (lambda db: db.calls.queued(10), "ix_call_open"),
    "queued, the next page": (lambda db: db.calls.queued(10, queued().call), "ix_call_open"),
    "newest": (lambda db: db.calls.list(TENANT, after="x"), "ix_call_tenant (tenant=? AND (requested_at,id)<(?,?))"),
    "live ones": (lambda db: db.calls.list(TENANT, CallFilter(status="live")), "ix_call_open"),
    "queued ones": (
        lambda db: db.calls.list(TENANT, CallFilter(status="queued"), after="x"),
        "ix_call_queued (tenant=? AND (requested_at,id)<(?,?))",
    ),
    "of a number": (lambda db: db.calls.list(TENANT, CallFilter(number="x")), "ix_call_callee (tenant=? AND callee=?)"),
    "of a reference": (lambda db: db.calls.list(TENANT, CallFilter(reference="x")), "ix_call_reference"),
    "of a binding": (lambda db: db.calls.list(TENANT, CallFilter(binding="x")), "ix_call_binding"),
    "of a time": (
        lambda db: db.calls.list(TENANT, CallFilter(since=1, until=2)),
        "ix_call_tenant (tenant=? AND requested_at>?",
    ),
    "a caller's to an X": (
        lambda db: db.routes.earlier(TENANT, "x", "y", 1, 2),
        "ix_call_caller (tenant=? AND caller=? AND requested_at>? AND requested_at<?)",
    ),
    "a caller's": (
        lambda db: db.routes.of_party(TENANT, "x", 1),
        "ix_call_caller (tenant=? AND caller=? AND requested_at>?)",
    ),
    "agent of a number": (lambda db: db.agents.of_number(TENANT, "x"), "ix_agent_number (tenant=? AND number=?)"),
    "free agents": (lambda db: db.agents.free([TENANT], []), "ix_agent_free (tenant=?)"),
    "of these who is free": (lambda db: db.agents.free([], ["a", "b"]), "sqlite_autoindex_agent_1 (id=?)"),
    "who is to be forgotten": (
        lambda db: db.last_agents.forgotten(TENANT, "x", "y"),
        "sqlite_autoindex_forgotten_1 (tenant=? AND x=? AND customer=?)",
    ),
    "on duty": (lambda db: db.agents.on_duty(TENANT), "ix_agent_free (tenant=?)"),
    "who is locked out": (
        lambda db: db.wrong_keys.locked(TENANT, "x", "y", 1, Guards()),
        "ix_wrong_key_tenant (tenant=? AND at>?)",
    ),
    "facts": (lambda db: db.calls.facts(TENANT, "x"), "fact USING PRIMARY KEY (call=? AND sequence>?)"),
    "backlog": (lambda db: db.webhooks.backlog("e1", 1, 1), "ix_webhook_cursor_due (endpoint=? AND due_at<?)"),
    "old cursors": (lambda db: db.webhooks.forget_cursors(1, 1), "ix_webhook_cursor_call (call<?)"),
    "old facts": (lambda db: db.retention.forget_facts(1), "fact USING PRIMARY KEY (call<?)"),
    "old streams": (lambda db: db.backend.write(lambda job: forget_facts(job, 1, 1)), "ix_stream_old (old_from<?)"),
    "silent streams": (lambda db: db.backend.read(lambda job: silent(job, 1, 1)), "ix_stream_told (told_at<?)"),
    "a binding's facts": (lambda db: db.bindings.facts(TENANT, "x"), "fact USING PRIMARY KEY (call=? AND sequence>?)"),
    "stopped": (lambda db: db.recordings.stopped_recordings("", 1), "ix_recording_stopped"),
}


@pytest.fixture
async def sqlite_db(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty SQLite database."""
    database = await Database.open(f"sqlite:///{tmp_path / 'patchbay.db'}")
    yield database
    await database.close()


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    """What is executed, with its values."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(("ask", "index"), ASKS.values(), ids=ASKS)
async def test_it_uses_its_index(sqlite_db: Database, statements: list[tuple[str, Any]], ask: Ask, index: str) -> None:
    statements.clear()
    await ask(sqlite_db)
    statement, values = statements[0]

    def explain(connection: Any) -> list[str]:
        return [row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values)]

    plan = await sqlite_db.backend.read(explain)
    assert any(index in step for step in plan), plan
    assert not any(step in {f"SCAN {table}" for table in BIG} for step in plan), plan
