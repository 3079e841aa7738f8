"""A lab with its controller: ready when it says so, and the same again after a restart."""

import http.client
import json
import os
import stat
from pathlib import Path
from typing import Any

from controller.lab.phones.table import DISPLAY
from tests.lab.far_end import Lab


def get(lab: Lab, path: str) -> tuple[int, Any]:
    """Status and JSON of one GET with the lab's key."""
    connection = http.client.HTTPConnection("127.0.0.1", lab.description["ports"]["api"], timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {lab.key}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_the_lab_is_ready_and_its_tenant_owns_the_display_numbers(lab: Lab) -> None:
    assert get(lab, "/readyz")[0] == 200
    owned: set[str] = set()
    path: str | None = "/v1/numbers?limit=200"
    while path:  # other tests may have added many
        status, page = get(lab, path)
        assert status == 200
        owned |= {item["number"] for item in page["items"]}
        path = page["next"] and f"/v1/numbers?limit=200&after={page['next']}"
    assert owned >= set(DISPLAY)
    assert set(lab.description["display"]) == set(DISPLAY)


def test_what_bears_secrets_is_the_owners_alone(lab: Lab) -> None:
    for name in ("lab.json", "patchbay.yaml", "controller.out"):
        assert stat.S_IMODE((lab.folder / name).stat().st_mode) == 0o600, name


def test_a_killed_controller_comes_back_with_port_key_and_data(lab: Lab) -> None:
    before = lab.description
    lab.kill("controller")
    lab.restart("controller")
    assert lab.description["pids"]["controller"] != before["pids"]["controller"]
    assert lab.description["pids"][lab.kind] == before["pids"][lab.kind]
    assert (lab.api, lab.key) == (before["api"], before["api_key"])
    assert get(lab, "/v1/numbers")[0] == 200


def test_a_killed_pbx_comes_back_and_the_controller_finds_it(lab: Lab) -> None:
    before = lab.description
    lab.kill(lab.kind)
    lab.restart(lab.kind)
    assert lab.description["pids"]["controller"] == before["pids"]["controller"]
    assert lab.description["ports"] == before["ports"]
    assert get(lab, "/readyz")[0] == 200


def test_a_controller_comes_back_also_while_the_pbx_is_away(lab: Lab) -> None:
    lab.kill(lab.kind)
    lab.restart("controller")
    assert get(lab, "/healthz")[0] == 200
    lab.restart(lab.kind)
    assert get(lab, "/readyz")[0] == 200


def test_the_pbx_runs_without_roots_rights(lab: Lab) -> None:
    status = Path(f"/proc/{lab.pid(lab.kind)}/status").read_text()
    uid = int(next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1])
    assert uid != 0
    assert (uid == os.geteuid()) == (os.geteuid() != 0)
