"""`python -m controller.lab.phones`: the phones' process, started by the lab."""

import argparse
import asyncio
import sys
from pathlib import Path

from controller.lab.phones.control import Control, run
from controller.lab.phones.switchboard import PhonesFailed, Switchboard
from controller.lab.phones.table import ALL_PHONES


async def _main(given: argparse.Namespace) -> None:
    control = Control()
    heard = [int(hz) for hz in given.also_heard.split(",") if hz]
    board = Switchboard(ALL_PHONES, given.dir, given.sip_port, given.pbx_port, given.media_base, heard, control.changed)
    await run(control, board, given.control_port, given.ready_fd)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    for option in ("--sip-port", "--pbx-port", "--media-base", "--control-port"):
        parser.add_argument(option, type=int, required=True)
    parser.add_argument("--also-heard", default="", help="further tones to look for, Hz, with commas between")
    parser.add_argument("--ready-fd", type=int)
    try:
        asyncio.run(_main(parser.parse_args()))
    except (PhonesFailed, OSError) as failure:
        sys.exit(f"phones: {failure}")
