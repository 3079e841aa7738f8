"""OP5: who fails too often is not listened to, across restarts, and nobody is shut out by somebody else."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.api.lockout import Lockouts, by_address
from controller.api.problems import Problem
from controller.config import Access
from controller.store.database import Database
from controller.store.keys import new_key
from controller.store.migrate import upgrade
from tests.house import Standing, logged, standing

STRICT = {"failures": 3, "address_failures": 5, "lock_s": 60}


async def bare(house: Standing, key: str, path: str = "/v1/calls") -> httpx2.Response:
    """A request with this key and no other."""
    async with httpx2.AsyncClient(base_url=house.base) as http:
        return await http.get(path, headers={"Authorization": f"Bearer {key}"})


async def guesses(count: int, guess: Callable[[], Awaitable[httpx2.Response]]) -> list[int]:
    return [(await guess()).status_code for _ in range(count)]


async def test_a_key_that_is_guessed_at_is_locked_and_others_are_not(tmp_path: Path) -> None:
    async with standing(tmp_path, access=STRICT) as house:
        real = new_key()
        guess = real.prefix + "A" * 36
        assert await guesses(4, lambda: bare(house, guess)) == [401, 401, 401, 429]
        await house.patchbay.house.database.keys.add("main", "K1", "n", real.prefix, real.hash, ("*",), 1)
        locked = await bare(house, real.text)
        assert (locked.status_code, locked.json()["code"]) == (429, "rate_limited")
        assert 0 < int(locked.headers["retry-after"]) <= 60
        assert (await bare(house, house.key)).status_code == 200


async def test_an_address_is_locked_but_not_who_has_proved_himself(tmp_path: Path) -> None:
    async with standing(tmp_path, access=STRICT) as house:
        known = (await house.http.post("/v1/keys", json={"name": "n", "scopes": ["*"]})).json()["key"]
        assert await guesses(6, lambda: bare(house, new_key().text)) == [401] * 5 + [429]
        assert (await bare(house, house.key)).status_code == 200
        assert (await bare(house, known)).status_code == 200
        stranger = await house.key_for("main")
        assert (await house.http.get("/v1/calls", headers=stranger)).status_code == 429


async def test_behind_a_proxy_on_this_machine_each_address_counts_for_itself(tmp_path: Path) -> None:
    async with standing(tmp_path, access=STRICT) as house:

        async def guess(address: str) -> int:
            headers = {"Authorization": f"Bearer {new_key().text}", "X-Forwarded-For": address}
            async with httpx2.AsyncClient(base_url=house.base) as http:
                return (await http.get("/v1/calls", headers=headers)).status_code

        assert [await guess("192.0.2.7") for _ in range(6)] == [401] * 5 + [429]
        assert await guess("192.0.2.8") == 401
        assert await guess("198.51.100.1, 192.0.2.7") == 429  # the proxy's own word is the last


async def test_no_key_and_a_key_that_is_over_are_no_guesses(tmp_path: Path) -> None:
    async with standing(tmp_path, access=STRICT) as house:
        over = (await house.http.post("/v1/keys", json={"name": "n", "scopes": ["*"]})).json()
        await house.http.delete(f"/v1/keys/{over['id']}")
        assert await guesses(8, lambda: bare(house, over["key"])) == [401] * 8
        assert await guesses(8, lambda: bare(house, "nothing of ours")) == [401] * 8
        assert (await house.http.get("/v1/calls", headers=await house.key_for("main"))).status_code == 200


async def test_a_client_is_locked_and_a_restart_does_not_lift_it(tmp_path: Path) -> None:
    key = ""

    async def ask(house: Standing, secret: str) -> httpx2.Response:
        form = {"grant_type": "client_credentials", "client_id": "key_K1", "client_secret": secret}
        async with httpx2.AsyncClient(base_url=house.base) as http:
            return await http.post("/v1/oauth/token", data=form)

    wide = {**STRICT, "address_failures": 100}
    async with standing(tmp_path, access=wide) as house:
        made, key = new_key(), ""
        key = made.text
        await house.patchbay.house.database.keys.add("main", "K1", "n", made.prefix, made.hash, ("*",), 1)
        assert await guesses(4, lambda: ask(house, "wrong")) == [401, 401, 401, 429]
        assert (await ask(house, key)).status_code == 429
    async with standing(tmp_path, access=wide, seed=False) as house:
        assert (await ask(house, key)).status_code == 429
        assert (await bare(house, house.key)).status_code == 200


async def test_the_log_tells_of_a_lock_without_whom(tmp_path: Path) -> None:
    with logged(tmp_path / "log"):
        async with standing(tmp_path, access=STRICT) as house:
            text = new_key().text
            await guesses(4, lambda: bare(house, text))
    lines = (tmp_path / "log").read_text()
    assert "locked out" in lines
    assert text[:10] not in lines


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("unknown", "unknown", True),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, same: bool) -> None:
    assert (by_address(one) == by_address(other)) is same


@given(st.text())
def test_no_address_is_a_fault(text: str) -> None:
    assert len(by_address(text)) <= 72


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ms = 1_750_000_000_000

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


class Guessing(RuleBasedStateMachine):
    """Against the plain rule: locked exactly from the N-th failure within the window on, twice as long each time."""

    NAMES = ("key:a", "key:b", "address:x")
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.settings = Access(failures=3, address_failures=4, failures_within_s=100, lock_s=10, lock_most_s=40)
        self.clock = Ticking()
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._open())
        self.fails: dict[str, list[int]] = {name: [] for name in self.NAMES}
        self.until = dict.fromkeys(self.NAMES, 0)
        self.locks = dict.fromkeys(self.NAMES, 0)
        self.since = dict.fromkeys(self.NAMES, 0)
        self.kept: dict[str, int] = {}

    async def _open(self) -> None:
        url = f"sqlite:///{self.folder / 'locks.db'}"
        await upgrade(url)
        self.database = await Database.open(url, migrate=False)
        self.lockouts = Lockouts(self.database, self.clock, self.settings)

    def teardown(self) -> None:
        async def end() -> None:
            await self.database.backend.write(_forget_all)
            await self.database.close()

        self.loop.run_until_complete(end())
        self.loop.close()

    @rule(seconds=st.integers(0, 120))
    def passes(self, seconds: int) -> None:
        self.clock.ms += seconds * 1000

    @rule(name=st.sampled_from(NAMES))
    def fails_once(self, name: str) -> None:
        self.loop.run_until_complete(self.lockouts.failed(name))
        now, most = self.clock.ms, 4 if name.startswith("address:") else 3
        if now - self.since[name] > 100_000:
            if now - self.until[name] > 40_000:
                self.locks[name] = 0
            self.fails[name], self.since[name] = [], now
        self.fails[name].append(now)
        if len(self.fails[name]) >= most:
            self.until[name] = now + min(10 * 2 ** self.locks[name], 40) * 1000
            self.locks[name] += 1
            self.fails[name] = []

    @rule()
    def restarts(self) -> None:
        """Failures are forgotten, locks are not."""
        self.lockouts = Lockouts(self.database, self.clock, self.settings)
        for name in self.NAMES:
            self.fails[name], self.since[name] = [], 0
            if self.until[name] <= self.clock.ms:
                self.until[name], self.locks[name] = 0, 0

    @invariant()
    def is_locked_when_it_should_be(self) -> None:
        async def locked(name: str) -> bool:
            try:
                await self.lockouts.check(name)
            except Problem:
                return True
            return False

        for name in self.NAMES:
            assert self.loop.run_until_complete(locked(name)) is (self.until[name] > self.clock.ms), name


def _forget_all(db: Any) -> None:
    from sqlalchemy import delete

    from controller.store.tables_access import LOCKOUT

    db.execute(delete(LOCKOUT))


def test_locks_follow_the_rule(tmp_path: Path) -> None:
    from hypothesis import settings
    from hypothesis.stateful import run_state_machine_as_test

    Guessing.folder = tmp_path
    run_state_machine_as_test(Guessing, settings=settings(max_examples=15, stateful_step_count=30, deadline=None))


async def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.api.lockout.REMEMBER_MOST", 10)
    database = await Database.open(f"sqlite:///{tmp_path / 'x.db'}")
    lockouts = Lockouts(database, Ticking(), Access())
    for number in range(100):
        await lockouts.failed(f"key:{number}", "address:one")
    assert [len(counts) for counts in lockouts._counts.values()] == [10, 1]
    with pytest.raises(Problem):
        await lockouts.check("address:one")
    await database.close()


async def test_each_further_lock_is_twice_as_long_up_to_a_bound(tmp_path: Path) -> None:
    database, clock = await Database.open(f"sqlite:///{tmp_path / 'x.db'}"), Ticking()
    lockouts = Lockouts(database, clock, Access(failures=1, lock_s=10, lock_most_s=40))
    waits = []
    for _ in range(4):
        await lockouts.failed("key:a")
        with pytest.raises(Problem) as locked:
            await lockouts.check("key:a")
        waits.append((locked.value.headers or {})["Retry-After"])
        clock.ms += int(waits[-1]) * 1000
        await lockouts.check("key:a")
    assert waits == ["10", "20", "40", "40"]
    await database.close()
