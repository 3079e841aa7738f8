"""An agent is removed by a request to another controller on the same database, of which nobody tells us."""

from controller.store.database import Database
from tests.services.test_agents import Desk
from tests.services.test_scheduler import db  # noqa: F401


async def test_an_agent_whom_another_controller_removed_is_missed_within_seconds(db: Database) -> None:  # noqa: F811
    """The other controller tells us nothing; whoever waits for anybody, or for another agent, waits on."""
    desk = Desk(db)
    bob, ann = await desk.agent("bobby", "away"), await desk.agent("ann", "away")
    mine, hers, any_one = await desk.ask(1, bob), await desk.ask(2, ann), await desk.ask(3)
    await desk.agents.round()
    await db.agents.remove("x", bob, 1)
    await desk.agents.round()  # it was asked just now
    desk.queue.clock.seconds += 1
    await desk.agents.round()
    await desk.queue.calls.drain()
    over = await db.calls.get(mine)
    assert over is not None
    assert (over.disposition, over.hangup_by, over.legs) == ("failed", "platform", ())
    assert (desk.agents.length("x"), len(desk.queue.scheduler)) == (2, 2)
    assert [desk.queue.scheduler.position(call) for call in (hers, any_one)] == [(1, 0), (1, 0)]
