"""What `patchbay bench masking` measures are look-ups and bindings that come out right."""

import json

import pytest
from click.testing import CliRunner

from cli import main
from controller.bench.masking import bench, table
from controller.core.masking import Connect, route
from controller.store.database import Database
from tests.databases import Cluster


async def test_it_fills_measures_and_leaves_what_was_there(cluster: Cluster) -> None:
    url = await cluster.new()
    database = await Database.open(url)
    lines = await bench(database, url, (200, 400), 20, lambda _told: None)
    assert [line.bindings for line in lines] == [200, 400]
    assert all(0 < line.lookup_p50 <= line.lookup_p99 and 0 < line.bind_p50 <= line.bind_p99 for line in lines)
    assert table(lines).row_count == 2
    found = await database.bindings.dialled("+15100000037", "+141500000001")
    assert found is not None
    decision = route(*found, "+141500000001", 1_700_000_000_000)
    assert isinstance(decision, Connect)
    assert decision.to == "+162800000010"
    await database.close()


async def test_a_database_that_was_filled_before_is_measured_as_it_is(cluster: Cluster) -> None:
    url = await cluster.new()
    database = await Database.open(url)
    said: list[str] = []
    assert await bench(database, url, (100, 300), 5, said.append, measure=False) == []
    assert said == ["100 bindings: filling", "300 bindings: filling"]
    said.clear()
    lines = await bench(database, url, (100, 300, 400), 5, said.append)
    assert [line.bindings for line in lines] == [300, 400]
    assert said == ["300 bindings: measuring", "400 bindings: filling", "400 bindings: measuring"]
    await database.close()


@pytest.mark.parametrize("sizes", [["--bindings", "100"]])
def test_the_command_prints_one_document(sizes: list[str]) -> None:
    ran = CliRunner().invoke(main, ["bench", "masking", "--count", "5", "--json", *sizes])
    assert ran.exit_code == 0, ran.output
    assert [line["bindings"] for line in json.loads(ran.stdout)] == [100]
