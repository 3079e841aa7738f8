"""Far end, MK3 and MK8: who must key in an extension or a PIN is answered, asked, and reaches whom it is for, or nobody.

The phones press keys as RFC 4733 events.  What they pressed is then searched for in everything that was written."""

import json
import time
from itertools import count
from typing import Any

import pytest

from controller.lab.phones.client import Call
from tests.lab.far_end import A, B, C, Lab, heard
from tests.lab.stage import Stage, logs
from tests.lab.test_masking import WITHIN_S, Masked

STRANGER = "+14155550104"  # a phone that answers, and whose wrong keys lock nobody else out
_pins = count(730_461_9)


def pin() -> str:
    """A PIN that nobody else has, and that no time or port is by chance."""
    return f"{next(_pins)}{time.time_ns() % 10**7:07d}"


def over(masked: Masked, phone: str, call: Call) -> Call:
    """The call once it is over."""
    calls = masked.phones.wait_for(
        lambda calls: any(one["call_id"] == call["call_id"] and one["ended_at"] for one in calls), phone, call["at"], WITHIN_S
    )
    return next(one for one in calls if one["call_id"] == call["call_id"])


def call_to(masked: Masked) -> dict[str, Any]:
    """The record of the last call to the X, once it is over."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        calls = masked.stage.get("/v1/calls?limit=20")["items"]
        mine = [call for call in calls if call["legs"] and call["legs"][0]["display"] == masked.x]
        if mine and mine[0]["ended_at"]:
            found: dict[str, Any] = mine[0]
            return found
        time.sleep(0.1)  # the pause of a client that asks again
    raise AssertionError("no record of the call")


def kept(lab: Lab, stage: Stage) -> str:
    """All that was logged, told and recorded: what no key may stand in."""
    texts = [path.read_text(errors="replace") for path in logs(lab.folder)]
    texts += [json.dumps(stage.get(f"/v1/calls/{call['id']}/events")) for call in stage.get("/v1/calls?limit=50")["items"]]
    texts += [json.dumps(stage.get(what)) for what in ("/v1/calls?limit=50", "/v1/cdrs?limit=50", "/v1/audit?limit=50")]
    texts += [json.dumps(fact) for fact in stage.receiver.everything()]
    return "".join(texts)


@pytest.mark.parametrize("way", ["at once", "after a wrong one"])
def test_an_extension_leads_to_a_and_both_see_x(stage: Stage, way: str) -> None:
    masked = Masked(stage, mode="axe", b=C)
    wrong = "77" + str(masked.binding["extension"])
    keys = [wrong] * (way != "at once") + [masked.binding["extension"]]
    with masked.talk(C, A, keys=keys, prompt="extension") as here:
        assert masked.seen(C, here)["answered_at"]
    record = masked.record()
    assert (record["binding_id"], record["flow"], record["disposition"]) == (masked.binding["id"], "masked-keys", "completed")
    assert record["reference"] == "masked"
    with masked.talk(A, C):  # A's own call needs no extension, and is not answered before C is
        pass


@pytest.mark.parametrize("mode", ["axb", "axyb"])
def test_a_pin_makes_a_phone_that_is_not_known_a_party(lab: Lab, stage: Stage, mode: str) -> None:
    a_pin, b_pin = pin(), pin()
    masked = Masked(stage, 2, {"unknown": "pin"}, mode=mode, a_pin=a_pin, b_pin=b_pin)
    far = str(masked.binding["y"] or masked.x)
    with masked.talk(C, B, masked.x, far, keys=[a_pin + "#"], prompt="pin"):
        pass
    with masked.talk(C, A, far, masked.x, keys=[b_pin + "#"], prompt="pin"):
        pass
    with masked.talk(A, B, masked.x, far):
        pass
    text = kept(lab, stage)
    assert not [secret for secret in (a_pin, b_pin) if secret in text]


def test_three_wrong_pins_end_the_call_and_six_lock_the_caller_out(lab: Lab, stage: Stage) -> None:
    right, wrong = pin(), pin()
    masked = Masked(stage, 1, {"unknown": "pin"}, a_pin=right)
    for _ in range(2):
        here = masked.dial(STRANGER)
        masked.key_in(STRANGER, here, "pin", [wrong + "#"] * 3)
        masked.hears(STRANGER, here, "wrong-key", masked.hears(STRANGER, here, "pin") + 1.0)
        assert over(masked, STRANGER, here)["ended_by"] == "pbx"
        assert call_to(masked)["disposition"] == "rejected"
    told = masked.refused(STRANGER, "403")  # not answered: it is told in early media
    assert heard(over(masked, STRANGER, told), lab.prompt("locked")) > 0.3
    assert masked.phones.calls(B, shown=masked.x) == []
    with masked.talk(C, B, keys=[right + "#"], prompt="pin"):  # others are listened to
        pass
    found = [one["action"] for one in stage.get("/v1/audit?limit=200")["items"]]
    assert "masking.wrong_key" in found
    assert "masking.locked" in found
    text = kept(lab, stage)
    assert not [secret for secret in (right, wrong) if secret in text]


def test_who_lets_go_while_asked_has_canceled_and_rings_nobody(stage: Stage) -> None:
    masked = Masked(stage, mode="axe")
    here = masked.dial(C)
    masked.hears(C, here, "extension")
    masked.phones.press(here["call_id"], "9")
    masked.phones.hang_up(here["call_id"])
    over(masked, C, here)
    record = call_to(masked)
    assert (record["disposition"], record["hangup_by"], len(record["legs"])) == ("canceled", "caller", 1)
    assert masked.phones.calls(A, shown=masked.x) == []


def test_the_other_side_that_is_not_to_be_had_is_told_of_and_not_charged_for_long(stage: Stage) -> None:
    masked = Masked(stage, mode="axe", a=stage.lab.number("busy"), b=None)
    here = masked.dial(C)
    masked.key_in(C, here, "extension", [masked.binding["extension"]])
    masked.hears(C, here, "not-available")
    over(masked, C, here)
    assert call_to(masked)["disposition"] == "busy"
