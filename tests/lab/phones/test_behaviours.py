"""Far end: each phone of the lab behaves as its name says, as a real Asterisk and its own ear see it."""

from collections.abc import Callable

import pytest

from controller.lab.phones.client import Call
from controller.lab.phones.table import ALL_PHONES, PHONES, Phone
from tests.lab.far_end import A, B, heard, methods_in
from tests.lab.rig import Rig

BY_BEHAVIOUR = {phone.behaviour: phone for phone in reversed(ALL_PHONES)}


def sent(call: Call) -> list[str]:
    """What a phone answered, in order."""
    return [message["start"] for message in call["sent"]]


def bridged(rig: Rig, number_a: str = A, number_b: str = B) -> tuple[Call, Call]:
    """Two phones, the second dialled for the first, up and within hearing of each other."""
    since = rig.ring(number_a, f"{number_b}@from-phones")
    for number in (number_a, number_b):
        rig.phones.wait_for(lambda calls: bool(calls and calls[0]["heard_hz"]), number, since)
    return rig.phones.calls(number_a, since)[0], rig.phones.calls(number_b, since)[0]


def test_the_table_keeps_the_contract_of_lab_up() -> None:
    behaviours = [phone.behaviour for phone in PHONES]
    answering = [phone.tone_hz for phone in PHONES if phone.behaviour == "answer"]
    assert len(answering) >= 3
    assert len(set(answering)) == len(answering)
    others = {"no_answer", "busy", "reject", "not_found", "hangup_early", "keys", "early_media", "silent_drop"}
    assert set(behaviours) == {"answer", *others}
    assert all(phone.number.startswith("+1415555") and len(phone.number) == 12 for phone in ALL_PHONES)
    assert len({phone.nn for phone in ALL_PHONES}) == len(ALL_PHONES)


def test_two_phones_hear_each_other_and_nobody_else(rig: Rig) -> None:
    call_a, call_b = bridged(rig)
    assert call_a["heard_hz"] == [1300]
    assert call_b["heard_hz"] == [1000]
    rig.phones.hang_up(call_a["call_id"])
    ended_b = rig.phones.wait_for(lambda calls: bool(calls[0]["ended_at"]), B, call_b["at"])[0]
    ended_a = rig.phones.wait_for(lambda calls: bool(calls[0]["ended_at"]), A, call_a["at"])[0]
    assert (ended_a["ended_by"], ended_b["ended_by"]) == ("phone", "pbx")
    assert methods_in(ended_b)[-1] == "BYE"


@pytest.mark.parametrize(
    ("behaviour", "answers"),
    [
        ("busy", ["SIP/2.0 486 Busy Here"]),
        ("reject", ["SIP/2.0 180 Ringing", "SIP/2.0 603 Decline"]),
        ("not_found", ["SIP/2.0 404 Not Found"]),
        ("unavailable", ["SIP/2.0 480 Temporarily Unavailable"]),
        ("congestion", ["SIP/2.0 503 Service Unavailable"]),
        ("server_error", ["SIP/2.0 500 Server Internal Error"]),
        ("forbidden", ["SIP/2.0 403 Forbidden"]),
        ("reject_late", ["SIP/2.0 180 Ringing", "SIP/2.0 603 Decline"]),
    ],
)
def test_a_refusing_phone_sends_its_status_once(rig: Rig, behaviour: str, answers: list[str]) -> None:
    phone = BY_BEHAVIOUR[behaviour]
    call = rig.ended(phone.number, rig.ring(phone.number))
    assert sent(call) == answers
    assert (call["status"], call["ended_by"], call["answered_at"]) == (phone.status, "phone", None)


def test_a_phone_that_does_not_answer_rings_until_it_is_cancelled(rig: Rig) -> None:
    number = BY_BEHAVIOUR["no_answer"].number
    since = rig.ring(A, f"{number}@from-phones")
    call = rig.phones.wait_for(lambda calls: bool(calls and calls[0]["ringing_at"]), number, since)[0]
    assert call["answered_at"] is None
    rig.phones.hang_up(rig.answered(A, since)["call_id"])
    call = rig.ended(number, since)
    assert sent(call) == ["SIP/2.0 180 Ringing", "SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]
    assert (call["status"], call["ended_by"]) == (487, "pbx")


@pytest.mark.parametrize(("tell", "status"), [("answer", 200), ("reject", 603)])
def test_a_ringing_phone_does_what_it_is_told(rig: Rig, tell: str, status: int) -> None:
    phone = BY_BEHAVIOUR["no_answer"]
    since = rig.ring(phone.number)
    call = rig.phones.wait_for(lambda calls: bool(calls and calls[0]["ringing_at"]), phone.number, since)[0]
    order: Callable[[str], None] = getattr(rig.phones, tell)
    order(call["call_id"])
    call = rig.phones.wait_for(lambda calls: calls[0]["status"] is not None, phone.number, since)[0]
    assert call["status"] == status
    if status == 200:
        rig.phones.hang_up(call["call_id"])
        assert rig.ended(phone.number, since)["ended_by"] == "phone"


@pytest.mark.parametrize("behaviour", ["hangup_early", "hangup_late"])
def test_a_phone_that_hangs_up_does_so_in_time(rig: Rig, behaviour: str) -> None:
    phone = BY_BEHAVIOUR[behaviour]
    assert phone.talk_s
    call = rig.ended(phone.number, rig.ring(phone.number))
    assert call["ended_by"] == "phone"
    assert phone.talk_s - 0.1 <= call["ended_at"] - call["answered_at"] < phone.talk_s + 3  # two clocks: timer and wall


def test_a_phone_that_answers_late_rings_first(rig: Rig) -> None:
    phone = BY_BEHAVIOUR["answer_late"]
    call = rig.answered(phone.number, rig.ring(phone.number))
    assert 2.9 <= call["answered_at"] - call["ringing_at"] < 6


def test_a_phone_with_early_media_is_heard_before_it_answers(rig: Rig) -> None:
    phone = BY_BEHAVIOUR["early_media"]
    since = rig.ring(A, f"{phone.number}@from-phones")
    far = rig.answered(phone.number, since)
    near = rig.phones.wait_for(lambda calls: bool(calls[0]["heard"]), A, since)[0]
    begun = min(sound["begin"] for sound in near["heard"] if sound["hz"] == phone.tone_hz)
    assert begun < far["answered_at"] - 0.5
    assert sent(far)[0] == "SIP/2.0 183 Session Progress"


def test_a_phone_presses_its_keys(rig: Rig) -> None:
    rig.asterisk.ctl("dialplan set global PRESSED ''")
    number = BY_BEHAVIOUR["keys_2"].number
    since = rig.ring(number, "s@keys")
    call = rig.answered(number, since)
    assert pressed(rig, 1) == "2"
    rig.phones.press(call["call_id"], "*90#")
    assert pressed(rig, 4) == "2*90"  # Read takes # as the end of what it reads
    rig.phones.hang_up(call["call_id"])


def pressed(rig: Rig, keys: int) -> str:
    """The keys that Asterisk has noted, once there are so many."""

    def noted() -> str:
        for line in rig.asterisk.ctl("dialplan show globals").splitlines():
            if line.strip().startswith("PRESSED="):
                return line.strip().removeprefix("PRESSED=").strip("'")
        return ""

    rig.phones.wait_for(lambda _: len(noted()) >= keys)
    return noted()


def test_a_silent_phone_sends_nothing_at_all(rig: Rig) -> None:
    number = BY_BEHAVIOUR["silent_drop"].number
    since = rig.ring(A, f"{number}@from-phones")
    call = rig.phones.wait_for(lambda calls: bool(calls and len(calls[0]["received"]) >= 2), number, since)[0]
    assert methods_in(call)[:2] == ["INVITE", "INVITE"]  # Asterisk asks again, RFC 3261 timer A
    assert sent(call) == []
    rig.phones.hang_up(rig.answered(A, since)["call_id"])


def test_a_phone_names_itself_by_its_identity(rig: Rig) -> None:
    phone = BY_BEHAVIOUR["tells_identity"]
    since = rig.ring(A, f"{phone.number}@from-phones")
    rig.answered(phone.number, since)
    told = rig.phones.wait_for(lambda calls: len(methods_in(calls[0])) > 2, A, since)[0]
    assert "Real Name" in str(told["received"])  # this rig trusts identities: Asterisk passes it on, and the phone notes it
    rig.phones.hang_up(told["call_id"])


def test_one_phone_takes_many_calls_at_once_and_tells_them_apart(rig: Rig) -> None:
    since = min(rig.ring(A, f"{B}@from-phones") for _ in range(20))
    rig.phones.wait_for(lambda calls: len(calls) == 20 and all(call["heard_hz"] for call in calls), B, since)
    callers = rig.phones.wait_for(lambda calls: len(calls) == 20 and all(call["heard_hz"] for call in calls), A, since)
    assert {tuple(call["heard_hz"]) for call in callers} == {(1300,)}
    for call in callers:
        rig.phones.hang_up(call["call_id"])
    rig.phones.wait_for(lambda calls: all(call["ended_by"] == "pbx" for call in calls), B, since)


def test_a_phone_can_call_in(rig: Rig) -> None:
    rig.phones.clear()
    rig.phones.place(A, B)
    called = rig.phones.wait_for(lambda calls: bool(calls and calls[-1]["heard_hz"]), B)[-1]
    calling = rig.phones.wait_for(lambda calls: bool(calls[-1]["heard_hz"]), A)[-1]
    assert (calling["direction"], called["direction"]) == ("out", "in")
    assert heard(called, 1000) > 0
    assert heard(calling, 1300) > 0
    rig.phones.hang_up(calling["call_id"])
    rig.phones.wait_for(lambda calls: calls[-1]["ended_by"] == "pbx", B)


def test_a_phone_that_calls_can_be_refused_and_can_cancel(rig: Rig) -> None:
    rig.phones.clear()
    rig.phones.place(A, "+14155559002")
    refused = rig.phones.wait_for(lambda calls: bool(calls and calls[-1]["ended_at"]), A)[-1]
    assert (refused["status"], refused["ended_by"]) == (486, "pbx")
    number = BY_BEHAVIOUR["no_answer"].number
    rig.phones.place(B, number)
    ringing = rig.phones.wait_for(lambda calls: bool(calls and calls[-1]["ringing_at"]), B)[-1]
    rig.phones.hang_up(ringing["call_id"])
    assert rig.ended(number, ringing["at"])["ended_by"] == "pbx"
    assert rig.phones.calls(B)[-1]["ended_by"] == "phone"


def test_a_number_without_a_phone_is_not_found(rig: Rig) -> None:
    since = rig.ring(A, "+14155550199@from-phones")
    assert rig.ended(A, since)["ended_by"] == "pbx"  # Dial failed, and Asterisk has nothing more to say


@pytest.mark.parametrize(
    "phone",
    [phone for phone in ALL_PHONES if phone.status == 200 and phone.ring_s and phone.says_s != 0],
    ids=lambda phone: phone.number,
)
def test_every_answering_phone_plays_its_own_tone(rig: Rig, phone: Phone) -> None:
    since = rig.ring(A if phone.number != A else B, f"{phone.number}@from-phones")
    listener = rig.phones.wait_for(
        lambda calls: any(phone.tone_hz in call["heard_hz"] for call in calls), A if phone.number != A else B, since
    )[0]
    assert listener["heard_hz"] == [phone.tone_hz]
