"""Looking things up for a tenant: another tenant's, and what has no such id, are both simply not there."""

from controller.api.fields import bare
from controller.api.house import House
from controller.api.problems import Problem
from controller.core.call import Call


async def find_call(house: House, tenant: str, call_id: str, kind: str | None = None) -> Call:
    """The freshest state of a call.  Raises Problem."""
    found = bare("call_", call_id)
    call = None
    if found is not None:
        call = house.desk.live_call(found) or await house.database.calls.find(tenant, found)
    if call is None or call.tenant != tenant or (kind is not None and call.kind != kind):
        raise Problem("not_found", "there is no such " + (kind or "call"))
    return call
