"""What every test may use: the `--pbx` option."""

import pytest
from hypothesis import HealthCheck, settings

from controller.lab.freeswitch import FreeSwitchFailed, freeswitch_program

settings.register_profile("patchbay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patchbay")  # a busy machine is no fault of the code


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pbx",
        choices=["asterisk", "freeswitch"],
        default="asterisk",
        help="which PBX the far-end and contract tests run against",
    )


@pytest.fixture(scope="session")
def pbx_kind(request: pytest.FixtureRequest) -> str:
    """asterisk or freeswitch.  A FreeSWITCH is not fetched: where none is at hand, what needs it is skipped, and says so."""
    kind: str = request.config.getoption("--pbx")
    if kind == "freeswitch":
        try:
            freeswitch_program()
        except FreeSwitchFailed as failure:
            pytest.skip(str(failure))
    return kind
