"""The bench of what a masked call's decision adds runs, at a small size, on a real Asterisk."""

from controller.bench import inbound


async def test_calls_of_both_kinds_reach_the_callee() -> None:
    told: list[str] = []
    added = await inbound.bench(3, told.append)
    assert told == ["3 calls of each kind"]
    assert (len(added.static), len(added.masked)) == (3, 3)
    assert all(took > 0 for took in (*added.static, *added.masked))
    shown = added.plain()
    assert shown["calls"] == 3
    assert shown["added_p50"] == shown["masked_p50"] - shown["static_p50"]
    assert inbound.table(inbound.Load(), [added]).row_count == 1
