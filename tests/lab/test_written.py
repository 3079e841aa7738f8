"""No number is ever written down: neither the controller's log nor anything of the PBX's bears one, in any notation.

Run after everything else in this folder (it is the last by name), it looks at the logs of the whole run; alone, at those of its
own calls.  The faults' own lab is looked at when it ends.
"""

from contextlib import ExitStack

from tests.lab.stage import Stage, logs, numbers_in_logs, written
from tests.lab.story import Story

PRESSED = "9173"


def test_the_notations_that_are_looked_for() -> None:
    assert written("+14155550101") >= {"14155550101", "4155550101", "415-555-0101", "(415) 555-0101", "555-0101"}


def test_no_log_bears_a_number_or_a_key(stage: Stage) -> None:
    stage.lab.configure(lambda settings: settings.update(log={"level": "debug"}))
    foreign, number = "+4915112345678", stage.lab.number
    with ExitStack() as stories:
        pressed, *others = (
            stories.enter_context(Story(stage, name)) for name in ("pressed", "busy", "not_found", "silent_drop")
        )
        pressed.begin(record=True)
        for story in others:
            story.begin(callee=number(story.name), ring_timeout_s={"callee": 2})
        callee = pressed.talk()[1]
        pressed.phones.press(callee["call_id"], PRESSED)
        pressed.wait("caller", lambda call: PRESSED in call["keys_heard"])
        pressed.hang_up("caller")
        assert pressed.ended().record["keys_pressed"] == PRESSED
        for story in others:
            story.ended()
    refused = {"caller": number("busy"), "callee": foreign, "caller_display": foreign, "callee_display": foreign}
    assert stage.ask("POST", "/v1/callbacks", refused)[0] == 422
    stage.ask("GET", f"/v1/calls?number=%2B{foreign[1:]}")
    assert numbers_in_logs(stage.lab.folder, {*stage.numbers(), foreign}) == []
    controller = (stage.lab.folder / "controller.log").read_text()
    assert len(controller.splitlines()) > 10
    assert f'"{PRESSED}"' not in controller
    assert stage.lab.key not in controller
    assert any(path.name.startswith(("ended-", "Master.csv")) for path in logs(stage.lab.folder))
