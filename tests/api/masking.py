"""X numbers and pools over the API."""

from typing import Any

from tests.house import CALLEE, CALLER, Standing

X = [f"+141555509{number:02d}" for number in range(20)]


async def pool(house: Standing, *numbers: str, name: str = "taxi", headers: dict[str, str] | None = None, **fields: Any) -> str:
    """The id of a pool with these numbers."""
    made = await house.http.post("/v1/pools", json={"name": name, **fields}, headers=headers)
    assert made.status_code == 201, made.text
    for number in numbers:
        added = await house.http.post(
            "/v1/numbers", json={"number": number, "kind": "x", "pool": made.json()["id"]}, headers=headers
        )
        assert added.status_code == 201, added.text
    return str(made.json()["id"])


def wanted(a: str = CALLER, b: str | None = CALLEE, **fields: Any) -> dict[str, Any]:
    """A binding's request."""
    return {"mode": "axb", "a": a, **({} if b is None else {"b": b}), **fields}


async def bound(house: Standing, **fields: Any) -> dict[str, Any]:
    """A binding that was made."""
    answer = await house.http.post("/v1/bindings", json=wanted(**fields))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())
