"""A call goes on with another flow, because a book said so (``Found.flow``).

It keeps its legs and its past; the leg that came in has from then on the name by which the new flow knows it.  Of its variables
it keeps who called whom, and that there were secrets: keys that are pressed late are not noted.
"""

from controller.core import events as ev
from controller.core.call import changed
from controller.core.draft import Draft
from controller.core.flow import Flow
from controller.core.keyed import SECRET
from controller.core.nodes import enter

KEPT = ("caller", "called", SECRET)


def walk(draft: Draft, node: str, event: ev.Found, flow: Flow) -> None:
    """Leave this node for the start of ``flow``, which the call then walks as if it had come in with it."""
    call = draft.call
    draft.tell("flow.node", {"node": node, "outcome": event.outcome})
    for kind, data in event.told:
        draft.tell(kind, data)
    kept = {name: call.vars[name] for name in KEPT if name in call.vars}
    legs = tuple([changed(leg, name=flow.arrives) if leg.arrived and flow.arrives else leg for leg in call.legs])
    draft.change(
        flow=flow.name,
        flow_version=flow.version,
        until=draft.at + flow.longest_ms,
        vars={**kept, **event.vars},
        routes=dict(event.routes),
        legs=legs,
    )
    draft.flow = flow
    enter(draft, flow.start)
