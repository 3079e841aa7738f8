"""The rendered configuration: well-formed, closed to the outside, masking, capped, free of what a value could smuggle in."""

import stat
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config import Settings
from controller.drivers.freeswitch.render import NotRenderable, render, write

PASSWORD = "a-long-enough-password"


def settings(
    node: dict[str, Any] | None = None, trunk: dict[str, Any] | None = None, sip: dict[str, Any] | None = None
) -> Settings:
    return Settings(
        nodes=(
            {"name": "fs1", "kind": "freeswitch", "esl": {"port": 8022, "password": PASSWORD}, "spool": "/srv/spool",
             "prompts": "/srv/prompts", "capacity": 100, **(node or {})},
        ),
        trunks=(
            {"name": "out", "calls_per_second": 20, "sip": {"host": "192.0.2.7", "port": 5070, **(sip or {})}, **(trunk or {})},
        ),
    )  # fmt: skip


def rendered(**how: Any) -> dict[str, str]:
    made = settings(**how)
    return render(made, made.nodes[0])


def params(text: str) -> dict[str, str]:
    return {one.get("name", ""): one.get("value", "") for one in ElementTree.fromstring(text).iter("param")}


def test_every_file_is_xml_without_a_mark_left_over() -> None:
    files = rendered()
    for name, text in files.items():
        ElementTree.fromstring(text)
        assert "@" not in text, name
    included = {name for name in files if f'data="{name}"' in files["freeswitch.xml"]}
    assert included == set(files) - {"freeswitch.xml"}


def test_the_event_socket_is_on_loopback_behind_a_list_and_a_password() -> None:
    text = rendered()["event_socket.xml"]
    assert params(text) == {
        "listen-ip": "127.0.0.1",
        "listen-port": "8022",
        "password": PASSWORD,
        "apply-inbound-acl": "patchbay",
        "nat-map": "false",
        "stop-on-bind-error": "true",
    }
    (allowed,) = ElementTree.fromstring(text).iter("list")
    assert allowed.get("default") == "deny"
    assert [(node.get("type"), node.get("cidr")) for node in allowed] == [("allow", "127.0.0.1/32")]


@pytest.mark.parametrize("password", ["", "ClueCon", "x" * 15])
def test_a_short_password_is_refused(password: str) -> None:
    with pytest.raises(NotRenderable, match="16 characters") as refused:
        rendered(node={"esl": {"password": password}})
    assert not password or password not in str(refused.value)


def test_the_four_masking_leaks_are_closed() -> None:
    """1 and 4: in the dial string, see test_commands.  2: display updates.  3: the gateway's username in From."""
    text = rendered()["sofia.xml"]
    profile = params(text)
    assert profile["send-display-update"] == "false"
    assert profile["caller-id-type"] == "none", "neither P-Asserted-Identity nor Remote-Party-ID"
    assert profile["pass-callee-id"] == "false"
    assert profile["p-asserted-id-parse"] == "none"
    assert profile["disable-transfer"] == "true"
    for gateway in ElementTree.fromstring(text).iter("gateway"):
        assert {one.get("name"): one.get("value") for one in gateway.iter("param")}["caller-id-in-from"] == "true"


@pytest.mark.parametrize(
    ("host", "known_by"),
    [
        ("192.0.2.7", "'192.0.2.7'"),
        ("2001:db8::7", "'2001:db8::7'"),
        ("sip.carrier.example", "'${host_lookup(sip.carrier.example)}'"),
    ],
)
def test_a_call_is_known_by_the_address_of_its_trunk(host: str, known_by: str) -> None:
    tree = ElementTree.fromstring(rendered(sip={"host": host})["patchbay.xml"])
    (extension,) = [one for one in tree.iter("extension") if one.get("name") == "from out"]
    (condition,) = extension
    assert condition.get("field") == f"${{cond('${{network_addr}}' == {known_by} ? yes : no)}}"
    assert [action.get("data") for action in condition] == ["PB_TRUNK=out"]


def test_a_call_that_nobody_takes_is_refused_as_configured() -> None:
    assert 'application="respond" data="480"' in rendered(node={"dead_man": {"refuse_with": 480}})["patchbay.xml"]


def test_a_gateway_is_a_trunk() -> None:
    text = rendered(sip={"username": "me", "password": "secret", "from_domain": "example.org", "rtp_timeout_s": 30})[
        "sofia.xml"
    ]
    (gateway,) = ElementTree.fromstring(text).iter("gateway")
    values = {one.get("name"): one.get("value") for one in gateway.iter("param")}
    assert gateway.get("name") == "out"
    assert (values["proxy"], values["username"], values["password"], values["from-domain"]) == (
        "192.0.2.7:5070", "me", "secret", "example.org",
    )  # fmt: skip
    assert values["register"] == "false"
    variables = {one.get("name"): (one.get("value"), one.get("direction")) for one in gateway.iter("variable")}
    assert variables == {"absolute_codec_string": ("PCMU,PCMA", "outbound"), "media_timeout": ("30000", "outbound")}


def test_a_trunk_of_another_node_is_not_there() -> None:
    assert "<gateway name" not in rendered(trunk={"nodes": ["elsewhere"]})["sofia.xml"]
    assert "<gateway name" in rendered(trunk={"kinds": ["freeswitch"]})["sofia.xml"]
    foreign = rendered(trunk={"kinds": ["asterisk"]}, sip={"username": "u", "password": "not-for-this-pbx"})
    assert "<gateway name" not in foreign["sofia.xml"]
    assert not [name for name, text in foreign.items() if "not-for-this-pbx" in text or "PB_TRUNK=out" in text]


def test_freeswitchs_own_caps_follow_from_the_settings() -> None:
    values = params(rendered()["switch.xml"])
    assert (values["max-sessions"], values["sessions-per-second"]) == ("200", "40")
    assert params(rendered(trunk={"calls_per_second": 1})["switch.xml"])["sessions-per-second"] == "30"


def test_neither_log_nor_cdr_bears_a_number() -> None:
    files = rendered()
    (level,) = ElementTree.fromstring(files["logfile.xml"]).iter("map")
    assert level.get("value") == "err,crit,alert"
    (template,) = ElementTree.fromstring(files["cdr_csv.xml"]).iter("template")
    for word in ("caller", "callee", "destination", "number", "name", "ani", "rdnis", "channel", "PB_DATA"):
        assert word not in str(template.text), word
    assert "mod_console" not in files["modules.xml"]


def test_only_what_is_used_is_loaded() -> None:
    modules = [one.get("module") for one in ElementTree.fromstring(rendered()["modules.xml"]).iter("load")]
    assert "mod_xml_rpc" not in modules
    assert "mod_event_socket" in modules
    assert len(modules) == 10


def test_the_dead_man_has_the_settings_patience() -> None:
    text = rendered(node={"dead_man": {"patience_s": 6, "knock_every_s": 2, "give_up_s": 60}})["patchbay.xml"]
    assert 'data="2000"' in text
    assert 'expression="^2$"' in text
    assert "${PB_MISSED} &gt; 30 " in text


hostile = st.text(min_size=1, max_size=40) | st.sampled_from(
    ['"/><param name="x" value="', "${system(id)}", "$${sound_dir}", "a\nb", "-->", "]]>", "&amp;", "'", "<!--", "\x00"]
)


@given(hostile)
def test_no_password_or_folder_ends_its_attribute_or_is_expanded(value: str) -> None:
    for how in (
        {"node": {"esl": {"password": value * 20}}},
        {"sip": {"username": "me", "password": value}},
        {"node": {"spool": "/" + value}},
    ):
        try:
            files = rendered(**how)
        except NotRenderable:
            continue
        for text in files.values():
            ElementTree.fromstring(text)
        assert "${system" not in "".join(files.values())
        found = [
            *params(files["event_socket.xml"]).values(),
            *params(files["sofia.xml"]).values(),
            *params(files["cdr_csv.xml"]).values(),
        ]
        assert {value * 20, value, str(Path("/" + value))} & set(found)
        assert len(params(files["event_socket.xml"])) == 6


def test_a_node_of_another_kind_is_refused() -> None:
    made = Settings(nodes=({"name": "a", "kind": "asterisk", "ami": {"secret": "x"}, "hook": {"token": "x"}},))
    with pytest.raises(NotRenderable):
        render(made, made.nodes[0])


def test_the_files_are_for_their_owner_and_group(tmp_path: Path) -> None:
    write(rendered(), tmp_path / "conf")
    for path in (tmp_path / "conf").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
