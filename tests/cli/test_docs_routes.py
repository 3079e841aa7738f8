"""The how-to page about X mode: what it shows is run as it stands."""

import json
import re
import shlex
from typing import Any

import pytest

from controller.services.answers import read, stored
from tests.cli.conftest import Run
from tests.cli.test_docs import example
from tests.cli.test_docs_access import shell, shown
from tests.house import Standing
from tests.services.receiver import Receiver, Reply, Request
from tests.services.test_asking import asker, says

PAGE = "route-calls-yourself.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("data", "action"),
    [
        ({"caller": "+14155550101", "call_number": 1}, "connect"),
        ({"caller": "+14155550109", "call_number": 2}, "announce"),
        ({"caller": None, "call_number": 3}, "connect"),
    ],
)
async def test_the_example_answers_what_is_signed_with_what_can_be_carried_out(data: dict[str, Any], action: str) -> None:
    names: dict[str, Any] = {}
    exec(example(PAGE), names)

    def answers(request: Request) -> Reply:
        status, body = names["route"](request.headers, request.body)
        return says(json.loads(body), status) if body else says(None, status)

    async with asker() as made, Receiver(answers) as business:
        body = json.dumps({"type": "call.route", "data": data}).encode()
        answer = read(await made.ask("t", business.url, (SECRET,), "ask_1", body, 5.0))
        assert stored(answer)["action"] == action
    assert names["route"]({"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}, b"{}")[0] == 400


@pytest.mark.asyncio(loop_scope="session")
async def test_the_commands_and_the_request_make_a_route(run: Run, shared: Standing, tmp_path: Any) -> None:
    secret, add, route = (shlex.split(line)[1:] for line in shown(PAGE, "status-secret")[0].splitlines())
    assert "whsec_" in (await run(*secret)).out
    number = (await run(*add, "--json")).json
    assert (number["kind"], number["route"], number["carries"]) == ("x", None, ["voice"])
    made = await run(*(number["id"] if word.startswith("num_") else word for word in route), "--json")
    assert made.code == 0, made.err
    assert made.json["route"]["url"] == "https://shop.example/route"
    assert made.json["route"]["answer"] == {"action": "reject", "with": "no_answer"}
    request = re.sub(r"num_[0-9A-Z]+", number["id"], shown(PAGE, "curl -X PATCH")[0])
    out = await shell(request, tmp_path, PATCHBAY_API=shared.base, PATCHBAY_API_KEY=shared.key)
    assert json.loads(out)["route"]["answer"] == {"action": "announce", "prompt": "not-available"}
    flow = await run("number", "route", number["id"], "--flow", "nobody-available", "--set", "centre=+14155550102", "--json")
    assert flow.json["route"] == {
        "url": None, "timeout_ms": 700, "window_s": 86_400,
        "answer": {"action": "menu", "flow": "nobody-available", "variables": {"centre": "+14155550102"}},
        "extension": None,
    }  # fmt: skip
    keyed = [word if not word.startswith("num_") else number["id"] for word in shlex.split(shown(PAGE, "--extension 4")[0])[1:]]
    asked = (await run(*keyed, "--json")).json["route"]["extension"]
    assert asked == {"prompt": "extension", "least": 4, "most": 4, "repeats": 2}
    many = ("number", "route", number["id"], "--ask", "https://shop.example/route", "--extension", "2-6")
    asked = (await run(*many, "--extension-prompt", "pin", "--json")).json["route"]["extension"]
    assert asked == {"prompt": "pin", "least": 2, "most": 6, "repeats": 2}
    for wrong in (("--extension", "x"), ("--extension", "2-"), ("--extension", "-3"), ("--extension-prompt", "pin")):
        assert (await run("number", "route", number["id"], "--ask", "https://shop.example/route", *wrong)).code == 2, wrong
    assert (await run("number", "route", number["id"], "--off", "--json")).json["route"] is None
    assert (await run("number", "route", number["id"])).code == 2
    assert (await run("number", "route", number["id"], "--prompt", "a", "--reject", "busy")).code == 2
    assert (await run("number", "route", number["id"], "--set", "a=b")).code == 2
