"""The configuration of an Asterisk that Patchbay drives, from our settings: pure, file names to text.

Templates lie in ``pbx-config/asterisk`` and ``dialplans/asterisk``; ``@NAME@`` is replaced.  What ``asterisk.conf`` says
(directories, user) is the machine's own business; see ``pbx-config/asterisk/README.md``.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from controller import assets
from controller.config import Node, Settings, Trunk
from controller.core.causes import CONGESTION

_MARK = re.compile(r"@([A-Z0-9_]+)@")
_PLAIN = ("modules", "amd", "logger", "cdr", "cel", "http", "indications", "stasis")
_FILLED = ("manager", "rtp", "musiconhold")


class NotRenderable(ValueError):
    """A setting holds what a configuration file cannot carry; the message names it, not its value."""


def render(settings: Settings, node: Node) -> dict[str, str]:
    """Every file for ``node`` by name, to be put into Asterisk's configuration directory (mode 0640: they bear secrets)."""
    values = _values(node)
    files = {f"{name}.conf": _template(name) for name in _PLAIN}
    files |= {f"{name}.conf": _fill(_template(name), values) for name in _FILLED}
    files["extensions.conf"] = _fill((assets.dialplans() / "asterisk" / "extensions.conf").read_text(), values)
    files["pjsip.conf"] = _fill(_template("pjsip"), values) + "".join(
        _trunk(trunk) for trunk in settings.trunks if trunk.serves(node.name, node.kind)
    )
    return files


def _values(node: Node) -> dict[str, str]:
    if node.ami is None or node.hook is None:
        raise NotRenderable(f"node {node.name} is no asterisk node")
    ami, hook, sip, dead = node.ami, node.hook, node.sip, node.dead_man
    return {
        "AMI_HOST": ami.host,
        "AMI_PORT": str(ami.port),
        "AMI_USER": ami.username,
        "AMI_SECRET": ami.secret.get_secret_value(),
        "AMI_PERMIT": f"{ami.host}/32" if re.fullmatch(r"[0-9.]+", ami.host) else "127.0.0.1/32",
        "HOOK": f"{hook.host}:{hook.port}",
        "TOKEN": hook.token.get_secret_value(),
        "SPOOL": str(node.spool),
        "PROMPTS": str(assets.prompts(node.prompts)),
        "RTP_FIRST": str(sip.rtp_first),
        "RTP_LAST": str(sip.rtp_last),
        "SIP_BIND": f"{sip.host}:{sip.port}",
        "T1_MS": str(sip.t1_ms),
        "TIMER_B_MS": str(64 * sip.t1_ms),  # RFC 3261, 17.1.1.2
        "PATIENCE": str(max(1, dead.patience_s // dead.knock_every_s)),
        "KNOCK_EVERY": str(dead.knock_every_s),
        "REFUSE": str(_CAUSES.get(dead.refuse_with, CONGESTION)),
        "SAY": dead.say or "",
        "GIVE_UP": str(max(1, dead.give_up_s // dead.knock_every_s)),
    }


def _trunk(trunk: Trunk) -> str:
    sip = trunk.sip
    if sip is None:
        return ""
    values = {
        "TRUNK": trunk.name,
        "CODECS": ",".join(sip.codecs),
        "TRUNK_HOST": sip.host,
        "TRUNK_PORT": str(sip.port),
        "RTP_TIMEOUT": str(sip.rtp_timeout_s),
        "EXTRA": "",
    }
    text = _template("pjsip-trunk")
    if sip.from_domain:
        values["EXTRA"] += f"from_domain = {sip.from_domain}\n"
    if sip.username and sip.password:
        values["EXTRA"] += f"outbound_auth = {trunk.name}\n"
        values |= {"AUTH_USER": sip.username, "AUTH_PASSWORD": sip.password.get_secret_value()}
        text += _template("pjsip-auth")
    return _fill(text, values)


def _template(name: str) -> str:
    return (assets.pbx_config() / "asterisk" / f"{name}.conf").read_text()


def _fill(template: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        _check(name, value)
    return _MARK.sub(lambda mark: values[mark.group(1)], template)


_CAUSES = {403: 21, 404: 1, 408: 18, 410: 22, 480: 19, 484: 28, 486: 17, 500: 38, 502: 27, 603: 21}
"""Asterisk turns these causes into these SIP statuses (res_pjsip_session.c, ``hangup_cause2sip`` in chan_pjsip.c)."""
_LINE = re.compile(r"[^\x00-\x1f\x7f;]*")
_FORMS = {
    "EXTRA": re.compile(r"([a-z_]+ = [A-Za-z0-9.:_-]+\n)*"),
    "SPOOL": re.compile(r"/[A-Za-z0-9/._-]+"),
    "PROMPTS": re.compile(r"/[A-Za-z0-9/._-]+"),
    "TOKEN": re.compile(r"[A-Za-z0-9_-]{16,128}"),
}
"""What the dialplan or an option list would misread otherwise; every other value is text up to the end of its line."""


def _check(name: str, value: str) -> None:
    if not _FORMS.get(name, _LINE).fullmatch(value) or (value != value.strip() and name != "EXTRA"):
        raise NotRenderable(f"the setting for {name} holds a character that Asterisk's configuration cannot carry")


def write(files: Mapping[str, str], folder: Path) -> None:
    """Put rendered files into ``folder``, readable by owner and group only."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.touch(mode=0o640)
        path.write_text(text)
