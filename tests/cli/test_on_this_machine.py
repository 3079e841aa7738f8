"""Commands that need no controller: serve and its first key, config, db, flow, doctor, key --local."""

import asyncio
import json
import re
import signal
import sys
from pathlib import Path

import httpx2
import pytest
import yaml

from controller import assets
from controller.store.database import Database
from tests.cli.conftest import run_command
from tests.house import free_socket


def configuration(folder: Path, **more: object) -> Path:
    """A configuration file with one node that nobody listens on."""
    with free_socket() as one, free_socket() as other:
        port, hook = one.getsockname()[1], other.getsockname()[1]
    node = {
        "name": "pbx1",
        "kind": "asterisk",
        "ami": {"secret": "s3cret", "port": 9},
        "hook": {"token": "0123456789abcdef", "port": hook},
        "spool": str(folder),
    }
    document = {
        "listen": {"port": port},
        "database": {"url": f"sqlite:///{folder}/patchbay.db"},
        "nodes": [node],
        "trunks": [{"name": "carrier", "sip": {"host": "127.0.0.1"}}],
        "recordings": {"folder": str(folder / "recordings")},
        **more,
    }
    path = folder / "patchbay.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


async def start(path: Path) -> asyncio.subprocess.Process:
    script = Path(sys.executable).with_name("patchbay")
    return await asyncio.create_subprocess_exec(
        script, "serve", "--config", path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


def address(path: Path) -> str:
    """Where a controller with this configuration listens."""
    return f"http://127.0.0.1:{yaml.safe_load(path.read_text())['listen']['port']}"


async def until_it_answers(path: Path, process: asyncio.subprocess.Process) -> str:
    """The address, once it answers."""
    base = address(path)
    async with httpx2.AsyncClient() as http, asyncio.timeout(30):
        while process.returncode is None:
            try:
                await http.get(base + "/healthz")
            except httpx2.ConnectError:
                await asyncio.sleep(0.05)
            else:
                return base
    raise AssertionError((await process.communicate())[1].decode())


async def test_serve_prints_one_admin_key_once_and_ends_in_order(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    process = await start(path)
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    key = re.search(r"pb_[A-Za-z0-9_-]{43}", line)
    assert key is not None
    base = await until_it_answers(path, process)
    async with httpx2.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {key[0]}"}) as http:
        assert (await http.get("/v1/nodes")).json()["items"][0]["name"] == "pbx1"
        assert (await http.get("/readyz")).status_code == 503
    while_it_runs = await run_command("key", "create", "x", "--local", "--config", path)
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out) == (0, b"")
    assert key[0].encode() not in err
    assert (while_it_runs.code, "a controller is running" in while_it_runs.err) == (4, True)
    made = await run_command("key", "create", "spare", "--local", "--config", path, "--json")
    assert (made.code, made.json["tenant"]) == (0, "main"), made.err
    process = await start(path)
    base = await until_it_answers(path, process)
    async with httpx2.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {made.json['key']}"}) as http:
        assert len((await http.get("/v1/keys")).json()["items"]) == 2
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out) == (0, b"")


@pytest.mark.parametrize("added", [False, True], ids=["no nodes at all", "a node that was added"])
async def test_nothing_works_on_the_database_behind_a_controllers_back(tmp_path: Path, added: bool) -> None:
    path = configuration(tmp_path, nodes=[])
    process = await start(path)
    base = await until_it_answers(path, process)
    assert process.stdout is not None
    key = re.search(r"pb_[A-Za-z0-9_-]{43}", (await asyncio.wait_for(process.stdout.readline(), 30)).decode())
    assert key is not None
    if added:
        with free_socket() as hook:
            port = hook.getsockname()[1]
        ways = {"ami": {"secret": "x", "port": 9}, "hook": {"token": "0123456789abcdef", "port": port}}
        async with httpx2.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {key[0]}"}) as http:
            node = {"name": "pbx9", "kind": "asterisk", "spool": str(tmp_path), **ways}
            assert (await http.post("/v1/nodes", json=node)).status_code == 201
    try:
        for words in (("key", "create", "x", "--local"), ("db", "upgrade")):
            refused = await run_command(*words, "--config", path)
            assert (refused.code, "a controller is running" in refused.err) == (4, True), refused
    finally:
        process.send_signal(signal.SIGTERM if added else signal.SIGKILL)
        await asyncio.wait_for(process.communicate(), 30)
    done = await run_command("db", "upgrade", "--config", path)
    assert done.code == 0, done.err


async def test_serve_says_why_it_cannot(tmp_path: Path) -> None:
    path = configuration(tmp_path, database={"url": f"sqlite:///{tmp_path}/no/such/folder/x.db"})
    ended = await run_command("serve", "--config", path)
    assert (ended.code, "Traceback" in ended.err) == (4, False), ended.err
    with free_socket() as taken:
        taken.listen()
        path = configuration(tmp_path, listen={"port": taken.getsockname()[1]})
        ended = await run_command("serve", "--config", path)
        assert (ended.code, "Traceback" in ended.err) == (1, False), ended.err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nodes: [{name: a", "is no YAML"),
        ("node: []", "node: there is no such setting"),
        ("trunks: [{name: t, prefixes: [+49]}]", "trunks.0.prefixes.0: this must be text, and YAML read a number"),
        ("nodes: [{name: a, kind: asterisk}]", "needs `ami:` and `hook:`"),
        ("listen: {port: 99999}", "listen.port"),
    ],
)
async def test_a_fault_in_the_configuration_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "patchbay.yaml"
    path.write_text(text)
    ended = await run_command("config", "check", "--config", path)
    assert (ended.code, ended.out) == (2, "")
    assert named in ended.err


async def test_the_configuration_is_found_checked_and_rendered(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    assert (await run_command("config", "check", cwd=tmp_path, HOME="/")).code == 0
    assert (await run_command("config", "check", "--json", PATCHBAY_CONFIG=str(path))).json["nodes"] == ["pbx1"]
    assert (await run_command("config", "check", cwd=Path("/"))).code == 2
    files = (await run_command("config", "render", "--config", path, "--json")).json["files"]
    assert "s3cret" in files["manager.conf"]
    written = await run_command("config", "render", "--config", path, "-o", tmp_path / "asterisk")
    assert written.code == 0
    assert {file.name for file in (tmp_path / "asterisk").iterdir()} == files.keys()
    assert all(file.stat().st_mode & 0o777 == 0o640 for file in (tmp_path / "asterisk").iterdir())
    assert (await run_command("config", "render", "--config", path, "--node", "other")).code == 2


def freeswitch_node(folder: Path, port: int, password: str = "a-password-of-this-test") -> dict[str, object]:
    """A FreeSWITCH in a configuration."""
    return {
        "name": "fs1",
        "kind": "freeswitch",
        "esl": {"port": port, "password": password},
        "sip": {"host": "127.0.0.1"},
        "spool": str(folder),
    }


async def test_what_was_added_at_run_time_is_rendered_too(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    alone = (await run_command("config", "render", "--config", path, "--json")).json["files"]
    assert not (tmp_path / "patchbay.db").exists(), "it is not for this command to make the database"
    database = await Database.open(f"sqlite:///{tmp_path}/patchbay.db")
    sip = {"host": "192.0.2.9", "username": "u", "password": "of-the-late-trunk"}
    await database.trunks.add("late", json.dumps({"name": "late", "kinds": ["asterisk"], "sip": sip}), 1)
    await database.trunks.add("carrier", json.dumps({"name": "carrier", "sip": {**sip, "password": "not-this"}}), 1)
    esl = {"password": "long-enough-for-esl"}
    await database.nodes.add("fs1", json.dumps({"name": "fs1", "kind": "freeswitch", "esl": esl}), 1)
    await database.nodes.drain("pbx1", True, 1)
    pjsip = (await run_command("config", "render", "--config", path, "--node", "pbx1", "--json")).json["files"]["pjsip.conf"]
    assert pjsip.startswith(alone["pjsip.conf"])
    assert ("[late]" in pjsip, "of-the-late-trunk" in pjsip, "not-this" in pjsip) == (True, True, False)
    other = (await run_command("config", "render", "--config", path, "--node", "fs1", "--json")).json["files"]["sofia.xml"]
    assert ('name="carrier"' in other, "of-the-late-trunk" in other) == (True, False)
    left = await run_command("config", "render", "--config", path, "--no-database", "--json")
    assert left.json["files"] == alone
    await database.close()
    path = configuration(tmp_path, database={"url": f"postgresql://nobody@/x?host={tmp_path}"})
    unread = await run_command("config", "render", "--config", path)
    assert (unread.code, unread.out, "--no-database" in unread.err) == (4, "", True)


async def test_a_freeswitch_is_checked_and_rendered_too(tmp_path: Path) -> None:
    path = configuration(tmp_path, nodes=[freeswitch_node(tmp_path, 9)])
    checked = await run_command("config", "check", "--config", path, "--json")
    assert (checked.json["nodes"], checked.json["warnings"]) == (["fs1"], [])
    files = (await run_command("config", "render", "--config", path, "--json")).json["files"]
    assert "a-password-of-this-test" in files["event_socket.xml"]
    assert '<gateway name="carrier">' in files["sofia.xml"]
    assert "<!-- sofia.xml -->" in (await run_command("config", "render", "--config", path)).out
    path = configuration(tmp_path, nodes=[freeswitch_node(tmp_path, 9, "short")])
    warnings = (await run_command("config", "check", "--config", path, "--json")).json["warnings"]
    assert ["esl.password" in warning for warning in warnings] == [True]
    refused = await run_command("config", "render", "--config", path)
    assert (refused.code, "esl.password" in refused.err, "short" in refused.err) == (1, True, False)


async def test_the_database_is_upgraded(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    for _ in range(2):
        assert (await run_command("db", "upgrade", "--config", path, "--json")).json == {"ok": True}
    assert (tmp_path / "patchbay.db").exists()
    unknown = await run_command("key", "create", "x", "--local", "--scope", "everything", "--config", path)
    assert (unknown.code, "there is no scope everything" in unknown.err) == (2, True)
    nobody = await run_command("key", "create", "x", "--local", "--tenant", "nobody", "--config", path)
    assert nobody.code == 3


async def test_flows_are_checked_by_file_node_and_cure(tmp_path: Path) -> None:
    assert (await run_command("flow", "check")).code == 0
    text = (assets.dialplans() / "flows" / "callback.yaml").read_text()
    (tmp_path / "good.yaml").write_text(text)
    (tmp_path / "bad.yaml").write_text(text.replace("else: sorry", "else: sory"))
    (tmp_path / "worse.yaml").write_text("nodes: [")
    ended = await run_command("flow", "check", tmp_path, "--json")
    assert (ended.code, ended.json["ok"], ended.json["checked"]) == (1, False, 3)
    fault = ended.json["problems"][0]
    assert (fault["file"], fault["node"], fault["cure"]) == (str(tmp_path / "bad.yaml"), "callee", "did you mean `sorry`?")
    told = await run_command("flow", "check", tmp_path / "bad.yaml")
    assert (told.code, "cure: did you mean `sorry`?" in told.out) == (1, True)


async def test_flows_are_drawn(tmp_path: Path) -> None:
    text = (await run_command("flow", "draw", "callback")).out
    assert "callee: connect callee" in text
    assert (await run_command("flow", "draw", "callback", "--format", "mermaid")).out.startswith("flowchart TD\n")
    dot = (await run_command("flow", "draw", assets.dialplans() / "flows" / "callback.yaml", "--format", "dot")).out
    assert (dot.startswith('digraph "callback"'), dot.rstrip().endswith("}")) == (True, True)
    assert (await run_command("flow", "draw", "nothing")).code == 3


async def test_the_doctor_logs_in_and_names_what_is_to_be_mended(tmp_path: Path) -> None:
    path = configuration(tmp_path)
    ended = await run_command("doctor", "--config", path, "--json")
    assert (ended.code, ended.json["ok"]) == (1, False)
    faults = [finding for finding in ended.json["findings"] if finding["level"] == "fault"]
    assert ["pbx1" in fault["what"] and bool(fault["cure"]) for fault in faults] == [True]

    async def manager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        login = await reader.readuntil(b"\r\n\r\n")
        ok = b"Secret: s3cret\r\n" in login
        writer.write(b"Response: Success\r\n\r\n" if ok else b"Response: Error\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"Response: Success\r\nAsteriskVersion: 22.1.0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(manager, "127.0.0.1", 0)
    async with server:
        node = yaml.safe_load(path.read_text())["nodes"][0]
        node["ami"]["port"] = server.sockets[0].getsockname()[1]
        path = configuration(tmp_path, nodes=[node])
        healthy = await run_command("doctor", "--config", path)
        assert (healthy.code, "Asterisk 22.1.0 lets us in" in healthy.out) == (0, True), healthy.out


async def test_the_doctor_knows_what_was_added_at_run_time(tmp_path: Path) -> None:
    path = configuration(tmp_path, nodes=[], trunks=[])

    async def told() -> str:
        return " ".join(
            finding["what"] for finding in (await run_command("doctor", "--config", path, "--json")).json["findings"]
        )

    before = await told()
    assert ("no PBX is configured" in before, "no trunk is configured" in before) == (True, True)
    database = await Database.open(f"sqlite:///{tmp_path}/patchbay.db")
    await database.trunks.add("late", '{"name": "late"}', 1)
    node = {"name": "fs1", "kind": "freeswitch", "esl": {"password": "long-enough-for-esl", "port": 9}}
    await database.nodes.add("fs1", json.dumps(node), 1)
    await database.close()
    after = await told()
    assert ("configured" in after, "node fs1 cannot be reached" in after) == (False, True)
    path = configuration(tmp_path, database={"url": f"postgresql://nobody@/x?host={tmp_path}"})
    assert "the database cannot be read" in await told()


@pytest.mark.parametrize(
    ("greeting", "reply", "code", "says"),
    [
        (b"Content-Type: auth/request\n\n", b"Reply-Text: +OK accepted\n\n", 0, "fs1: FreeSWITCH 1.10.12 lets us in"),
        (b"Content-Type: auth/request\n\n", b"Reply-Text: -ERR invalid\n\n", 1, "fs1: FreeSWITCH refuses the password"),
        (b"Content-Type: text/rude-rejection\n\n", b"", 1, "fs1: FreeSWITCH refuses our address"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", b"", 1, "fs1: what listens there is no event socket"),
        (b"", b"", 1, "fs1 cannot be reached (the link was closed)"),
    ],
)
async def test_the_doctor_logs_in_to_a_freeswitch(tmp_path: Path, greeting: bytes, reply: bytes, code: int, says: str) -> None:
    async def event_socket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        if reply:
            assert await reader.readuntil(b"\n\n") == b"auth a-password-of-this-test\n\n"
            writer.write(b"Content-Type: command/reply\n" + reply)
            if code == 0:
                assert await reader.readuntil(b"\n\n") == b"api version short\n\n"
                writer.write(b"Content-Type: api/response\nContent-Length: 8\n\n1.10.12\n")
        writer.close()

    server = await asyncio.start_server(event_socket, "127.0.0.1", 0)
    async with server:
        node = freeswitch_node(tmp_path, server.sockets[0].getsockname()[1])
        told = await run_command("doctor", "--config", configuration(tmp_path, nodes=[node]))
    assert (told.code, says in told.out) == (code, True), told.out


async def test_help_names_every_command() -> None:
    told = await run_command("--help")
    for name in (
        "callback",
        "call",
        "cdr",
        "config",
        "db",
        "doctor",
        "flow",
        "key",
        "node",
        "number",
        "recording",
        "serve",
        "webhook",
    ):
        assert re.search(rf"^  {name} ", told.out, re.MULTILINE), name
        assert (await run_command(name, "--help")).code == 0
