"""Nothing is waited for in vain: what is overdue is asked for again, passed over or ended."""

from controller.core import events as ev
from controller.core.call import CallStatus, changed
from controller.core.draft import GRACE_MS, HANGUP_MS
from controller.core.verbs import Join
from tests.core.story import CALL, A, B, Story


def after_due(story: Story) -> Story:
    due = story.call.due_at
    assert due is not None
    story.hear(ev.Deadline, at=due)
    later = story.call.due_at
    assert later is None or later > due
    return story


def test_a_deadline_before_its_time_changes_nothing() -> None:
    story = Story().bridged()
    before = story.call
    assert story.hear(ev.Deadline).call == before
    assert Story().hear(ev.Deadline).call.status is CallStatus.queued


def test_a_dial_of_which_nothing_is_heard_is_given_up() -> None:
    story = Story().start()
    assert story.call.due_at == story.now + 30_000 + GRACE_MS
    assert after_due(story.sent()).asked[-1] == "Hangup"
    assert story.ended(A, "platform", 487).outcome == ("failed", "platform")


def test_a_hang_up_is_repeated_until_the_leg_is_gone() -> None:
    story = Story().bridged().hear(ev.Cancel).sent()
    for _ in range(5):
        story = after_due(story)
    hangups = [verb for verb in story.verbs if verb.kind == "Hangup"]
    assert len(hangups) == 12
    assert len({verb.id for verb in hangups}) == 2
    assert story.call.due_at == story.call.steps[0].due_at
    assert story.call.steps[0].tries == 5
    assert story.call.steps[0].due_at >= HANGUP_MS
    assert story.over().outcome == ("canceled", "platform")


def test_a_connect_waits_as_long_as_it_rings_and_then_as_long_as_it_may_talk() -> None:
    story = Story(ring_timeout_s={"callee": 45}, max_duration_s=600).calling()
    asked = story.leg(B).dialed_at
    assert asked is not None
    assert story.call.due_at == asked + 45_000 + 6 * GRACE_MS
    story.hear(ev.LegAnswered, B)
    assert story.call.due_at == story.now + 600_000 + 6 * GRACE_MS
    story.hear(ev.LegsJoined, A, B)
    assert story.call.due_at == story.now + 600_000 + 6 * GRACE_MS


def test_a_connect_of_which_nothing_more_is_heard_ends_the_call() -> None:
    assert after_due(Story().ringing()).asked[-2:] == ["Hangup", "Hangup"]


def test_a_far_leg_whose_end_is_never_told_is_lost() -> None:
    story = after_due(Story().bridged().done("parted"))
    assert story.leg(B).why == "lost"
    assert story.over().outcome == ("lost", "platform")


def test_a_result_that_never_comes_is_not_waited_for() -> None:
    story = after_due(Story().ringing().ended(B, "remote", 486, 17))
    assert story.verb("Play").prompts == ("not-available",)


def test_a_prompt_of_which_nothing_is_heard_is_passed_over() -> None:
    assert after_due(Story().caller_up()).asked[-1] == "Connect"


def test_a_small_verb_is_asked_for_a_few_times_and_then_let_be() -> None:
    story = Story().bridged().hear(ev.Act, "mute")
    for _ in range(4):
        story = after_due(story)
    assert story.asked.count("Mute") == 4
    assert [step.kind for step in story.call.steps] == ["Connect"]


def test_two_things_overdue_at_once() -> None:
    story = Story().bridged().hear(ev.Act, "mute").hear(ev.Act, "unmute")
    due = story.call.due_at
    assert due is not None
    story.hear(ev.Deadline, at=due + 100_000)
    assert story.asked[-2:] == ["Mute", "Mute"]


def test_no_call_outlives_its_flows_longest_time() -> None:
    story = Story().bridged()
    assert story.call.until is not None
    story.call = changed(story.call, until=story.now + 60_000)
    assert story.call.due_at == story.now + 60_000
    assert after_due(story).asked[-2:] == ["Hangup", "Hangup"]
    assert story.over().call.due_at is None


def test_a_step_of_an_unknown_kind_that_is_overdue_ends_the_call() -> None:
    story = Story().bridged()
    join = changed(story.call.steps[0], kind="Join", verb=Join(CALL + "0003", A, B))
    story.call = changed(story.call, steps=(join,))
    assert after_due(story).call.ending
