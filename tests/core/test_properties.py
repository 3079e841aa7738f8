"""OP3: the laws of ``decide``, over random events in random order, doubled and left out."""

import copy
import dataclasses
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import events as ev
from controller.core import ids
from controller.core.acts import ACTS
from controller.core.call import DISPOSITIONS, Call, CallStatus, LegState
from controller.core.decide import decide
from controller.core.draft import Decision
from tests.core.story import CALL, CALLBACK, T0, Story, flow

MENU = flow(
    """
    start: caller
    defaults: {callee: "+14155550102"}
    nodes:
      caller: {dial: caller, show: $caller_display, answered: menu, busy: caller, else: end}
      menu: {ask: caller, say: menu, most: 2, 1: callee, 2: open, digits: menu, timeout: end, else: menu}
      open: {if: $x, then: callee, else: menu}
      callee: {connect: callee, from: caller, show: $x, ring: 5s, record: true, parted: menu, lost: end, else: sorry}
      sorry: {play: caller, say: sorry, done: menu}
    """
)
TO = {"to": "+14155550103", "display": "+14155550120"}


class Law:
    """A call under test: checks every decision against the laws."""

    def __init__(self, story: Story) -> None:
        self.flow = story.flow
        self.call = story.call
        self.now = T0
        self.asked: Counter[str] = Counter()
        self.ends = 0
        self._heed(Call(CALL, "acme", "callback", "f", "v", T0), Decision(story.call, (), tuple(story.facts)), None)

    def hear(self, event: ev.Event) -> None:
        before = self.call
        kept = copy.deepcopy(before)
        decision = decide(self.flow, before, event)
        assert before == kept, "the input was changed"
        assert decision == decide(self.flow, kept, event), "not the same decision twice"
        self.call = decision.call
        self._heed(before, decision, event)

    def _heed(self, before: Call, decision: Decision, event: ev.Event | None) -> None:
        call = decision.call
        assert vars(call).keys() == {field.name for field in dataclasses.fields(Call)}
        assert [fact.sequence for fact in decision.facts] == list(range(before.sequence + 1, call.sequence + 1))
        assert call.status >= before.status
        assert [leg.id for leg in call.legs][: len(before.legs)] == [leg.id for leg in before.legs]
        for old, new in zip(before.legs, call.legs, strict=False):
            assert new.state >= old.state, "a leg moved backward"
            assert old.live or (new.ended_at, new.why) == (old.ended_at, old.why), "a leg ended twice"
        self._heed_verbs(before, decision, event)
        self._heed_end(before, decision)
        if isinstance(event, ev.Deadline) and call.due_at is not None:
            assert call.due_at > event.at, "a deadline that comes again at once"
        if call.started_at is not None and not call.ended:
            assert call.due_at is not None, "a call that waits for nothing"

    def _heed_verbs(self, before: Call, decision: Decision, event: ev.Event | None) -> None:
        call = decision.call
        live = {leg.id for leg in call.live_legs}
        for step in call.steps:
            assert step.leg in live
            assert step.id == step.verb.id
        for verb in decision.verbs:
            assert verb.leg in live or not verb.rings
            self.asked[verb.id] += 1
            if verb.rings and self.asked[verb.id] > 1:
                step = before.step(verb.id)
                assert verb.kind == "Connect"
                assert step is not None
                assert step.state == "sending"
                assert isinstance(event, ev.LegHeld)
                assert event.step != verb.id, "a connect that began was asked for again"
        rung = Counter(getattr(verb, "far", verb.leg) for verb in {v.id: v for v in decision.verbs}.values() if verb.rings)
        assert all(times == 1 for times in rung.values()), "one decision rings a leg twice"

    def _heed_end(self, before: Call, decision: Decision) -> None:
        call, kinds = decision.call, [fact.type for fact in decision.facts]
        self.ends += kinds.count("call.ended")
        assert self.ends == (1 if call.ended else 0)
        if before.ended:
            assert not decision.verbs
            assert all(kind.startswith("recording.") for kind in kinds)
            assert dataclasses.replace(call, recordings=before.recordings, sequence=before.sequence) == before
        if call.ended:
            assert all(leg.state is LegState.ended for leg in call.legs)
            assert call.steps == ()
            assert call.due_at is None
            assert call.disposition in DISPOSITIONS
            assert call.hangup_by in ("caller", "callee", "platform")
            assert all(recording.state in ("stopped", "stored", "failed") for recording in call.recordings)
            if not before.ended:
                assert kinds[-2:] == ["call.ended", "cdr.created"]

    def brought_to_an_end(self) -> None:
        """However it stands: with a PBX that does as it is told and the clock alone, the call ends."""
        for _ in range(400):
            if self.call.ended:
                return
            if self.call.status is CallStatus.queued:
                self.hear(ev.Cancel(self.now))
                continue
            assert self.call.due_at is not None
            self.now = max(self.now, self.call.due_at)
            self.hear(ev.Deadline(self.now))
            for step in self.call.steps:
                if step.kind == "Hangup":
                    self.hear(ev.LegEnded(self.now, step.leg, 16, None, "platform"))
        raise AssertionError("this call never ends")


# --- events: what is drawn are numbers, and which leg or verb they mean depends on how far the call is

KEYED = flow(
    """
    start: caller
    defaults: {callee: null}
    nodes:
      caller: {dial: caller, show: $caller_display, answered: pin, else: end}
      pin: {ask: caller, say: menu, most: 4, into: pin, secret: true, repeats: 1, digits: look, timeout: end}
      look: {look_up: bindings, for: caller, keys: $pin, within: 2s, tries: 3, found: callee, again: pin, else: end}
      callee: {connect: callee, from: caller, show: $callee_display, ring: 5s, parted: end, busy: pin, else: end}
    """
)
OUTCOMES = st.sampled_from(["found", "wrong", "locked", "failed", "odd"])
LEG, VERB = st.integers(0, 3), st.integers(0, 6)
AFTER = st.sampled_from([0, 1, 10, 1000, 60_000, -50])
RESULTS = st.sampled_from(["done", "parted", "unanswered", "digits", "timeout", "failed"])
WHYS = st.sampled_from(["remote", "remote", "timer", "limit", "platform", "lost"])
CODES = st.sampled_from([None, 0, 1, 16, 17, 21, 99])
SIPS = st.sampled_from([None, 200, 404, 408, 486, 487, 603, 999])
WORDS = st.one_of(
    st.tuples(st.sampled_from(["ringing", "early", "answered", "digit", "deadline", "swept", "sent all"]), LEG, AFTER),
    st.tuples(st.just("held"), LEG, AFTER, st.none() | VERB, st.sampled_from(["", "parted", "unanswered"])),
    st.tuples(st.just("ended"), LEG, AFTER, WHYS, SIPS, CODES, st.booleans()),
    st.tuples(st.sampled_from(["joined", "parted"]), LEG, AFTER, LEG),
    st.tuples(st.just("done"), LEG, AFTER, VERB, RESULTS, st.sampled_from(["", "1", "2", "42"])),
    st.tuples(st.sampled_from(["sending", "sent", "refused"]), VERB, AFTER, st.sampled_from(["", "busy", "blocked", "odd"])),
    st.tuples(st.just("found"), VERB, AFTER, OUTCOMES, st.sampled_from(["+14155550102", "", None])),
    st.tuples(st.just("act"), LEG, AFTER, st.sampled_from(sorted(ACTS))),
    st.tuples(st.just("stored"), VERB, AFTER, st.booleans()),
    st.tuples(st.just("act"), LEG, AFTER, st.sampled_from(["transfer", "record", "pause_recording", "stop_recording"])),
    st.tuples(st.just("cancel"), LEG, AFTER, st.sampled_from(["", "ringing", "answered"])),
)
ON: tuple[Any, ...] = ("on", 0, 10)


def meant(call: Call, now: int, word: tuple[Any, ...]) -> list[ev.Event]:
    """The events that a word stands for now."""
    kind, which, after, *rest = word
    at = max(T0, now + after)
    leg, verb = ids.leg_id(CALL, which + 1), ids.verb_id(CALL, which + 1)
    match kind:
        case "on":
            return _on(call, at)
        case "ringing" | "early" | "answered":
            kinds = {"ringing": ev.LegRinging, "early": ev.EarlyMedia, "answered": ev.LegAnswered}
            return [kinds[kind](at, leg)]
        case "digit":
            return [ev.Digit(at, leg, "5")]
        case "deadline":
            return [ev.Deadline(max(now, (call.due_at or now) + after))]
        case "swept":
            return [ev.Swept(at)] if after == 60_000 else []
        case "sent all":
            return [ev.Sent(at, step.id) for step in call.steps]
        case "held":
            step = ids.verb_id(CALL, rest[0] + 1) if rest and rest[0] is not None else ""
            return [ev.LegHeld(at, leg, step, rest[1] if rest else "")]
        case "ended":
            times = (at - 30, at - 20, at - 10) if rest[3] else (None, None, None)
            return [ev.LegEnded(at, leg, rest[2], rest[1], rest[0], *times)]
        case "joined" | "parted":
            return [(ev.LegsJoined if kind == "joined" else ev.LegsParted)(at, leg, ids.leg_id(CALL, rest[0] + 1))]
        case "done":
            return [ev.VerbDone(at, leg, ids.verb_id(CALL, rest[0] + 1), rest[1], rest[2])]
        case "sending" | "sent":
            return [(ev.Sending if kind == "sending" else ev.Sent)(at, verb)]
        case "refused":
            return [ev.Refused(at, verb, "no", rest[0])]
        case "act":
            return [ev.Act(at, rest[0], "", TO if rest[0] == "transfer" else {"prompts": ["x"]})]
        case "found":
            return [ev.Found(at, leg, verb, rest[0], {"callee": rest[1]}, {"callee": "carrier"}, "bind_1")]
        case "stored":
            return [ev.RecordingStored(at, verb, 1, 1, "") if rest[0] else ev.RecordingFailed(at, verb, "none")]
    return [ev.Cancel(at, rest[0])]


def _on(call: Call, at: int) -> list[ev.Event]:
    """What would come next if all went well, so that random calls get far."""
    if call.status is CallStatus.queued:
        return [ev.Start(at, "pbx1", {})]
    found: list[ev.Event] = []
    for step in call.steps:
        found += [ev.Sending(at, step.id), ev.Sent(at, step.id)] if step.state == "todo" else []
        if step.kind == "Part":
            found = [ev.LegHeld(at, step.leg, other.id) for other in call.steps if other.kind == "Connect"]
        elif step.kind == "Dial":
            found += [ev.LegRinging(at, step.leg), ev.LegHeld(at, step.leg)]
        elif step.kind == "Connect":
            far = call.leg(step.verb.far)
            joined = far is not None and far.joined_at is not None
            found += [ev.LegEnded(at, step.verb.far, 16, None, "remote")] if joined else []
            found += [ev.VerbDone(at, step.leg, step.id, "parted")] if joined else [ev.LegsJoined(at, step.leg, step.verb.far)]
        elif step.kind == "LookUp":
            found += [ev.Found(at, step.leg, step.id, "found", {"callee": "+14155550102"}, {"callee": "carrier"})]
        elif step.kind == "Hangup":
            found += [ev.LegEnded(at, step.leg, 16, None, "platform")]
        else:
            found += [ev.VerbDone(at, step.leg, step.id, "digits" if step.kind == "Ask" else "done", "1")]
    return found


MIXED = st.tuples(st.integers(0, 2), WORDS).map(lambda drawn: ON if drawn[0] else drawn[1])
SEQUENCES = st.builds(lambda far, words: [ON] * far + words, st.integers(0, 8), st.lists(MIXED, max_size=30))
STORIES = st.sampled_from([(CALLBACK, {"record": True}), (CALLBACK, {}), (MENU, {"x": "+1"}), (MENU, {"x": None}), (KEYED, {})])


def tell(which: tuple[Any, dict[str, Any]], words: list[tuple[Any, ...]]) -> Law:
    """A call to which all this was said."""
    law = Law(Story(which[0], **which[1]))
    for word in words:
        for event in meant(law.call, law.now, word):
            law.hear(event)
            law.now = max(law.now, event.at)
    return law


@settings(max_examples=800, deadline=None)
@given(STORIES, SEQUENCES)
def test_whatever_is_heard_the_laws_hold(which: tuple[Any, dict[str, Any]], words: list[tuple[Any, ...]]) -> None:
    tell(which, words).brought_to_an_end()


@pytest.mark.soak
@settings(max_examples=100_000, deadline=None)
@given(STORIES, SEQUENCES)
def test_whatever_is_heard_the_laws_hold_for_long(which: tuple[Any, dict[str, Any]], words: list[tuple[Any, ...]]) -> None:
    tell(which, words).brought_to_an_end()


GOOD = [
    ("ringing", 0, 10), ("answered", 0, 10), ("held", 0, 10), ("done", 0, 10, 1, "done", ""), ("ringing", 1, 10),
    ("answered", 1, 10), ("joined", 0, 10, 1), ("ended", 1, 1000, "remote", None, 16, False), ("done", 0, 1, 2, "parted", ""),
    ("ended", 0, 10, "platform", None, 16, False),
]  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.permutations(range(len(GOOD))), st.lists(st.integers(0, len(GOOD) - 1)), st.sets(st.integers(0, len(GOOD) - 1)))
def test_a_good_call_told_in_any_order_with_words_doubled_and_missing(
    order: list[int], twice: list[int], never: set[int]
) -> None:
    law = Law(Story(CALLBACK, record=True))
    law.hear(ev.Start(T0, "pbx1", {}))
    for index in [*order, *twice]:
        if index not in never:
            for step in law.call.steps:
                law.hear(ev.Sending(law.now, step.id))
            for event in meant(law.call, law.now, GOOD[index]):
                law.hear(event)
                law.now = max(law.now, event.at)
    law.brought_to_an_end()


@settings(max_examples=200, deadline=None)
@given(STORIES, SEQUENCES)
def test_when_it_is_given_up_and_all_legs_have_ended_it_is_closed(which: tuple[Any, dict[str, Any]], words: list[Any]) -> None:
    law = tell(which, words)
    law.hear(ev.Cancel(law.now))
    for leg in law.call.live_legs:
        law.hear(ev.LegEnded(law.now, leg.id, 16, None, "platform"))
    assert law.call.ended
