"""`patchbay policy` and `patchbay list`: what they do, what they print, how they end."""

import re
from pathlib import Path

import pytest

from controller.config import load
from controller.config_policy import Policy
from tests.cli.conftest import Run
from tests.house import CALLEE, SHOWN, Standing

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_explain_shows_every_rule_and_says_why(shared: Standing, run: Run) -> None:
    fine = await run("policy", "explain", SHOWN, CALLEE)
    assert (fine.code, fine.out.strip().splitlines()[-1]) == (0, "allowed")
    for rule in ("emergency", "do_not_call", "allow_list", "calling_hours", "spend", "route"):
        assert rule in fine.out
    premium = await run("policy", "explain", SHOWN, "+19005551234")
    assert premium.code == 0
    assert "refused: destination_blocked (rule kind): premium numbers are not allowed" in premium.out
    told = (await run("policy", "explain", SHOWN, "911", "--json")).json
    assert (told["allowed"], told["code"]) == (False, "emergency_blocked")
    night = await run("policy", "explain", SHOWN, CALLEE, "--at", "2026-01-31T10:00:00Z", "--tenant", "main", "--json")
    assert night.json["at"] == "2026-01-31T10:00:00.000Z"
    assert (await run("policy", "explain", SHOWN, CALLEE, "--at", "noon")).code == 1
    assert (await run("policy", "explain", SHOWN, CALLEE, "--tenant", "nobody")).code == 3


async def test_the_policy_is_set_shown_and_set_back(run: Run) -> None:
    changed = await run(
        "policy", "set", "--calls-per-callee", 7, "--hours", "09:00-20:30", "--days", "mon-fri", "--minutes-per-day", 600,
        "--allow-kind", "premium", "--json",
    )  # fmt: skip
    assert changed.code == 0, changed.err
    assert changed.json["hours"] == {"open": "09:00", "close": "20:30", "days": ["mon", "tue", "wed", "thu", "fri"]}
    assert (changed.json["calls_per_callee_24h"], changed.json["allow_kinds"]) == (7, ["premium"])
    shown = (await run("policy", "show")).out
    for text in ("7 in 24 h", "09:00 to 20:30 by the callee's clock, mon, tue, wed, thu, fri", "600; used today"):
        assert text in shown
    back = await run("policy", "set", "--hours", "always", "--calls-per-callee", "none", "--reset", "minutes_per_day", "--json")
    assert (back.json["hours"], back.json["calls_per_callee_24h"], back.json["minutes_per_day"]) == (None, None, None)
    await run("policy", "set", "--allow-kind", "none")
    assert (await run("policy", "show", "--json")).json["allow_kinds"] == []


@pytest.mark.parametrize(
    "words",
    [(), ("--minutes-per-day", "many"), ("--days", "mon"), ("--hours", "09:00-20:00", "--days", "someday"), ("--reset", "all")],
)
async def test_a_change_that_makes_no_sense_is_a_fault_of_usage(run: Run, words: tuple[str, ...]) -> None:
    assert (await run("policy", "set", *words)).code == 2


async def test_a_spend_cap_without_rates_is_refused_by_name(run: Run) -> None:
    answer = await run("policy", "set", "--spend-per-day", 5, "--json")
    assert (answer.code, answer.json["param"]) == (1, "spend_per_day")


async def test_the_kill_switch_goes_on_and_off(run: Run) -> None:
    stopped = await run("policy", "stop", "--reason", "fraud", "--end-calls")
    assert "STOPPED of this tenant since" in stopped.out
    assert "fraud" in stopped.out
    assert (await run("policy", "explain", SHOWN, CALLEE, "--json")).json["code"] == "suspended"
    everyone = (await run("policy", "stop", "--everyone", "--json")).json
    assert everyone["stopped"]["everyone"]
    await run("policy", "go", "--everyone")
    assert "on" in (await run("policy", "go")).out.splitlines()[1]


@pytest.mark.parametrize("page", ["guard-against-toll-fraud.md", "calling-hours.md"])
async def test_the_configuration_on_a_page_loads(page: str, tmp_path: Path) -> None:
    text = (PAGES / page).read_text()
    (block,) = [part for part in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE) if part.startswith("    policy:")]
    path = tmp_path / "patchbay.yaml"
    path.write_text("".join(line[4:] + "\n" for line in block.splitlines()))
    assert load(path).policy != Policy()


async def test_lists_are_filled_shown_and_emptied(run: Run, tmp_path: Path) -> None:
    made = await run("list", "add", "block", "+1212", "--note", "not us", "--json")
    assert (made.code, made.json["note"]) == (0, "not us")
    assert "+1212" in (await run("list", "show", "block")).out
    again = await run("list", "add", "block", "+1212")
    assert (again.code, "number_conflict" in again.err) == (1, True)
    file = tmp_path / "dnc.txt"
    file.write_text("# who asked for it\n+12125550101\n\n+12125550102 # too\n+12125550101\n")
    filled = await run("list", "import", "dnc", file, "--json")
    assert filled.json == {"list": "dnc", "added": 2, "there": 1}
    file.write_text("+12125550103\nnobody\n")
    bad = await run("list", "import", "dnc", file)
    assert (bad.code, "line 2" in bad.err, "1 were added before" in bad.err) == (1, True, True)
    assert (await run("list", "remove", "dnc", "+12125550101")).code == 0
    assert (await run("list", "remove", "dnc", "+12125550101")).code == 3
    assert (await run("list", "remove", "block", made.json["id"])).code == 0
    assert (await run("list", "remove", "block", "1212")).code == 2
