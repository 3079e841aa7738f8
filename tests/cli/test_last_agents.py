"""`patchbay number last-agent`, as its how-to page shows it, against a running house."""

import pytest

from tests.api.test_last_agents import spoken
from tests.cli.conftest import Run
from tests.cli.test_docs_access import shown
from tests.house import CALLEE, Standing

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_it_is_shown_and_forgotten(run: Run, shared: Standing) -> None:
    path, agent, call = await spoken(shared, "+14155550987")
    number = path.split("/")[3]
    show, forget = (line.split()[1:] for line in shown("last-agent-and-escalation.md", "last-agent num_")[0].splitlines())
    show, forget = ([number if word.startswith("num_") else word for word in words] for words in (show, forget))
    show, forget = ([CALLEE if word.startswith("+") else word for word in words] for words in (show, forget))
    found = await run(*show, "--json")
    assert (found.json["agent_id"], found.json["call_id"]) == (agent, call)
    assert agent in (await run(*show)).out
    assert CALLEE not in found.out
    assert (await run(*forget, "--json")).json == {"id": number, "forgotten": True}
    assert (await run(*show)).code == 3
    assert (await run("number", "last-agent", number, "nobody")).code != 0
