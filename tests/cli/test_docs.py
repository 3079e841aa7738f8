"""The pages of docs/: what is generated is up to date, and what is shown works."""

import re
import sys
from asyncio import create_subprocess_exec, subprocess
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from controller.cli.reference import pages
from tests.house import SHOWN, Standing

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_says_what_the_code_says(name: str) -> None:
    again = "run: python -m controller.cli.reference docs/reference"
    assert (DOCS / "reference" / name).read_text() == pages()[name], again


def example(page: str) -> str:
    """The Python of a page."""
    found = re.search(r"```python\n(.*?)```", (DOCS / "how-to" / page).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.asyncio(loop_scope="session")
async def test_the_callback_example_makes_one_callback_however_often_it_runs(shared: Standing, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(example("make-callbacks.md").replace("+14155550100", SHOWN))
    made = []
    for _ in range(2):
        run = await create_subprocess_exec(
            sys.executable, tmp_path / "example.py", stdout=subprocess.PIPE,
            env={"PATCHBAY_API": shared.base, "PATCHBAY_API_KEY": shared.key},
        )  # fmt: skip
        made.append((await run.communicate())[0].decode().strip())
    assert made[0] == made[1]
    await shared.until(made[0], status="bridged", reference="order-42")


def test_the_webhook_example_takes_what_is_signed_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec(example("receive-events.md"), names)
    receive, checker = names["receive"], names["checker"]
    assert callable(receive)
    assert isinstance(checker, Webhook)
    from datetime import UTC, datetime

    body, now = '{"type": "call.ended", "call_id": "call_1"}', datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": checker.sign("evt_1", now, body),
    }
    assert receive(headers, body.encode()) == 204
    assert receive(headers, body.replace("ended", "lost").encode()) == 400


def test_every_link_of_the_docs_leads_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), (page, target)
