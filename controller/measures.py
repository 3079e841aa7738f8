"""Lines of ``/metrics`` that need more than a line to tell."""

from collections.abc import Iterable

from controller.api.house import Measure
from controller.services.asking import RESULTS, Asker
from controller.services.policy import Policy


def of_questions(asker: Asker) -> Iterable[Measure]:
    """Questions to businesses, and those that are left alone."""
    for result in RESULTS:
        yield Measure("patchbay_questions", "counter", "Questions to businesses.", asker.results[result], {"result": result})
    yield Measure("patchbay_questions_under_way", "gauge", "Questions that wait for an answer.", asker.under_way)
    yield Measure("patchbay_breakers_open", "gauge", "Hosts that are not asked for a while.", asker.resting())


def of_policy(policy: Policy) -> Iterable[Measure]:
    """What was refused, and bursts of short calls."""
    for code, count in sorted(policy.refused.items()):
        labels = {"code": code}
        yield Measure("patchbay_policy_refusals", "counter", "Dials and requests that the policy refused.", count, labels)
    alarms = policy.short.alarms.total()
    yield Measure("patchbay_short_call_alarms", "counter", "Bursts of very short calls that raised an alarm.", alarms)
