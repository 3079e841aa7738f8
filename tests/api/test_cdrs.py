"""/v1/cdrs as JSON and CSV."""

import csv
import io

import pytest

from controller.api.routes.cdrs import _cell
from controller.api.shapes import CdrOut
from tests.house import BUSY, CALLER, SHOWN, Standing


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("+14155550101", "+14155550101"),
        ("-1.5", "-1.5"),
        ("plain", "plain"),
        (None, ""),
        (12, "12"),
        ({"a": "=1"}, '{"a":"=1"}'),
    ],
)
def test_no_cell_is_a_formula(value: object, cell: str) -> None:
    assert _cell(value) == cell


async def test_records_come_as_json_or_as_csv(house: Standing) -> None:
    references = ['=HYPERLINK("http://x")', "plain, with comma", 'quote " and ü']
    for reference in references:
        made = await house.callback(callee=BUSY, reference=reference, metadata={"k": 1})
        await house.until(made["id"], status="ended")
    await house.callback()
    page = (await house.http.get("/v1/cdrs")).json()
    assert [CdrOut.model_validate(item).reference for item in page["items"]] == references[::-1]
    for headers, query in (({"Accept": "text/csv"}, {}), ({}, {"format": "csv"})):
        answer = await house.http.get("/v1/cdrs", headers=headers, params=query)
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert [row["reference"] for row in rows] == [references[2], references[1], "'" + references[0]]
        assert rows[0]["first_leg_number"] == CALLER
        assert rows[0]["first_leg_display"] == SHOWN
        assert (rows[0]["last_leg_number"], rows[0]["last_leg_sip_status"]) == (BUSY, "486")
        assert (rows[0]["disposition"], rows[0]["legs"]) == ("busy", "2")
    json_wins = await house.http.get("/v1/cdrs", headers={"Accept": "text/csv"}, params={"format": "json"})
    assert json_wins.headers["content-type"] == "application/json"


async def test_csv_pages_follow_the_link_header(house: Standing) -> None:
    made = [await house.callback(callee=BUSY) for _ in range(3)]
    for call in made:
        await house.until(call["id"], status="ended")
    answer = await house.http.get("/v1/cdrs", params={"format": "csv", "limit": 2})
    following = answer.links["next"]["url"]
    rest = await house.http.get(following)
    assert "link" not in rest.headers
    ids = [row["id"] for text in (answer.text, rest.text) for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert sorted(ids) == sorted(call["id"] for call in made)


async def test_only_closed_calls_have_records(house: Standing) -> None:
    await house.callback()
    assert (await house.http.get("/v1/cdrs")).json()["items"] == []
    assert (await house.http.get("/v1/cdrs", params={"status": "live"})).status_code == 422
