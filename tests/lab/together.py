"""Stories that are played at the same time: far-end tests mostly wait, so they wait together.

    @together
    def test_a_busy_callee_ends_the_call(story: Story) -> None: ...

is an ordinary test to pytest, also with ``parametrize`` above it.  When the first one of a module is asked for, all that were
selected of that module begin at once, each in a thread of its own; each test then waits for its own story and fails with it.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.doomed import Death
from tests.lab.stage import Stage
from tests.lab.story import Story

AT_ONCE = 40


class Crowd:
    """The stories of one module, under way.  Those with a parameter ``death`` share one."""

    def __init__(self, stage: Stage, items: Iterable[pytest.Item]) -> None:
        stories = [item for item in items if is_story(item)]
        self._mortal = [item for item in stories if "death" in parameters_of(item)]
        self._death = Death(stage, len(self._mortal))
        self._pool = ThreadPoolExecutor(max(AT_ONCE, len(self._mortal)), "story")
        others = [item for item in stories if item not in self._mortal]
        played = [*self._mortal, *others]  # those that meet must all have a thread
        self._told = {item.nodeid: self._pool.submit(self._play, item, stage) for item in played}

    def result(self, nodeid: str) -> None:
        """Wait for one story; raises what it raised."""
        self._told[nodeid].result()

    def wait(self) -> None:
        """Until all are over."""
        self._pool.shutdown()

    def _play(self, item: Any, stage: Stage) -> None:
        given = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        mortal = item in self._mortal
        if mortal:
            given["death"] = self._death
        try:
            with Story(stage, item.name) as story:
                item.function.story(story, **given)
        finally:
            if mortal:
                self._death.leave()


def is_story(item: pytest.Item) -> bool:
    """Whether a test is one of those."""
    return hasattr(getattr(item, "function", None), "story")


def parameters_of(item: Any) -> Iterable[str]:
    """What a story takes."""
    return inspect.signature(item.function.story).parameters


def together(tell: Callable[..., None]) -> Callable[..., None]:
    """A test that is played at the same time as the others of its module."""

    @functools.wraps(tell)
    def test(crowd: Crowd, request: pytest.FixtureRequest, **_: Any) -> None:
        crowd.result(request.node.nodeid)

    others = [item for item in inspect.signature(tell).parameters.values() if item.name not in ("story", "death")]
    ours = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("crowd", "request")]
    test.__signature__ = inspect.Signature([*ours, *others])  # type: ignore[attr-defined]
    test.story = tell  # type: ignore[attr-defined]
    return test
