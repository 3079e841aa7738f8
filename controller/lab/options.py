"""What a lab is asked to be, and the configuration that follows from it."""

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from controller.lab.ports import RTP_BLOCKS, Ports

Kind = Literal["asterisk", "freeswitch"]
Part = Literal["controller", "asterisk", "freeswitch", "phones"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NODES: dict[Kind, str] = {kind: f"{kind}-1" for kind in KINDS}
NODE = NODES["asterisk"]
TRUNK = "lab"


@dataclass(frozen=True, slots=True)
class Options:
    """What a lab is asked to be.

    ``folder``: everything of it lies there; ``pbx``: which PBX, each a node of the one controller; ``prompts``: speech, or a
    tone each; ``owner``: a process id, with whose end the lab ends too; ``controller``: False for a PBX and phones alone;
    ``rtp_blocks``: hundreds of RTP ports, four a callback; ``sip_t1_ms``: SIP's timer T1 (RFC 3261, 17.1.1.1): a phone that
    never responds is given up after 64 of them; ``flows``: a folder with flows of one's own; ``freeswitch``: the program, if
    not that of this machine (``freeswitch.freeswitch_program``); ``dead_man``: as in the settings of a node.
    """

    folder: Path
    pbx: Literal["asterisk", "freeswitch", "both"] = "asterisk"
    prompts: Literal["speech", "tones"] = "speech"
    owner: int | None = None
    controller: bool = True
    rtp_blocks: int = RTP_BLOCKS
    sip_t1_ms: int = 100
    flows: str | None = None
    freeswitch: str | None = None
    dead_man: dict[str, Any] | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The PBXes of the lab."""
        return KINDS if self.pbx == "both" else (self.pbx,)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the keeper's command line."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The other way round."""
        return cls(**{**values, "folder": Path(values["folder"])})


def settings_document(options: Options, ports: Ports, prompts: Path) -> dict[str, Any]:
    """The controller's patchbay.yaml (`controller.config.Settings`)."""
    folder = options.folder
    return {
        "listen": {"host": "127.0.0.1", "port": ports.api},
        "database": {"url": f"sqlite:///{folder}/patchbay.db"},
        "nodes": [_node(kind, options, ports, prompts) for kind in options.kinds],
        "trunks": [
            {
                "name": TRUNK,
                "nodes": [NODES[kind] for kind in options.kinds],
                "calls_per_second": 1000,
                "concurrent": 2000,
                "sip": {"host": "127.0.0.1", "port": ports.phones_sip, "codecs": ["ulaw"]},
            }
        ],
        "queue": {"tenant_calls_per_second": 1000, "tenant_concurrent": 2000},
        "recordings": {"folder": str(folder / "recordings")},
        "webhooks": {"allow_private": ["127.0.0.0/8"]},
        "flows": options.flows,
    }


def _node(kind: Kind, options: Options, ports: Ports, prompts: Path) -> dict[str, Any]:
    """One PBX: the first has the lab's own SIP and RTP ports."""
    sip, rtp_first, rtp_last = ports.sip, ports.rtp_first, ports.rtp_last
    if kind != options.kinds[0]:
        sip, rtp_first, rtp_last = ports.other_sip, ports.other_rtp_first, ports.other_rtp_last
    return {
        "name": NODES[kind],
        "kind": kind,
        **_way_in(kind, ports),
        "sip": {
            "host": "127.0.0.1",
            "port": sip,
            "rtp_first": rtp_first,
            "rtp_last": rtp_last,
            "t1_ms": options.sip_t1_ms,
        },
        "spool": str(options.folder / "spool" / kind),
        "prompts": str(prompts),
        **({"dead_man": options.dead_man} if options.dead_man else {}),
    }


def _way_in(kind: Kind, ports: Ports) -> dict[str, Any]:
    """How the controller reaches a PBX, with secrets of this lab alone."""
    here = "127.0.0.1"
    if kind == "freeswitch":
        return {"esl": {"host": here, "port": ports.esl, "password": secrets.token_hex(16)}}
    return {
        "ami": {"host": here, "port": ports.ami, "username": "patchbay", "secret": secrets.token_hex(16)},
        "hook": {"host": here, "port": ports.hook, "token": secrets.token_hex(16)},
    }
