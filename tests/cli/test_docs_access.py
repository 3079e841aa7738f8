"""The how-to pages about keys and webhooks: what they show is run as it stands."""

import asyncio
import json
import os
import re
import sys
from asyncio import create_subprocess_exec, subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.cli.test_docs import DOCS, example
from tests.house import CALLEE, SHOWN, Standing, free_socket

pytestmark = pytest.mark.asyncio(loop_scope="session")


def shown(page: str, word: str) -> list[str]:
    """The indented blocks of a page that hold this word."""
    text = (DOCS / "how-to" / page).read_text()
    return [block for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE) if word in block]


async def shell(script: str, cwd: Path, **environment: str) -> str:
    """What bash says to this script."""
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    run = await create_subprocess_exec(
        "bash", "-euc", script, cwd=cwd, env=known | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(run.communicate(), 30)
    assert run.returncode == 0, err.decode()
    return out.decode()


async def test_curl_makes_one_callback_and_calls_it_off(shared: Standing, tmp_path: Path) -> None:
    make, drop = shown("make-callbacks.md", "curl -X POST")[0], shown("make-callbacks.md", "curl -X DELETE")[0]
    here = {"PATCHBAY_API": shared.base, "PATCHBAY_API_KEY": shared.key}
    script = make.replace("+14155550100", SHOWN).replace("order-42", "curl-42")
    made = [json.loads(await shell(script, tmp_path, **here)) for _ in range(2)]
    assert made[0] == made[1]
    await shared.until(made[0]["id"], status="bridged", reference="curl-42")
    kept = json.loads(await shell(drop, tmp_path, ID=made[0]["id"], **here))
    assert kept == {"canceled": False, "dropped": [], "kept_because": "answered"}


async def test_the_python_example_waits_when_told_and_gives_up_when_it_must(shared: Standing, tmp_path: Path) -> None:
    text = example("make-callbacks.md").replace("+14155550100", SHOWN).replace("order-42", "python-42")
    (tmp_path / "bad.py").write_text(text.replace('"+14155550102"', '"+14155550101"'))
    here = {"PATCHBAY_API": shared.base, "PATCHBAY_API_KEY": shared.key}
    run = await create_subprocess_exec(sys.executable, tmp_path / "bad.py", stderr=subprocess.PIPE, env=here)
    assert b"self_call (callee)" in (await run.communicate())[1]
    names: dict[str, Any] = {}
    exec(text, names)
    waits: list[float] = []
    answers = [b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", b""]
    answers.append(b'HTTP/1.1 202 X\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{"id": "c1"}')

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"idempotency-key: callback-o\r\n" in head.lower()
        writer.write(answers.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        names["os"].environ |= {
            "PATCHBAY_API": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "PATCHBAY_API_KEY": "k",
        }
        names["time"] = type("Time", (), {"sleep": staticmethod(waits.append)})
        try:
            made = await asyncio.to_thread(names["callback"], "o", "+14155550101", CALLEE, SHOWN)
        finally:
            for name in ("PATCHBAY_API", "PATCHBAY_API_KEY"):
                del os.environ[name]
    assert (made, waits) == ({"id": "c1"}, [7.0, 2.0])


async def test_the_receiver_takes_our_events_once_each_and_nothing_forged(shared: Standing, tmp_path: Path) -> None:
    with free_socket() as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/hook"
    made = (await shared.http.post("/v1/webhooks", json={"url": url})).json()
    (tmp_path / "receiver.py").write_text(example("verify-webhooks.md"))
    env = {"WEBHOOK_SECRET": made["secret"], "PORT": str(port)}
    run = await create_subprocess_exec(sys.executable, tmp_path / "receiver.py", env=env, stdout=subprocess.PIPE)
    assert run.stdout is not None
    try:
        call = await shared.callback(reference="receiver")
        await shared.until(call["id"], status="bridged")
        await shared.http.delete(f"/v1/callbacks/{call['id']}")
        await shared.until(call["id"], status="ended")
        facts = await shared.facts(call["id"])
        wanted = [f"{fact['sequence']} {fact['type']} {call['id']}" for fact in facts]
        lines = []
        async with asyncio.timeout(30):  # the first try may come before the receiver listens: it is made again after 5 s
            while len(lines) < len(wanted):
                line = (await run.stdout.readline()).decode().strip()
                lines += [line] if call["id"] in line else []
        assert lines == wanted
        for wrong in ({"webhook-signature": "v1,AAAA"}, {"webhook-timestamp": "1"}, {}):
            assert await posted(url, {"webhook-id": "evt_1", "webhook-timestamp": "0", **wrong}) == 400
        now, body = datetime.now(UTC), b'{"sequence": 1, "type": "x", "call_id": "y"}'
        signed = {"webhook-id": "evt_2", "webhook-timestamp": str(int(now.timestamp()))}
        signature = Webhook(made["secret"]).sign("evt_2", now, body.decode())
        assert await posted(url, {**signed, "webhook-signature": f"v1,old {signature}"}, body) == 204
        assert await posted(url, {**signed, "webhook-signature": signature}, body + b" ") == 400
    finally:
        run.kill()
        await run.wait()
        await shared.http.delete(f"/v1/webhooks/{made['id']}")


async def posted(url: str, headers: dict[str, str], body: bytes = b"{}") -> int:
    import httpx2

    async with httpx2.AsyncClient() as http:
        return (await http.post(url, headers=headers, content=body)).status_code


async def test_the_shell_computes_the_signature(tmp_path: Path) -> None:
    [script] = shown("verify-webhooks.md", "openssl dgst")
    secret, now, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime(2026, 1, 31, tzinfo=UTC), '{"type": "call.ended"}'
    (tmp_path / "body.json").write_text(body)
    known = {"WEBHOOK_ID": "evt_1", "WEBHOOK_TIMESTAMP": str(int(now.timestamp())), "WEBHOOK_SECRET": secret}
    assert (await shell(script, tmp_path, **known)).strip() == Webhook(secret).sign("evt_1", now, body)


async def test_curl_gets_a_token_and_the_next(shared: Standing, tmp_path: Path) -> None:
    first, second = (
        next(part for part in block.split("\n\n") if "curl" in part) for block in shown("keys-and-tenants.md", "curl -s")
    )
    key = (await shared.http.post("/v1/keys", json={"name": "curl", "scopes": ["calls:read"]})).json()
    here = {"PATCHBAY_API": shared.base, "PATCHBAY_KEY_ID": key["id"], "PATCHBAY_API_KEY": key["key"]}
    tokens = json.loads(await shell(first, tmp_path, **here))
    again = json.loads(await shell(second, tmp_path, REFRESH_TOKEN=tokens["refresh_token"], **here))
    for found in (tokens, again):
        assert found["scope"] == "calls:read"
        answer = await shared.http.get("/v1/calls", headers={"Authorization": "Bearer " + found["access_token"]})
        assert answer.status_code == 200
