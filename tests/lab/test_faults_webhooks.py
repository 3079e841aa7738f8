"""Faults: the business's receiver is down, slow, says 500 or hangs up.  Once it is back it is told everything, in order."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.lab.doomed import Doomed
from tests.lab.receiver import Mood, Receiver

MOODS: tuple[Mood, ...] = ("wrong", "slow", "closed")
TRIES = 3


@pytest.fixture
def receivers(doomed: Doomed) -> Iterator[dict[str, Receiver]]:
    """A receiver for each mood, and one that will be down; all are fine at first."""
    with ExitStack() as all_of_them:
        found = {}
        for name in (*MOODS, "down"):
            receiver = found[name] = all_of_them.enter_context(Receiver(slow_s=3.0))
            receiver.secret = doomed.subscribe(receiver)
        yield found
        for webhook in doomed.get("/v1/webhooks")["items"]:
            if webhook["url"] != doomed.receiver.url:
                assert doomed.ask("DELETE", f"/v1/webhooks/{webhook['id']}")[0] == 204


def test_a_receiver_that_was_away_is_told_everything_in_order_and_holds_up_nobody(
    doomed: Doomed, receivers: dict[str, Receiver]
) -> None:
    with ExitStack() as stories:
        before, during, killed = (stories.enter_context(doomed.story(name)) for name in ("before", "during", "killed in it"))
        before.begin()
        before.talk()
        for mood in MOODS:
            receivers[mood].mood = mood
        receivers["down"].down()
        before.hang_up("callee")
        during.begin(callee=doomed.lab.number("hangup_early"), record=True)
        killed.begin(callee=doomed.lab.number("hangup_early"))
        told = {story.id: story.ended().events for story in (before, during)}  # the one that is fine hears it all at once
        during.until("recording.stored")
        with doomed.without("controller"):
            pass
        killed.ended()
        for mood in MOODS:
            receivers[mood].wait_until_refused(TRIES, 30)
        for mood in MOODS:
            receivers[mood].mood = "fine"
        receivers["down"].up()
        for story in (before, during, killed):
            told[story.id] = doomed.events(story.id)
            for name, receiver in receivers.items():
                facts = receiver.wait_for(story.id, lambda facts, last=told[story.id][-1]: last in facts, 60)
                assert facts == told[story.id], (name, story.name)
                assert receiver.forged == []


def test_what_was_told_can_be_had_again(doomed: Doomed, receivers: dict[str, Receiver]) -> None:
    receiver = receivers["wrong"]
    webhook = next(item for item in doomed.get("/v1/webhooks")["items"] if item["url"] == receiver.url)
    with doomed.story("again") as story:
        events = story.begin(callee=doomed.lab.number("busy")).ended().events
        receiver.wait_for(story.id, lambda facts: len(facts) == len(events), 30)
        status, answer = doomed.ask("POST", f"/v1/webhooks/{webhook['id']}/replay", {"call_id": story.id})
        assert (status, answer) == (202, {"calls": 1})
        receiver.wait_for(story.id, lambda _: len(receiver.came(story.id)) >= 2 * len(events), 30)
        assert receiver.came(story.id) == events * 2
        assert receiver.forged == []
