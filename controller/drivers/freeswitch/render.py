"""The configuration of a FreeSWITCH that Patchbay drives, from our settings: pure, file names to text.

Templates lie in ``pbx-config/freeswitch`` and ``dialplans/freeswitch``; ``@NAME@`` is replaced.  The directories and the
user are given to FreeSWITCH when it is started; see ``pbx-config/freeswitch/README.md``.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from controller import assets
from controller.config import Node, Settings, Trunk

_MARK = re.compile(r"@([A-Z0-9_]+)@")
_FILES = ("freeswitch", "modules", "switch", "event_socket", "sofia", "cdr_csv", "logfile")
_CODECS = {"ulaw": "PCMU", "alaw": "PCMA", "g722": "G722", "opus": "OPUS", "g729": "G729", "gsm": "GSM"}
LEGS_PER_CALL = 2
LEAST_LEGS_PER_SECOND = 30
SHORTEST_PASSWORD = 16


class NotRenderable(ValueError):
    """A setting holds what a configuration file cannot carry; the message names it, not its value."""


def render(settings: Settings, node: Node) -> dict[str, str]:
    """Every file for ``node`` by name, to be put into FreeSWITCH's configuration directory (mode 0640: they bear secrets)."""
    trunks = [trunk for trunk in settings.trunks if trunk.serves(node.name, node.kind)]
    values = _values(node, trunks)
    files = {f"{name}.xml": _fill(_template(name), values) for name in _FILES}
    files["patchbay.xml"] = _fill((assets.dialplans() / "freeswitch" / "patchbay.xml").read_text(), values)
    return files


def _values(node: Node, trunks: list[Trunk]) -> dict[str, str]:
    if node.esl is None:
        raise NotRenderable(f"node {node.name} is no freeswitch node")
    esl, sip, dead = node.esl, node.sip, node.dead_man
    if len(esl.password.get_secret_value()) < SHORTEST_PASSWORD:
        raise NotRenderable(
            f"node {node.name}: whoever has esl.password commands the PBX: give it {SHORTEST_PASSWORD} characters"
        )
    legs_per_second = LEGS_PER_CALL * math.ceil(sum(trunk.calls_per_second for trunk in trunks))
    codecs = dict.fromkeys(codec for trunk in trunks if trunk.sip for codec in _codecs(trunk).split(","))
    return {
        "ESL_HOST": esl.host,
        "ESL_PORT": str(esl.port),
        "ESL_PASSWORD": esl.password.get_secret_value(),
        "ESL_PERMIT": f"{esl.host}/32" if re.fullmatch(r"[0-9.]+", esl.host) else "127.0.0.1/32",
        "SPOOL": str(node.spool),
        "PROMPTS": str(assets.prompts(node.prompts)),
        "RTP_FIRST": str(sip.rtp_first),
        "RTP_LAST": str(sip.rtp_last),
        "SIP_HOST": "auto" if sip.host == "0.0.0.0" else sip.host,
        "SIP_PORT": str(sip.port),
        "T1_MS": str(sip.t1_ms),
        "TIMER_B_MS": str(64 * sip.t1_ms),  # RFC 3261, 17.1.1.2
        "CODECS": ",".join(codecs) or "PCMU,PCMA",
        "MAX_LEGS": str(LEGS_PER_CALL * node.capacity),
        "LEGS_PER_SECOND": str(max(LEAST_LEGS_PER_SECOND, legs_per_second)),
        # the controller counts as alive until its last word is two seconds old (commands.BEAT)
        "PATIENCE": str(max(1, (dead.patience_s - 1) // dead.knock_every_s)),
        "KNOCK_EVERY_MS": str(1000 * dead.knock_every_s),
        "SAY": dead.say or "",
        "GIVE_UP": str(max(1, dead.give_up_s // dead.knock_every_s)),
        "REFUSE_WITH": str(dead.refuse_with),
        "GATEWAYS": "".join(_gateway(trunk) for trunk in trunks if trunk.sip),
        "TRUNKS": "\n    ".join(_comes_from(trunk) for trunk in trunks if trunk.sip),
    }


def _gateway(trunk: Trunk) -> str:
    sip = trunk.sip
    assert sip is not None
    values = {
        "TRUNK": trunk.name,
        "TRUNK_HOST": sip.host,
        "TRUNK_PORT": str(sip.port),
        "TRUNK_CODECS": _codecs(trunk),
        "MEDIA_TIMEOUT_MS": str(1000 * sip.rtp_timeout_s),
        "EXTRA": "",
    }
    extra = {"from-domain": sip.from_domain}
    if sip.username and sip.password:
        extra |= {"username": sip.username, "password": sip.password.get_secret_value()}
    values["EXTRA"] = "".join(_param(name, value) for name, value in extra.items() if value)
    return _fill(_template("gateway"), values)


def _comes_from(trunk: Trunk) -> str:
    """The extension that knows a call of this trunk by the address that it comes from; a name is looked up for each call."""
    assert trunk.sip is not None
    values = {"TRUNK": trunk.name, "TRUNK_HOST": trunk.sip.host}
    known = _BY_ADDRESS if re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*", trunk.sip.host) else _BY_NAME
    return _fill(known, values)


_BY_ADDRESS = """<extension name="from @TRUNK@" continue="true">
      <condition field="${cond('${network_addr}' == '@TRUNK_HOST@' ? yes : no)}" expression="^yes$">
        <action application="set" data="PB_TRUNK=@TRUNK@" inline="true"/>
      </condition>
    </extension>"""
_BY_NAME = _BY_ADDRESS.replace("'@TRUNK_HOST@'", "'${host_lookup(@TRUNK_HOST@)}'")


def _param(name: str, value: str) -> str:
    _check(name, value)
    return f'<param name="{name}" value="{_xml(value)}"/>'


def _codecs(trunk: Trunk) -> str:
    assert trunk.sip is not None
    return ",".join(_CODECS.get(codec, codec.upper()) for codec in trunk.sip.codecs)


def _template(name: str) -> str:
    return (assets.pbx_config() / "freeswitch" / f"{name}.xml").read_text()


_MADE_HERE = frozenset({"GATEWAYS", "EXTRA", "TRUNKS"})
"""Values that are XML of our own, whose parts were checked when it was made."""


def _fill(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        if name not in _MADE_HERE:
            _check(name, value)
    ready = {name: value if name in _MADE_HERE else _xml(value) for name, value in values.items()}
    return _MARK.sub(lambda mark: ready[mark.group(1)], template)


_UNSAFE = re.compile(r"[\x00-\x1f\x7f]|\$\{|\$\$")


def _check(name: str, value: str) -> None:
    """Refuse what would end a line or be expanded (FreeSWITCH replaces ``$${...}`` before it reads the XML)."""
    if _UNSAFE.search(value):
        raise NotRenderable(f"the setting for {name} holds a character that FreeSWITCH's configuration cannot carry")


def _xml(value: str) -> str:
    return escape(value, {'"': "&quot;"})


def write(files: Mapping[str, str], folder: Path) -> None:
    """Put rendered files into ``folder``, readable by owner and group only."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.touch(mode=0o640)
        path.write_text(text)
