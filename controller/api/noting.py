"""What the audit log gets to know of a request: who, what, on which resource, with which result; nothing that was sent.

A request that changes something carries a note (``controller.audit``) that its own transaction takes along.  A refusal (401 and
403 of any request, every 4xx and 5xx of one that would change something) goes to the journal.
"""

import re
from collections.abc import MutableMapping
from typing import Any

import msgspec

from controller.api.ids import new_id
from controller.audit import Note, Row, open_note
from controller.ports import Clock
from controller.services.journal import NOBODY, Entry, Journal

CHANGING = frozenset(("POST", "PUT", "PATCH", "DELETE"))
WORTH_KNOWING = (401, 403)
_ID = re.compile(r"[a-z]{2,5}_[0-9A-Z]{26,30}")
_NAME = re.compile(r"(?!.*[0-9]{5})[a-z][a-z0-9_-]{0,39}")
"""Names of ours may hold a digit or two; what may be a number is left out."""
_RESOURCE = re.compile(r"/v1/([a-z]{1,20})(?:/|$)")
Scope = MutableMapping[str, Any]


class Noter:
    """Takes notes of requests."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock

    def begin(self, scope: Scope, request_id: str | None) -> Note | None:
        """A note for a request that may change something.  ``request_id``: one of ours, not one that came with it."""
        if scope["method"] not in CHANGING or not scope["path"].startswith("/v1/"):
            return None
        at = self._clock.now()
        mine = new_id(at)
        done = msgspec.json.encode({"result": "done", "request_id": request_id}).decode()

        def make(target: str) -> Row | None:
            who, route = scope.get("who"), scope.get("route")
            if who is None or route is None:
                return None
            return mine, who.tenant, at, "key_" + who.key, action_of(scope), target or target_of(scope), done

        return open_note(make)

    async def before_answer(self, note: Note) -> None:
        """The request succeeded: its entry is there before anybody hears of it."""
        row = note.row()
        if row is not None:
            await self._journal.now(row)
            note.written = True

    def refused(self, scope: Scope, status: int, request_id: str | None) -> None:
        """The request was refused or failed."""
        if status not in WORTH_KNOWING and scope["method"] not in CHANGING:
            return
        who = scope.get("who")
        data = {"result": "refused" if status < 500 else "failed", "status": status, "code": scope.get("problem")}
        if status == 401 and (client := scope.get("client")):
            data["address"] = client[0]
        tenant, actor = (who.tenant, "key_" + who.key) if who else (NOBODY, "")
        self._journal.later(Entry(tenant, actor, action_of(scope), target_of(scope), data, request_id))


def action_of(scope: Scope) -> str:
    """Method and path, as far as that is ours: the route's template, or the resource of one that was not looked up."""
    route = getattr(scope.get("route"), "path", None)
    if route is None:
        found = _RESOURCE.match(scope["path"])
        route = f"/v1/{found[1]}" if found else "/v1/"
    method = scope["method"]
    return f"{method if method in CHANGING or method == 'GET' else 'OTHER'} {route}"


def target_of(scope: Scope) -> str:
    """The id or name in the path that says most; empty for what is neither."""
    for value in reversed(list(scope.get("path_params", {}).values())):
        if isinstance(value, str) and (_ID.fullmatch(value) or _NAME.fullmatch(value)):
            return value
    return ""
