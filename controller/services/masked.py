"""Calls to X numbers: a resolver of ``arrivals``, and the book in which extensions and PINs are looked up.

The binding is looked up in the database when the call comes, by its index, and not in a copy: a copy could connect a call
through a binding that was released a moment ago on another machine.  A call that cannot be decided is refused."""

from collections.abc import Callable
from typing import Any, Protocol

from controller.core import ids
from controller.core.call import Call
from controller.core.causes import REFUSED
from controller.core.masking import AskFor, Binding, Connect, Decision, Dialled, Guard, Guards, Hit, Refuse, Tried, Try, route
from controller.core.verbs import LookUp
from controller.ports import Clock
from controller.services.arrivals import Arrival, Refusal, Taken
from controller.services.journal import OURSELVES, Entry
from controller.services.lookups import Answer

THROUGH, TOLD, ASKED = "masked", "masked-told", "masked-keys"
"""The flows: of a call that is connected, of one that is told something, and of one that is answered and asked for keys."""
LOCKED = "locked"
"""The prompt for those who are locked out."""
NOT_WANTED, NOBODY = Refusal(REFUSED["rejected"]), Refusal(REFUSED["unreachable"])


class Store(Protocol):
    """What is asked of the bindings for a call."""

    async def dialled(self, x: str, caller: str) -> tuple[Dialled, list[Hit]] | None:
        """An X with the claims that fit the caller; None for a number that is none."""

    async def called(self, binding_id: str, now: int) -> Binding | None:
        """A call goes through; None when the binding has ended."""


class WrongKeys(Protocol):
    """What was keyed in, and what too often was wrong."""

    async def tried(self, one: Try, guards: Guards) -> Tried:
        """Look up what was keyed in.  Asked again it is the same try.  Raises NotSaved."""

    async def locked(self, tenant: str, x: str, caller: str, now: int, guards: Guards) -> Guard | None:
        """The guard that lets this caller try nothing on this X."""


class MaskedCalls:
    """``blocked``: whether a tenant's own list refuses a number; ``note``: takes entries for the audit log."""

    def __init__(
        self,
        store: Store,
        wrong_keys: WrongKeys,
        clock: Clock,
        blocked: Callable[[str, str], bool],
        guards: Guards,
        note: Callable[[Entry], None],
    ) -> None:
        self._store, self._wrong_keys, self._clock, self._blocked = store, wrong_keys, clock, blocked
        self._guards, self._note = guards, note

    async def __call__(self, arrival: Arrival) -> Taken | Refusal | None:
        """What is to be done with a call; None when it is not to an X."""
        found = await self._store.dialled(arrival.called, arrival.caller)
        if found is None and arrival.called.startswith("+"):  # an X that has no E.164 form
            found = await self._store.dialled(arrival.called[1:], arrival.caller)
        if found is None:
            return None
        now, tenant = self._clock.now(), found[0].tenant
        decision = route(*found, arrival.caller, now, blocked=self._blocked(tenant, arrival.caller))
        if isinstance(decision, Connect):
            binding = await self._store.called(decision.binding.id, now)
            return NOT_WANTED if binding is None else _through(decision)
        if isinstance(decision, AskFor):
            return await self._asked(decision, found[0], arrival, now)
        return _refused(decision, tenant)

    async def _asked(self, decision: AskFor, dialled: Dialled, arrival: Arrival, now: int) -> Taken:
        """A call that is to be answered and asked for keys; who has guessed too often is told before any answer."""
        tenant, x = dialled.tenant, dialled.number
        guard = await self._wrong_keys.locked(tenant, x, arrival.caller, now, self._guards)
        if guard is not None:
            self._audit("masking.locked", tenant, ids.call_of(arrival.leg), guard)
            return Taken(tenant, TOLD, {"prompt": LOCKED}, "masked")
        asked = {"x": x, "key": decision.what, "prompt": decision.prompt or decision.what}
        return Taken(tenant, ASKED, asked, "masked")

    async def keyed(self, call: Call, verb: LookUp) -> Answer:
        """Whom the caller reaches with what was keyed in.  Raises NotSaved."""
        x, what, caller, now = call.vars["x"], call.vars["key"], str(call.vars["caller"]), self._clock.now()
        tried = await self._wrong_keys.tried(Try(verb.id, call.tenant, x, caller, what, verb.keys, now), self._guards)
        if tried.outcome != "found" or tried.dialled is None:
            self._audit("masking." + ("locked" if tried.guard else "wrong_key"), call.tenant, call.id, tried.guard)
            return Answer(tried.outcome)
        blocked = self._blocked(call.tenant, caller)
        decision = route(tried.dialled, tried.hits, caller, now, keyed=True, blocked=blocked)
        if not isinstance(decision, Connect) or await self._store.called(decision.binding.id, now) is None:
            return Answer("refused")
        binding = decision.binding
        return Answer("found", _said(decision), "bind_" + binding.id, binding.reference, binding.metadata)

    def _audit(self, action: str, tenant: str, call_id: str, guard: Guard | None) -> None:
        told = {"result": "refused", **({"guard": guard} if guard else {})}
        self._note(Entry(tenant, OURSELVES, action, "call_" + call_id, told))


def _through(decision: Connect) -> Taken:
    binding, otherwise, flow, said = decision.binding, decision.rules.otherwise, THROUGH, _said(decision)
    if otherwise is not None:
        dialled = binding.y if binding.y and decision.way == "b_to_a" else binding.x
        flow, said = otherwise["flow"], {**otherwise["variables"], **said, "called": dialled}
    return Taken(binding.tenant, flow, said, "masked", "bind_" + binding.id, binding.reference, binding.metadata)


def _said(decision: Connect) -> dict[str, Any]:
    rules = decision.rules
    variables = {
        "callee": decision.to,
        "callee_display": decision.display,
        "announce": rules.announce,
        "ring_timeout_s": rules.ring_timeout_s,
        "record": rules.record,
        "max_duration_s": rules.max_duration_s,
    }
    return {name: value for name, value in variables.items() if value is not None}


def _refused(decision: Decision, tenant: str) -> Taken | Refusal:
    """A call that reaches nobody."""
    if isinstance(decision, Refuse) and decision.why == "no_callee":
        return Refusal(NOBODY.cause, decision.why)
    if isinstance(decision, Refuse) and decision.prompt is not None:
        return Taken(tenant, TOLD, {"prompt": decision.prompt}, "masked", why=decision.why)
    return Refusal(NOT_WANTED.cause, decision.why if isinstance(decision, Refuse) else "")
