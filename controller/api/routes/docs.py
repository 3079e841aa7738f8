"""``/docs`` and ``/openapi.json``: the description of the interface, and a page that shows it.  All of it comes from here."""

from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from controller.api.gate import secure_headers
from controller.api.requests import Json

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).resolve().parents[1] / "web"
FILES = {"docs.html": "text/html", "docs.js": "text/javascript", "docs.css": "text/css"}


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """OpenAPI 3.1."""
    return Json(request.app.openapi())


@router.get("/docs")
async def page() -> Response:
    """The page."""
    return _file("docs.html")


@router.get("/docs/docs.js")
async def script() -> Response:
    """Its script."""
    return _file("docs.js")


@router.get("/docs/docs.css")
async def style() -> Response:
    """Its style."""
    return _file("docs.css")


def _file(name: str) -> Response:
    return FileResponse(WEB / name, media_type=FILES[name], headers=secure_headers())
