"""When nothing can be saved the request is refused, and nothing of it is left."""

import sqlite3

from tests.house import Standing, body


async def test_a_locked_database_refuses_and_leaves_nothing_half_done(house: Standing) -> None:
    key = {"Idempotency-Key": "once"}
    other = sqlite3.connect(house.folder / "patchbay.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        answer = await house.http.post("/v1/callbacks", json=body(), headers=key)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert (await house.http.get("/v1/calls")).json()["items"] == []  # reading goes on
        assert (await house.http.get("/healthz")).status_code == 200
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert house.patchbay.house.desk.queue_length() == 0
    assert (await house.http.get("/v1/calls")).json()["items"] == []
    made = await house.http.post(
        "/v1/callbacks", json=body(announce={"caller": None}), headers=key | {"Idempotency-Key": "two"}
    )
    assert made.status_code == 202
    await house.until(made.json()["id"], status="bridged")
    again = await house.http.post("/v1/callbacks", json=body(), headers=key)
    assert again.status_code == 202
    assert "idempotent-replayed" not in again.headers
