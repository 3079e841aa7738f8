"""The benches run, at a small size, on a real Asterisk: what they count is there."""

from controller.bench import capacity
from controller.bench.room import Load


async def test_calls_are_held_at_once_and_none_fails() -> None:
    told: list[str] = []
    held = await capacity.hold(Load(rtp=False, record=False), 25, 2, told.append)
    assert (held.most, held.failed) == (25, 0)
    assert 0 < held.setup_p50 <= held.setup_p99
    assert told == ["25 calls at 25/s, each for 3 s"]
    assert held.plain()["wanted"] == 25


async def test_each_request_is_answered() -> None:
    accepted = await capacity.accept(Load(rtp=False, record=False), 50, 1, lambda _text: None)
    assert accepted.answered == 50
    assert (accepted.refused, accepted.failed) == (0, 0)
    assert 0 < accepted.p50 <= accepted.p99
