"""Following one call live: the timeline so far, then what the live socket says, without a gap and without a repeat."""

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import click
import websockets.exceptions
from websockets.sync.client import ClientConnection, connect

from controller.cli.common import Api

SILENCE_S = 15.0
"""After this long without an event the timeline is asked, in case the socket has died unnoticed."""
AGAIN_S = 1.0
LAST = "cdr.created"
DETAILS = ("number_masked", "sip_status", "q850", "by", "disposition", "hangup_by", "node", "recording_id", "duration_s")


def watch(api: Api, call_id: str) -> None:
    """Show each event as it comes, until the call has ended: lines of JSON with ``--json``, else a growing table."""
    call = api.send("GET", f"/v1/calls/{call_id}")
    if api.as_json:
        for event in follow(api, call["id"]):
            click.echo(json.dumps(event, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.live import Live

    console, shown = Console(), []
    live = Live(_table(call["id"], []), console=console, refresh_per_second=10) if console.is_terminal else None
    with live or nullcontext():
        for event in follow(api, call["id"]):
            shown.append(event)
            if live is not None:
                live.update(_table(call["id"], shown))
            else:
                click.echo(f"{event['occurred_at']}  {event['type']:<20}  {_details(event)}".rstrip())


def follow(api: Api, call_id: str) -> Iterator[dict[str, Any]]:
    """The events of a call in order, each once, until its record is there.  Raises Ended."""
    seen = 0
    while True:
        try:
            with _connection(api, call_id) as socket:
                for event in _from_socket(api, call_id, socket, seen):
                    seen = event["sequence"]
                    yield event
                    if event["type"] == LAST:
                        return
        except (OSError, websockets.exceptions.WebSocketException):
            for event in _timeline(api, call_id, seen):  # ends the command when the controller is not there
                seen = event["sequence"]
                yield event
                if event["type"] == LAST:
                    return
            time.sleep(AGAIN_S)


def _connection(api: Api, call_id: str) -> ClientConnection:
    address = "ws" + api.base.removeprefix("http") + f"/v1/live?call_id={call_id}"
    headers = {"Authorization": f"Bearer {api.key}"}
    return connect(address, additional_headers=headers, open_timeout=5, close_timeout=1, proxy=None)


def _from_socket(api: Api, call_id: str, socket: ClientConnection, seen: int) -> Iterator[dict[str, Any]]:
    """First what happened before the socket was open, then what it says; a gap is filled from the timeline."""
    for event in _timeline(api, call_id, seen):
        seen = event["sequence"]
        yield event
    while True:
        said = _received(socket)
        if said is not None and said["sequence"] == seen + 1:
            seen += 1
            yield said
        elif said is None or said["sequence"] > seen:
            for missed in _timeline(api, call_id, seen):
                seen = missed["sequence"]
                yield missed


def _received(socket: ClientConnection) -> dict[str, Any] | None:
    try:
        event: dict[str, Any] = json.loads(socket.recv(timeout=SILENCE_S))
    except TimeoutError:
        return None
    return event


def _timeline(api: Api, call_id: str, seen: int) -> list[dict[str, Any]]:
    return [event for event in api.items(f"/v1/calls/{call_id}/events", None) if event["sequence"] > seen]


def _table(call_id: str, events: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table("at", "event", "leg", "details", title=call_id, box=box.SIMPLE, title_justify="left")
    for event in events:
        table.add_row(event["occurred_at"][11:23], event["type"], event["data"].get("leg", ""), _details(event))
    return table


def _details(event: dict[str, Any]) -> str:
    if event["type"] == LAST:
        return f"talked {event['data']['bill_s']:.1f} s"
    return " ".join(str(event["data"][name]) for name in DETAILS if event["data"].get(name) is not None)
