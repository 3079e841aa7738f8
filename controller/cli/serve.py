"""`patchbay serve`: run a controller."""

import gc
import sys

import click
import uvloop

from controller.cli.common import FAILED, UNAVAILABLE, Ended
from controller.cli.local import configured
from controller.config import Settings
from controller.core.flow import FlowInvalid
from controller.logs import configure
from controller.ports import NotSaved


def seldom_collect() -> None:
    """What was loaded so far is never looked at by the garbage collector again, and of the rest each 20,000 new objects
    instead of each 700: calls come and go without cycles, and looking for some took an eighth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@click.command("serve")
@configured
def command(settings: Settings) -> None:
    """Run a controller with its API until SIGTERM.  On an empty database: makes the first tenant and prints its key, once."""
    from controller.store.errors import Unavailable
    from controller.wiring import serve

    configure(settings.log)
    seldom_collect()
    try:
        uvloop.run(serve(settings, _announce))
    except (NotSaved, Unavailable) as error:
        raise Ended(f"the database cannot be used: {error}", UNAVAILABLE) from None
    except FlowInvalid as invalid:
        raise Ended(f"a flow has faults: {invalid}; `patchbay flow check` says more", FAILED) from None
    except OSError as error:
        raise Ended(f"{settings.listen.host} port {settings.listen.port}: {error.strerror or error}", FAILED) from None


def _announce(key: str) -> None:
    """On stdout, where no log goes."""
    click.echo(f"first admin key (shown once, keep it): {key}")
    sys.stdout.flush()
