"""Far end, MK1-MK3, MK6-MK9: who dials X reaches whom the binding means, and no phone is ever sent the other's number.

Each test has numbers of its own; what the phones were sent is read message by message, towards the callee and back to the
caller, who could be told by an answer whom he has reached."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from controller.lab.phones.client import Call
from tests.lab.far_end import A, B, C, heard
from tests.lab.masked import check_masked, leaks
from tests.lab.stage import Stage, numbers_in_logs
from tests.lab.test_memory import statuses

WITHIN_S = 40.0
_pools = count(1)


class Masked:
    """A binding, and calls through it."""

    def __init__(self, stage: Stage, numbers: int = 1, pool: dict[str, Any] | None = None, **asked: Any) -> None:
        self.stage, self.phones = stage, stage.lab.phones
        name = f"pool{next(_pools)}-{time.time_ns()}"[:40]
        self.pool = self._made("/v1/pools", {"name": name, **(pool or {})})["id"]
        for _ in range(numbers):
            self._owned(stage.display())
        self.binding = self._made("/v1/bindings", {"mode": "axb", "a": A, "b": B, "pool": name, "reference": "masked", **asked})

    @property
    def x(self) -> str:
        """The X."""
        return str(self.binding["x"])

    def _made(self, path: str, body: dict[str, Any]) -> Any:
        status, answer = self.stage.ask("POST", path, body)
        assert status == 201, answer
        return answer

    def _owned(self, number: str) -> None:
        found = next(one for one in self.stage.get("/v1/numbers?limit=200")["items"] if one["number"] == number)
        status, answer = self.stage.ask("PATCH", f"/v1/numbers/{found['id']}", {"kind": "x", "pool": self.pool})
        assert status == 200, answer

    def change(self, **what: Any) -> None:
        """PATCH the binding."""
        status, answer = self.stage.ask("PATCH", f"/v1/bindings/{self.binding['id']}", what)
        assert status == 200, answer

    def release(self) -> None:
        """End the binding."""
        assert self.stage.ask("DELETE", f"/v1/bindings/{self.binding['id']}")[0] == 200

    def dial(self, phone: str, x: str = "") -> Call:
        """A phone dials X; what it saw, as soon as there is an answer of any kind."""
        since = time.time()
        self.phones.place(phone, x or self.x)
        calls = self.phones.wait_for(
            lambda calls: any(call["direction"] == "out" and statuses(call) for call in calls), phone, since, WITHIN_S
        )
        return next(call for call in calls if call["direction"] == "out" and statuses(call))

    def seen(self, phone: str, call: Call) -> Call:
        """The same call as its phone has seen it by now."""
        return next(one for one in self.phones.calls(phone, call["at"]) if one["call_id"] == call["call_id"])

    def hears(self, phone: str, call: Call, prompt: str, since: float = 0.0) -> float:
        """The phone hears a prompt in that call that begins at ``since`` or later; when it began."""
        hz = self.stage.lab.prompt(prompt)

        def begun(calls: list[Call]) -> list[float]:
            mine = [sound for one in calls if one["call_id"] == call["call_id"] for sound in one["heard"]]
            fits = [sound for sound in mine if sound["hz"] == hz and sound["begin"] >= since]
            return [sound["begin"] for sound in fits if sound["end"] - sound["begin"] > 0.2]

        return begun(self.phones.wait_for(lambda calls: bool(begun(calls)), phone, call["at"], WITHIN_S))[0]

    def key_in(self, phone: str, call: Call, prompt: str, keys: Sequence[str]) -> None:
        """After each prompt these keys; all but the last are wrong, and the phone is told so."""
        since = 0.0
        for nth, typed in enumerate(keys, 1):
            since = self.hears(phone, call, prompt, since)
            self.phones.press(call["call_id"], typed)
            if nth < len(keys):
                since = self.hears(phone, call, "wrong-key", since)

    @contextmanager
    def talk(
        self, caller: str, callee: str, x: str = "", shown: str = "", keys: Sequence[str] = (), prompt: str = ""
    ) -> Iterator[Call]:
        """A call that reaches ``callee``, shown X; inside the two hear each other.  ``keys``: what the caller keys in first.

        In the end no phone was sent the other's number."""
        x, shown = x or self.x, shown or x or self.x
        here = self.dial(caller, x)
        assert statuses(here)[0] == ("200" if keys else "180")
        self.key_in(caller, here, prompt, keys)
        found = self.phones.wait_for(lambda calls: any(_answered(one, here) for one in calls), callee, 0.0, WITHIN_S, shown)
        there = next(one for one in found if _answered(one, here))
        for phone, tone, call in ((caller, callee, here), (callee, caller, there)):
            hz = self.stage.lab.tone(tone)
            self.phones.wait_for(lambda calls: any(_hears(one, call, hz) for one in calls), phone, here["at"], WITHIN_S)  # noqa: B023
        yield here
        self.phones.hang_up(here["call_id"])
        self.phones.wait_for(
            lambda calls: any(one["call_id"] == there["call_id"] and one["ended_at"] for one in calls), callee, 0.0, WITHIN_S
        )
        check_masked(self.seen(callee, there), callee, shown, self.stage.numbers())
        assert leaks(self.seen(caller, here), {caller, x}, self.stage.numbers()) == []

    def refused(self, caller: str, status: str, x: str = "") -> Call:
        """A call that is refused with this status, unanswered."""
        here = self.dial(caller, x)
        calls = self.phones.wait_for(
            lambda calls: any(one["call_id"] == here["call_id"] and status in statuses(one) for one in calls),
            caller, here["at"], WITHIN_S,
        )  # fmt: skip
        call = next(one for one in calls if one["call_id"] == here["call_id"])
        assert call["answered_at"] is None
        assert leaks(call, {caller, x or self.x}, self.stage.numbers()) == []
        return call

    def record(self) -> dict[str, Any]:
        """The record of the last call through the binding, once it is over."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            calls = self.stage.get(f"/v1/calls?binding_id={self.binding['id']}&limit=1")["items"]
            if calls and calls[0]["ended_at"]:
                found: dict[str, Any] = calls[0]
                return found
            time.sleep(0.1)  # the pause of a client that asks again
        raise AssertionError("no record of the call")


def _answered(call: Call, since: Call) -> bool:
    return bool(call["direction"] == "in" and call["answered_at"] and call["at"] >= since["at"])


def _hears(call: Call, mine: Call, hz: int, least: float = 0.2) -> bool:
    return call["call_id"] == mine["call_id"] and heard(call, hz) > least


def test_the_lab_has_a_pool_of_x_numbers_to_try_it_with(stage: Stage) -> None:
    asked = {"mode": "axb", "a": A, "b": C, "pool": "lab"}
    status, made = stage.ask("POST", "/v1/bindings", asked)
    assert (status, made["x"] in stage.lab.description["pool"]) == (201, True), made
    assert stage.ask("DELETE", f"/v1/bindings/{made['id']}")[1]["status"] == "released"


def test_axb_in_both_directions_shows_x_and_nothing_else(stage: Stage) -> None:
    masked = Masked(stage)
    for caller, callee in ((A, B), (B, A)):
        with masked.talk(caller, callee):
            pass
        record = masked.record()
        assert (record["kind"], record["flow"], record["disposition"]) == ("masked", "masked", "completed")
        assert (record["hangup_by"], record["reference"]) == ("caller", "masked")
        assert record["binding_id"] == masked.binding["id"]
        assert [(leg["name"], leg["display"]) for leg in record["legs"]] == [("caller", masked.x), ("callee", masked.x)]
    masked.refused(C, "403")
    assert numbers_in_logs(stage.lab.folder, {A, B, C, masked.x}) == []


def test_axyb_shows_each_side_a_number_of_its_own(stage: Stage) -> None:
    masked = Masked(stage, 2, mode="axyb")
    y = str(masked.binding["y"])
    with masked.talk(A, B, masked.x, shown=y):
        pass
    with masked.talk(B, A, y, shown=masked.x):
        pass
    masked.refused(B, "403", masked.x)
    masked.refused(A, "403", y)


@pytest.mark.parametrize("mode", ["ax", "axn"])
def test_anyone_reaches_a_who_reaches_his_callee_for_now(stage: Stage, mode: str) -> None:
    masked = Masked(stage, mode=mode)
    with masked.talk(C, A):
        pass
    with masked.talk(A, B):
        pass
    masked.change(temporary_callee=C)
    with masked.talk(A, C):
        pass
    masked.change(temporary_callee=None, b=None)
    masked.refused(A, "480")


def test_a_release_and_an_end_by_time_leave_the_talk_alone_and_connect_nobody_after(stage: Stage) -> None:
    for ends in ("released", "expired"):
        masked = Masked(stage)
        with masked.talk(A, B) as here:
            if ends == "released":
                masked.release()
            else:
                masked.change(ttl_s=1)
                while stage.get(f"/v1/bindings/{masked.binding['id']}")["status"] != "expired":
                    time.sleep(0.1)  # the time itself is what is waited for
            tone = stage.lab.tone(B)
            more = heard(masked.seen(A, here), tone) + 0.5
            masked.phones.wait_for(lambda calls: any(_hears(one, here, tone, more) for one in calls), A, here["at"], WITHIN_S)  # noqa: B023
        assert masked.record()["disposition"] == "completed"
        masked.refused(A, "403")
        masked.refused(B, "403")


@pytest.mark.parametrize(
    ("behaviour", "status", "disposition"),
    [
        ("busy", "486", "busy"),
        ("reject", "403", "rejected"),
        ("unavailable", "480", "no_answer"),
        ("not_found", "404", "invalid_number"),
    ],
)
def test_a_callee_who_is_not_to_be_had_is_told_as_such_unanswered(
    stage: Stage, behaviour: str, status: str, disposition: str
) -> None:
    masked = Masked(stage, b=stage.lab.number(behaviour))
    masked.refused(A, status)
    assert (masked.record()["disposition"], masked.record()["bill_s"]) == (disposition, 0.0)


def test_a_callee_who_tells_who_he_is_does_not_tell_the_caller(stage: Stage) -> None:
    masked = Masked(stage, b=stage.lab.number("tells_identity"))
    with masked.talk(A, masked.binding["b"]) as here:
        said = str(masked.seen(A, here)["received"])
        assert "Real Name" not in said
    assert "Real Name" not in str(masked.seen(A, here)["received"])


def test_a_caller_who_tells_who_he_is_does_not_tell_the_callee(stage: Stage) -> None:
    masked = Masked(stage, b=stage.lab.number("tells_identity"))
    with masked.talk(masked.binding["b"], A):
        pass
    (there,) = masked.phones.calls(A, shown=masked.x)
    assert "Real Name" not in str(there["received"])


def test_early_media_is_heard_before_the_answer(stage: Stage) -> None:
    callee = stage.lab.number("early_media")
    masked = Masked(stage, b=callee)
    here = masked.dial(A)
    calls = masked.phones.wait_for(
        lambda calls: any(_hears(one, here, stage.lab.tone(callee)) for one in calls), A, here["at"], WITHIN_S
    )
    call = next(one for one in calls if one["call_id"] == here["call_id"])
    assert statuses(call)[:2] in (["180", "183"], ["183", "200"], ["183"]), statuses(call)
    masked.phones.hang_up(here["call_id"])
    masked.record()
    assert leaks(masked.seen(A, here), {A, masked.x}, stage.numbers()) == []


def test_a_phone_that_is_not_known_is_told_without_an_answer(stage: Stage) -> None:
    masked = Masked(stage, pool={"unknown": "prompt", "prompt": "not-available"})
    call = masked.refused(C, "403")
    assert statuses(call)[0] == "183"
    assert heard(masked.seen(C, call), stage.lab.prompt("not-available")) > 0.3


def test_what_is_forbidden_rings_no_phone(stage: Stage) -> None:
    masked = Masked(stage, a_to_b={"allowed": False})
    masked.refused(A, "403")
    masked.change(a_to_b={"allowed": True}, block=[A])
    masked.refused(A, "403")
    with masked.talk(B, A):
        pass
    number = stage.get(f"/v1/numbers?pool={masked.pool}")["items"][0]["id"]
    assert stage.ask("PATCH", f"/v1/numbers/{number}", {"state": "frozen"})[0] == 200
    masked.refused(B, "403")
    assert masked.phones.calls(B, shown=masked.x) == []
