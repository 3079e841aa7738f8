"""``/v1/flows``: the flows in use, and checking a new one."""

import asyncio
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, Query
from pydantic import StringConstraints
from starlette.responses import Response

from controller.api.fields import In
from controller.api.here import ReadFlows
from controller.api.house import House
from controller.api.paging import NamesQuery, PageOut, page_of_names
from controller.api.problems import Problem, documented
from controller.api.requests import Json, Route
from controller.api.shapes import Out
from controller.core.flow import Problem as Fault
from controller.core.flow import check

router = APIRouter(prefix="/v1/flows", tags=["flows"], route_class=Route)

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class FlowOut(Out):
    """A flow: `document` is what its YAML file holds; a running call keeps the `version` that it began with."""

    name: str
    version: str
    needs: list[str]
    document: dict[str, Any] | None = None


class FlowText(In):
    """A flow as YAML."""

    yaml: Annotated[str, StringConstraints(min_length=1, max_length=32_768)]


class FaultOut(Out):
    """A fault in a flow: at which node (empty: the whole), what is wrong, what to do."""

    node: str
    what: str
    cure: str


class CheckOut(Out):
    """The result of a check."""

    ok: bool
    problems: list[FaultOut]


def _view(house: House, name: str, whole: bool) -> dict[str, Any]:
    flow = house.flows.latest(name)
    document = house.flows.document(name) if whole else None
    return {"name": name, "version": flow.version, "needs": flow.needs, "document": document}


@router.get("", response_model=PageOut[FlowOut], responses=documented())
async def listing(query: Annotated[NamesQuery, Query()], asked: ReadFlows) -> Response:
    """All flows in use, by name."""
    return page_of_names({name: _view(asked.house, name, whole=False) for name in asked.house.flows.names()}, query)


@router.get("/{name}", response_model=FlowOut, responses=documented("not_found"))
async def show(name: str, asked: ReadFlows) -> Response:
    """One flow with its nodes."""
    return Json(_view(asked.house, _known(asked.house, name), whole=True))


@router.post("/{name}/check", response_model=CheckOut, responses=documented())
async def check_text(name: str, new: FlowText, asked: ReadFlows) -> Response:
    """Would this text do as the flow of this name?  Nothing is changed."""
    faults = await asyncio.to_thread(_faults, name, new.yaml)
    return Json({"ok": not faults, "problems": [{"node": f.node, "what": f.what, "cure": f.cure} for f in faults]})


def _known(house: House, name: str) -> str:
    if name not in house.flows.names():
        raise Problem("not_found", "there is no such flow")
    return name


def _faults(name: str, text: str) -> list[Fault]:
    """Every fault of the text.  An alias lets a short text stand for a huge one (YAML bomb), and no flow needs any."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=LOADER)):
            return [Fault("", "anchors and aliases are not used in flows", "write the value out")]
        document = yaml.load(text, Loader=LOADER)  # noqa: S506 - both are safe loaders
        faults = list(check(document))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [Fault("", f"this is no YAML: {error}"[:500], "mend it there")]
    if not faults and document["flow"] != name:
        return [Fault("", f"the flow calls itself `{document['flow']}`", f"write `flow: {name}`")]
    return faults
