"""Asterisk's configuration from our settings: complete, closed, and not to be broken out of."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.config import Settings
from controller.drivers.asterisk.render import NotRenderable, render, write


def _document(**changes: Any) -> dict[str, Any]:
    node = {
        "name": "a1",
        "kind": "asterisk",
        "ami": {"host": "127.0.0.1", "port": 5039, "username": "patchbay", "secret": "ami-secret"},
        "hook": {"host": "127.0.0.1", "port": 4574, "token": "a-token-of-sixteen"},
        "sip": {"host": "127.0.0.1", "port": 5070, "rtp_first": 12000, "rtp_last": 12999, "t1_ms": 100},
        "spool": "/var/spool/asterisk/patchbay",
        "prompts": "/usr/share/patchbay/prompts",
    }
    carrier = {"host": "192.0.2.7", "username": "u", "password": "p", "from_domain": "example.org", "codecs": ["ulaw", "g722"]}
    trunk = {"name": "carrier", "sip": carrier}
    return {"nodes": [{**node, **changes.pop("node", {})}], "trunks": [{**trunk, **changes.pop("trunk", {})}], **changes}


def rendered(**changes: Any) -> dict[str, str]:
    settings = Settings(**_document(**changes))
    return render(settings, settings.nodes[0])


def section(text: str, name: str, kind: str | None = None) -> list[str]:
    """The lines of a section, without comments; ``kind``: the one with that type."""
    found = re.findall(rf"^\[{re.escape(name)}\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    for body in found:
        lines = [line.strip() for line in body.splitlines() if line.strip() and not line.startswith(";")]
        if kind is None or f"type = {kind}" in lines:
            return lines
    raise AssertionError(f"no section {name} of type {kind}")


def test_nothing_is_left_to_fill_in() -> None:
    for name, text in rendered().items():
        assert not re.search(r"@[A-Z][A-Z0-9_]*@", text), name


def test_the_manager_listens_where_it_is_called_and_lets_in_that_address_alone() -> None:
    text = rendered()["manager.conf"]
    assert {"bindaddr = 127.0.0.1", "port = 5039", "webenabled = no"} <= set(section(text, "general"))
    user = section(text, "patchbay")
    assert {"secret = ami-secret", "deny = 0.0.0.0/0.0.0.0,::/0", "permit = 127.0.0.1/32"} <= set(user)


def test_the_managers_user_has_only_the_rights_that_we_use() -> None:
    user = section(rendered()["manager.conf"], "patchbay")
    assert "write = call,originate,system" in user
    assert "read = system,call,dialplan,dtmf" in user
    assert all("include" in line for line in user if line.startswith("eventfilter"))


def test_a_trunk_hides_what_the_other_party_must_not_see() -> None:
    endpoint = section(rendered()["pjsip.conf"], "carrier", "endpoint")
    for option in ("send_pai", "send_rpid", "send_diversion", "send_connected_line", "trust_id_inbound", "trust_id_outbound"):
        assert f"{option} = no" in endpoint
    assert {"allow = ulaw,g722", "outbound_auth = carrier", "from_domain = example.org"} <= set(endpoint)
    assert section(rendered()["pjsip.conf"], "carrier", "aor")[1] == "contact = sip:192.0.2.7:5060"
    assert "password = p" in section(rendered()["pjsip.conf"], "carrier", "auth")


def test_a_trunk_without_credentials_has_no_auth() -> None:
    text = rendered(trunk={"sip": {"host": "192.0.2.7"}})["pjsip.conf"]
    assert "type = auth" not in text
    assert "outbound_auth" not in text


def test_a_trunk_of_another_node_or_of_the_admins_own_is_not_rendered() -> None:
    assert "[carrier]" not in rendered(trunk={"nodes": ["other"]})["pjsip.conf"]
    assert "[carrier]" not in rendered(trunk={"kinds": ["freeswitch"]})["pjsip.conf"]
    assert "[carrier]" in rendered(trunk={"kinds": ["asterisk"]})["pjsip.conf"]
    assert "[carrier]" not in rendered(trunk={"sip": None})["pjsip.conf"]


def test_a_silent_phone_is_given_up_after_64_t1() -> None:
    assert {"timer_t1 = 100", "timer_b = 6400"} <= set(section(rendered()["pjsip.conf"], "system"))


def test_the_dialplan_knows_the_hook_the_spool_and_the_dead_man() -> None:
    text = rendered(node={"dead_man": {"patience_s": 4, "knock_every_s": 2, "give_up_s": 60}})["extensions.conf"]
    assert "PB_SPOOL = /var/spool/asterisk/patchbay" in text
    assert "agi://127.0.0.1:4574/leg,a-token-of-sixteen," in text
    assert "Wait(2)" in text
    assert "${PB_MISSED} > 30]" in text
    assert "${PB_MISSED} = 2]" in text


def test_number_bearing_logs_are_off() -> None:
    files = rendered()
    assert "enable = no" in files["cdr.conf"]
    assert "enable = no" in files["cel.conf"]
    assert section(files["logger.conf"], "logfiles") == ["messages.log => warning,error"]


def test_every_module_is_named() -> None:
    assert "autoload = no" in rendered()["modules.conf"]


def test_files_are_written_for_owner_and_group_alone(tmp_path: Path) -> None:
    write(rendered(), tmp_path / "etc")
    for path in (tmp_path / "etc").iterdir():
        assert path.stat().st_mode & 0o007 == 0, path.name


HOSTILE = st.text(st.sampled_from("a1-_.\r\n\x00;[]${}#=>,\"'|&()@ "), min_size=1, max_size=40)
PLACES = [
    ("node", "ami", "secret"),
    ("node", "ami", "username"),
    ("node", "ami", "host"),
    ("node", "hook", "token"),
    ("node", "hook", "host"),
    ("node", "spool"),
    ("node", "prompts"),
    ("trunk", "name"),
    ("trunk", "sip", "host"),
    ("trunk", "sip", "username"),
    ("trunk", "sip", "password"),
    ("trunk", "sip", "from_domain"),
]


@given(HOSTILE, st.sampled_from(PLACES))
def test_no_setting_breaks_out_of_its_line(value: str, place: tuple[str, ...]) -> None:
    """Whatever a setting holds: it is refused, or the files have the lines and sections that they always have."""
    document = _document()
    target: Any = document["nodes" if place[0] == "node" else "trunks"][0]
    for key in place[1:-1]:
        target = target[key]
    target[place[-1]] = value
    try:
        settings = Settings(**document)
        files = render(settings, settings.nodes[0])
    except (ValidationError, NotRenderable):
        return
    for name, text in rendered().items():
        assert _shape(files[name]) == _shape(text), name


def _shape(text: str) -> list[str]:
    """The lines by what begins them: a section, a comment, or the name of an option."""
    return [re.split(r"[=,(\[;]", line)[0].strip() for line in text.split("\n")]


@pytest.mark.parametrize("path", ["/a b", "/a,b", "/a&b", "/a)b", "relative"])
def test_a_path_that_the_dialplan_could_misread_is_refused(path: str) -> None:
    with pytest.raises(NotRenderable):
        rendered(node={"spool": path})
    with pytest.raises(NotRenderable):
        rendered(node={"prompts": path})


@pytest.mark.parametrize("token", ["short", "with,comma-and-more", "with space-and-more", "with${X}-and-more"])
def test_a_token_that_the_dialplan_could_misread_is_refused(token: str) -> None:
    with pytest.raises((NotRenderable, ValidationError)):
        rendered(node={"hook": {"token": token}})


def test_a_node_of_another_kind_is_refused() -> None:
    settings = Settings(nodes=({"name": "f1", "kind": "freeswitch", "esl": {"password": "x"}},))
    with pytest.raises(NotRenderable):
        render(settings, settings.nodes[0])
