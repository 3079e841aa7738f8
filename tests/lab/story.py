"""One callback as a test tells it: what is asked, what the phones do, and what must be true of it in the end, whatever came."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Self

from controller.lab.phones.client import Call, Phones
from tests.lab.far_end import BROKE_OFF_S, A, B, heard, unsaid
from tests.lab.masked import check_masked
from tests.lab.receiver import Fact
from tests.lab.stage import Stage

TRUE_MS = 500  # how far a time in a record may be from what a phone noted: two programs on a busy machine
WITHIN_S = 40.0  # the machine may be busy with other things
LEG_FACTS = ("call.leg.dialing", "call.leg.ringing", "call.leg.answered", "call.leg.ended")


class Story:
    """A callback with a caller, a callee and a display number for each."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.lab, self.name = stage, stage.lab, name
        self.phones = Phones(self.lab.description["ports"]["phones_control"], timeout_s=WITHIN_S)
        self.id = ""
        self.numbers: dict[str, str] = {}
        self.displays: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.phones.close()

    # --- what the business does

    def begin(self, caller: str = A, callee: str = B, **asked: Any) -> Self:
        """Post the callback."""
        self.numbers = {"caller": caller, "callee": callee}
        self.displays = {"caller": self.stage.display(), "callee": self.stage.display()}
        status, answer = self.stage.patiently("POST", "/v1/callbacks", self.body(**asked))
        assert status == 202, answer
        assert answer["status"] == "queued"
        self.id = answer["id"]
        return self

    def body(self, **more: Any) -> dict[str, Any]:
        """What is posted."""
        shown = {f"{name}_display": number for name, number in self.displays.items()}
        return {**self.numbers, **shown, "reference": self.name, "metadata": {"story": self.name}, **more}

    def cancel(self, unless: str = "") -> tuple[bool, list[str], str | None]:
        """Give it up: whether it was, the legs that were dropped, or why it was kept."""
        status, answer = self.stage.ask("DELETE", f"/v1/callbacks/{self.id}" + (f"?unless={unless}" if unless else ""))
        assert status == 200, answer
        return answer["canceled"], answer["dropped"], answer["kept_because"]

    def act(self, action: str, **more: Any) -> tuple[int, Any]:
        """An action on the live call: status and answer."""
        return self.stage.ask("POST", f"/v1/calls/{self.id}/actions", {"action": action, **more})

    def must(self, action: str, **more: Any) -> None:
        """An action that is possible now."""
        status, answer = self.act(action, **more)
        assert status == 202, answer

    def status(self) -> str:
        """Where the call is now."""
        status: str = self.stage.get(f"/v1/callbacks/{self.id}")["status"]
        return status

    # --- what the business is told

    def until(self, kind: str, leg: str | None = None, within_s: float = WITHIN_S) -> Fact:
        """Wait for a fact."""
        facts = self.stage.receiver.wait_for(self.id, lambda facts: any(_is(fact, kind, leg) for fact in facts), within_s)
        return next(fact for fact in facts if _is(fact, kind, leg))

    # --- what the phones do

    def calls(self, leg: str) -> list[Call]:
        """What the phone of a leg saw of this story: no more than one call, or it rang twice."""
        return self.phones.calls(self.numbers[leg], shown=self.displays[leg])

    def wait(self, leg: str, there: Callable[[Call], bool], within_s: float = WITHIN_S) -> Call:
        """The call at the phone of a leg, as soon as ``there(call)``."""
        of_leg = {"number": self.numbers[leg], "shown": self.displays[leg]}
        return self.phones.wait_for(lambda calls: bool(calls and there(calls[0])), timeout_s=within_s, **of_leg)[0]

    def invited(self, leg: str) -> Call:
        """The call at the phone of a leg, once its INVITE is there."""
        return self.wait(leg, lambda _call: True)

    def hears(self, leg: str, hz: int, for_s: float = 0.2, after: float = 0.0) -> Call:
        """Wait until the phone of a leg has heard a tone so long since a moment (Unix seconds)."""
        return self.wait(leg, lambda call: heard_after(call, hz, after) >= for_s)

    def hears_no_more(self, leg: str, hz: int, for_s: float = 0.5) -> None:
        """Wait until the phone of a leg goes on hearing (packets come), and a tone is not there any more."""
        self.wait(leg, lambda call: time.time() - last_heard(call, hz) >= for_s and call["ended_at"] is None)

    def talk(self) -> tuple[Call, Call]:
        """Wait until the two are bridged and each hears the other."""
        self.until("call.bridged")
        caller = self.hears("caller", self.lab.tone(self.numbers["callee"]))
        callee = self.hears("callee", self.lab.tone(self.numbers["caller"]))
        return caller, callee

    def hang_up(self, leg: str) -> float:
        """The phone of a leg sends its BYE; when (Unix seconds) it did."""
        self.phones.hang_up(self.invited(leg)["call_id"])
        ended_at: float = self.wait(leg, lambda call: call["ended_at"] is not None)["ended_at"]
        return ended_at

    def answer(self, leg: str) -> None:
        """The phone of a leg, which rings, is picked up."""
        self.phones.answer(self.invited(leg)["call_id"])

    def reject(self, leg: str) -> None:
        """The phone of a leg, which rings, says 603."""
        self.phones.reject(self.invited(leg)["call_id"])

    # --- the end

    def ended(self, within_s: float = WITHIN_S, hung: bool = False) -> "Ended":
        """Wait for the end, and check what must be true of every call that has ended.  ``hung``: its PBX has died, and no phone
        was told."""
        facts = self.stage.receiver.wait_for(self.id, lambda facts: any(_is(f, "cdr.created") for f in facts), within_s)
        end = Ended(self, self.stage.get(f"/v1/callbacks/{self.id}"), self.stage.events(self.id))
        end.check_timeline(facts)
        end.check_record()
        end.check_phones(hung)
        return end


class Ended:
    """A call that is over: its record, its timeline, and what each phone saw."""

    def __init__(self, story: Story, record: dict[str, Any], events: list[Fact]) -> None:
        self.story, self.record, self.events = story, record, events
        self.legs = {leg["name"]: leg for leg in record["legs"]}
        self.at_phone: dict[str, Call] = {}

    @property
    def outcome(self) -> tuple[str, str]:
        """Disposition, and who hung up."""
        return self.record["disposition"], self.record["hangup_by"]

    def leg(self, name: str) -> tuple[int | None, int | None, str]:
        """A leg's SIP status, Q.850 cause and reason."""
        leg = self.legs[name]
        return leg["sip_status"], leg["q850"], leg["cause"]

    def ended_by(self, name: str) -> str:
        """Who ended it as the phone saw it: ``phone`` or ``pbx``."""
        by: str = self.at_phone[name]["ended_by"]
        return by

    def heard(self, name: str, hz: int) -> float:
        """For how many seconds the phone of a leg heard a tone."""
        return heard(self.at_phone[name], hz)

    def prompts(self, name: str) -> list[str]:
        """The prompts that the phone of a leg heard.  One that broke off for a moment, on a busy machine, is one."""
        names = {hz: prompt for prompt, hz in self.story.lab.description["prompts"].items()}
        told: list[str] = []
        over: dict[int, float] = {}
        for sound in sorted(self.at_phone[name]["heard"], key=lambda sound: float(sound["begin"])):
            if sound["hz"] in names and sound["begin"] - over.get(sound["hz"], 0.0) > BROKE_OFF_S:
                told.append(names[sound["hz"]])
            over[sound["hz"]] = sound["end"]
        return told

    def check_length(self, recorded_s: float) -> None:
        """A recording is as long as the talk, but for what the phones never said."""
        lacks = self.record["bill_s"] - recorded_s
        assert -0.5 < lacks < 0.5 + unsaid(*self.at_phone.values()), (self.record["bill_s"], recorded_s)

    def check_timeline(self, told: list[Fact]) -> None:
        """Gapless from 1, one end, and the business was told the same in the same order."""
        assert [event["sequence"] for event in self.events] == list(range(1, len(self.events) + 1))
        types = [event["type"] for event in self.events]
        assert types[0] == "call.queued"
        assert (types.count("call.ended"), types.count("cdr.created")) == (1, 1), types
        late = {"cdr.created", "recording.stored", "recording.failed", "policy.short_calls"}  # many talks here are very short
        assert set(types[types.index("call.ended") + 1 :]) <= late, types
        for kind in LEG_FACTS:
            legs = [event["data"]["leg_id"] for event in self.events if event["type"] == kind]
            assert len(legs) == len(set(legs)), (kind, types)
        assert told == self.events[: len(told)]
        assert {(event["call_id"], event["reference"]) for event in self.events} == {(self.story.id, self.story.name)}
        assert self.story.stage.receiver.forged == []

    def check_record(self) -> None:
        """The CDR that was told is the one that is kept, and says what the last facts said."""
        told = next(event["data"] for event in self.events if event["type"] == "cdr.created")
        kept = {name: self.record[name] for name in told if name != "recordings"}
        assert kept == {name: value for name, value in told.items() if name != "recordings"}
        assert self.record["status"] == "ended"
        assert self.record["metadata"] == {"story": self.story.name}
        for leg in self.record["legs"]:
            times = [leg[name] for name in ("dialed_at", "ringing_at", "answered_at", "ended_at")]
            known = [moment for moment in times if moment]
            assert known == sorted(known), leg
            assert leg["ended_at"], leg
        assert (self.record["bill_s"] > 0) <= (self.record["bridged_at"] is not None)

    def check_phones(self, hung: bool = False) -> None:
        """Each phone rang once at most, is on the hook again, and saw nothing but its display number."""
        for name, leg in self.legs.items():
            calls = self.story.phones.calls(leg["number"], shown=leg["display"])
            assert len(calls) <= 1, f"{name} rang {len(calls)} times"
            if calls:
                of_leg = {"number": leg["number"], "shown": leg["display"]}
                over = self.story.phones.wait_for(lambda calls: hung or _is_over(calls[0]), **of_leg)
                self.at_phone[name] = over[0]
                check_masked(over[0], leg["number"], leg["display"], self.story.stage.numbers())


def heard_after(call: Call, hz: int, after: float) -> float:
    """For how many seconds a phone heard a tone since a moment."""
    return sum(max(0.0, sound["end"] - max(after, sound["begin"])) for sound in call["heard"] if sound["hz"] == hz)


def last_heard(call: Call, hz: int) -> float:
    """When (Unix seconds) a phone last heard a tone; 0 if never."""
    return max((sound["end"] for sound in call["heard"] if sound["hz"] == hz), default=0.0)


def off_ms(told: str, seen: float) -> float:
    """How far a time in a record is from one that a phone noted."""
    return abs(datetime.fromisoformat(told).timestamp() - seen) * 1000


def _is_over(call: Call) -> bool:
    """A phone that never said a word is told of no end: before a provisional response there is no CANCEL (RFC 3261, 9.1)."""
    return call["ended_at"] is not None or not call["sent"]


def _is(fact: Fact, kind: str, leg: str | None = None) -> bool:
    return fact["type"] == kind and leg in (None, fact["data"].get("leg"))
