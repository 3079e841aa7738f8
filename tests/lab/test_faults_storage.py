"""Faults: the database is locked, or the disk is full, at a commit.

What cannot be kept is refused and leaves nothing behind; calls that live go on, and are told of when there is room again.
"""

import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab.doomed import Doomed
from tests.lab.far_end import A, B
from tests.lab.story import TRUE_MS, off_ms
from tests.lab.test_callback_hangups import callee_ringing

WHAT_IS_LEFT = ((503, "storage_unavailable"), (503, "pbx_unavailable"))
"""Of a call that lives: the latter once the lease on its PBX has run out, as it may while two wishes wait in vain."""
Fault = Callable[[Doomed], "contextmanager[None]"]


@contextmanager
def locked(doomed: Doomed) -> Iterator[None]:
    """Another process holds the database, longer than a lease lives."""
    other = sqlite3.connect(doomed.lab.folder / "patchbay.db", isolation_level=None, timeout=10)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


@contextmanager
def full(doomed: Doomed) -> Iterator[None]:
    """No file of the controller may grow any more (RLIMIT_FSIZE: writes fail with EFBIG), its log neither."""
    controller = doomed.lab.pid("controller")
    before = resource.prlimit(controller, resource.RLIMIT_FSIZE)
    resource.prlimit(controller, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(controller, resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("fault", [locked, full])
def test_what_cannot_be_kept_is_refused_and_calls_that_live_are_told_of_later(doomed: Doomed, fault: Fault) -> None:
    with ExitStack() as stories:
        ended, on, ringing, refused = (
            stories.enter_context(doomed.story(f"{name}, {fault.__name__}"))
            for name in ("ended meanwhile", "goes on", "answered meanwhile", "refused")
        )
        ended.begin(record=True)
        on.begin()
        ended.talk()
        on.talk()
        callee_ringing(ringing)
        key = f"refused-while-{fault.__name__}"
        refused.numbers = {"caller": A, "callee": B}
        refused.displays = {leg: doomed.display() for leg in refused.numbers}
        with fault(doomed):
            asked = time.monotonic()
            status, answer = doomed.ask("POST", "/v1/callbacks", refused.body(), once=key)
            assert (status, answer["code"]) == (503, "storage_unavailable"), answer
            assert time.monotonic() - asked < 10
            status, answer = doomed.ask("DELETE", f"/v1/callbacks/{on.id}")
            assert (status, answer["code"]) in WHAT_IS_LEFT, answer
            ended.hang_up("callee")
            ringing.answer("callee")
            ringing.hears("callee", doomed.lab.tone(A), 1.0)
            since = time.time()
            on.hears("caller", doomed.lab.tone(B), 1.0, after=since)
            assert doomed.ask("GET", "/readyz")[0] == 503
        end = ended.ended()
        assert end.outcome == ("completed", "callee")
        assert off_ms(end.legs["callee"]["ended_at"], end.at_phone["callee"]["ended_at"]) < TRUE_MS
        ended.until("recording.stored")
        for story in (on, ringing):
            story.talk()
            story.hang_up("caller")
            assert story.ended().outcome == ("completed", "caller")
        assert doomed.get(f"/v1/callbacks?reference={refused.name.replace(' ', '%20')}")["items"] == []
        assert refused.calls("caller") == []
        status, answer = doomed.patiently("POST", "/v1/callbacks", refused.body(), once=key)
        assert status == 202
        refused.id = answer["id"]
        refused.talk()
        refused.hang_up("caller")
        assert refused.ended().outcome == ("completed", "caller")
    doomed.assert_nothing_is_left()
