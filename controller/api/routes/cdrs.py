"""``/v1/cdrs``: the records of closed calls, as JSON or CSV."""

import csv
import io
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from controller.api.here import ReadCdrs
from controller.api.paging import PageOut, link_to_next, page
from controller.api.problems import documented
from controller.api.requests import Route
from controller.api.routes.calls import FilterQuery
from controller.api.shapes import CdrOut, Kind
from controller.api.views import cdr_view
from controller.core.call import Call

router = APIRouter(prefix="/v1/cdrs", tags=["cdrs"], route_class=Route)

COLUMNS = (
    "id", "tenant", "kind", "binding_id", "flow", "reference", "metadata", "requested_at", "queued_ms", "bridged_at",
    "ended_at", "ring_s", "bill_s", "disposition", "hangup_by", "keys_pressed", "transcript_id", "recordings",
)  # fmt: skip
LEG_COLUMNS = (
    "name", "number", "display", "node", "dialed_at", "ringing_at", "answered_at", "ended_at", "sip_status", "q850", "cause",
    "answered_by",
)  # fmt: skip
LEGS = 2
"""A row has room for the first leg and the last; `legs` says how many there were."""
_HARMLESS = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?", re.ASCII)


class CdrsQuery(FilterQuery):
    """How the list can be narrowed, and how it is written."""

    kind: Kind | None = None
    format: Literal["json", "csv"] | None = Field(None, description="Wins over `Accept`.")


@router.get(
    "",
    response_model=PageOut[CdrOut],
    responses={**documented(), 200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def listing(query: Annotated[CdrsQuery, Query()], asked: ReadCdrs, request: Request) -> Response:
    """Call records, the newest first.  As CSV the next page is in the `Link` header."""
    where = query.where(query.kind, "ended")
    found = await asked.house.database.calls.list(asked.tenant, where, query.limit, query.bare_after())
    if _wants_csv(query, request.headers.get("accept", "")):
        headers = link_to_next(request, None if found.next is None else "call_" + found.next)
        return Response(table(found.items), headers=headers, media_type="text/csv; charset=utf-8; header=present")
    return page(found.items, "call_", found.next, cdr_view)


def _wants_csv(query: CdrsQuery, accept: str) -> bool:
    if query.format is not None:
        return query.format == "csv"
    return "text/csv" in accept and "application/json" not in accept


def table(calls: Iterable[Call]) -> str:
    """Call records as CSV (RFC 4180) with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*COLUMNS, "legs", *(f"{which}_{name}" for which in ("first_leg", "last_leg") for name in LEG_COLUMNS)])
    for call in calls:
        writer.writerow(_row(cdr_view(call)))
    return text.getvalue()


def _row(record: dict[str, Any]) -> list[str]:
    legs = record["legs"]
    shown = [legs[0] if legs else {}, legs[-1] if len(legs) >= LEGS else {}]
    values = [record[name] for name in COLUMNS]
    return [_cell(value) for value in (*values, len(legs), *(leg.get(name) for leg in shown for name in LEG_COLUMNS))]


def _cell(value: Any) -> str:
    """A value as text.  What a spreadsheet would take for a formula gets a leading apostrophe (OWASP: CSV injection); plain
    numbers, with a sign or not, are no formulas and stay as they are."""
    if value is None:
        return ""
    text = msgspec.json.encode(value).decode() if isinstance(value, dict | list) else str(value)
    if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%") and _HARMLESS.fullmatch(text) is None:
        return "'" + text
    return text
