"""`patchbay lab`: a real PBX with phones and a controller on loopback, to rehearse on."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, get_args

import click

from controller.lab import lab
from controller.lab.freeswitch import PROGRAM
from controller.lab.options import Options, Part
from controller.lab.phones.client import PhonesError
from controller.lab.report import calls_report

P = ParamSpec("P")
FAILED, NOT_FOUND, UNAVAILABLE = 1, 3, 4


def _fails_well(command: Callable[P, None]) -> Callable[P, None]:
    """The lab's errors as a line on stderr and an exit code."""

    @wraps(command)
    def wrapped(*given: P.args, **named: P.kwargs) -> None:
        try:
            command(*given, **named)
        except lab.NoLab as error:
            _give_up(error, NOT_FOUND)
        except PhonesError as error:
            _give_up(error, UNAVAILABLE)
        except lab.LabFailed as error:
            _give_up(error, FAILED)

    return wrapped


def _give_up(error: Exception, code: int) -> None:
    click.echo(f"lab: {error}", err=True)
    sys.exit(code)


_DIR = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=lab.default_folder,
    show_default="a folder of yours under the temporary one",
    help="The lab's folder, and its name: several may stand side by side.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


@click.group("lab")
def command() -> None:
    """A rehearsal room: a real PBX, phones and a controller on this machine, on loopback and free ports."""


@command.command()
@_DIR
@_JSON
@click.option("--pbx", type=click.Choice(["asterisk", "freeswitch", "both"]), default="asterisk", show_default=True)
@click.option(
    "--freeswitch",
    type=click.Path(exists=True, dir_okay=False),
    envvar=PROGRAM,
    show_envvar=True,
    help="The FreeSWITCH to run.  [default: the one on PATH]",
)
@click.option("--prompts", type=click.Choice(["speech", "tones"]), default="speech", show_default=True)
@click.option("--controller/--no-controller", default=True, help="Without: the PBX and the phones alone.")
@click.option("--owner", type=int, metavar="PID", help="End the lab when this process ends.")
@click.option(
    "--rtp-blocks", type=click.IntRange(1, 100), default=6, show_default=True, help="Hundreds of RTP ports of the PBX."
)
@_fails_well
def up(
    folder: Path,
    as_json: bool,
    pbx: Literal["asterisk", "freeswitch", "both"],
    freeswitch: str | None,
    prompts: Literal["speech", "tones"],
    controller: bool,
    owner: int | None,
    rtp_blocks: int,
) -> None:
    """Start a lab; returns once it is ready."""
    options = Options(folder.absolute(), pbx, prompts, owner, controller, rtp_blocks, freeswitch=freeswitch)
    click.echo(f"lab: starting in {folder}", err=True)
    _show(lab.up(options), as_json)


@command.command()
@_DIR
@_JSON
@_fails_well
def down(folder: Path, as_json: bool) -> None:
    """End a lab; what it recorded and logged stays until the next one in its folder."""
    lab.down(folder.absolute())
    click.echo(json.dumps({"dir": str(folder)}) if as_json else f"lab: {folder} is down")


@command.command()
@_DIR
@_JSON
@_fails_well
def status(folder: Path, as_json: bool) -> None:
    """Show a running lab, and which of its processes live."""
    _show(lab.status(folder.absolute()), as_json)


@command.command()
@click.argument("part", type=click.Choice(get_args(Part)))
@_DIR
@_JSON
@_fails_well
def restart(part: Part, folder: Path, as_json: bool) -> None:
    """Start a part of a lab again, whether it still runs or was killed; ports, keys and data stay."""
    _show(lab.restart(folder.absolute(), part), as_json)


@command.command()
@_DIR
@_JSON
@_fails_well
def calls(folder: Path, as_json: bool) -> None:
    """What each phone saw and heard."""
    with lab.phones(folder.absolute()) as phones:
        report = calls_report(lab.status(folder.absolute()), phones.calls())
    if as_json:
        click.echo(json.dumps(report))
        return
    for phone in report["phones"]:
        for invite in phone["invites"]:
            heard = ", ".join(f"{hz} Hz" for hz in invite["heard_hz"]) or "nothing"
            shown = invite["headers"].get("From", "").split(";")[0]
            click.echo(f"{phone['number']} {phone['behaviour']:<14} saw {shown}, heard {heard}, ended by {invite['ended_by']}")


@command.command()
@click.argument("number_from", metavar="FROM")
@click.argument("number_to", metavar="TO")
@click.option("--talk", "talk_s", type=float, metavar="SECONDS", help="The phone hangs up so long after the answer.")
@_DIR
@_JSON
@_fails_well
def dial(number_from: str, number_to: str, talk_s: float | None, folder: Path, as_json: bool) -> None:
    """Let a phone of the lab call a number through the PBX's trunk, as a customer would; `lab calls` shows what came of it."""
    with lab.phones(folder.absolute()) as phones:
        phones.place(number_from, number_to, talk_s)
    click.echo(json.dumps({"from": number_from, "to": number_to}) if as_json else f"lab: {number_from} calls {number_to}")


def _show(description: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(description))
        return
    click.echo(f"lab    {description['dir']}")
    click.echo(f"api    {description['api']}  key {description['api_key'] or '-'}")
    click.echo("pids   " + ", ".join(f"{name} {pid}" for name, pid in description["pids"].items()))
    click.echo(f"shows  {', '.join(description['display'])}")
    for phone in (*description["phones"], *description["more_phones"]):
        keys = f", presses {phone['keys']}" if phone["keys"] else ""
        click.echo(f"phone  {phone['number']}  {phone['behaviour']:<15} {phone['tone_hz']} Hz{keys}")
    click.echo(f"next   patchbay lab calls --dir {description['dir']}; patchbay lab down --dir {description['dir']}")
