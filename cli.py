"""The `patchbay` command: a table of commands, each loaded only when it is called, so that `patchbay --help` stays quick.

To add a command: put a click command or group called `command` into `controller/cli/<name>.py` and add one line to COMMANDS.
"""

import importlib

import click

COMMANDS = {  # name: (module, the line `patchbay --help` shows)
    "agent": ("controller.cli.agent", "Agents: add, list, on duty or away."),
    "audit": ("controller.cli.audit", "Who did what, and who was refused."),
    "bench": ("controller.cli.bench", "Measure this installation against a raw script on the same Asterisk."),
    "binding": ("controller.cli.binding", "Masked numbers: create, list, show, change, release."),
    "call": ("controller.cli.call", "Calls: list, show, watch live, act, hang up."),
    "callback": ("controller.cli.callback", "Callbacks: create, show, cancel, list."),
    "cdr": ("controller.cli.cdr", "Call detail records, as table, JSON or CSV."),
    "config": ("controller.cli.config", "Check the configuration; render the PBX's from it."),
    "db": ("controller.cli.db", "The database: upgrade."),
    "demo": ("controller.cli.demo", "One callback through a real PBX, shown as it happens."),
    "doctor": ("controller.cli.doctor", "What may keep this installation from working, and what to do."),
    "flow": ("controller.cli.flow", "Call flows: check, draw, try."),
    "key": ("controller.cli.key", "API keys."),
    "lab": ("controller.cli.lab", "A rehearsal room: a real PBX, phones and a controller on this machine."),
    "list": ("controller.cli.lists", "Lists of numbers: allow, block, do not call."),
    "memory": ("controller.cli.memory", "Call memories: list, show, change, forget."),
    "node": ("controller.cli.node", "PBX nodes: list, add, drain, remove."),
    "number": ("controller.cli.number", "Numbers that you own, to show and as X."),
    "pool": ("controller.cli.pool", "Pools of X numbers."),
    "policy": ("controller.cli.policy", "What may be dialled, the kill switch, and why a call would be refused."),
    "queue": ("controller.cli.queue", "Who waits for an agent, and which agents are free."),
    "recording": ("controller.cli.recording", "Recordings: list, get, verify."),
    "serve": ("controller.cli.serve", "Run the controller."),
    "tenant": ("controller.cli.tenant", "Tenants."),
    "trunk": ("controller.cli.trunk", "Trunks: list, add, change, drain, remove."),
    "webhook": ("controller.cli.webhook", "Webhooks: endpoints, deliveries, replay."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        loaded = importlib.import_module(COMMANDS[cmd_name][0]).command
        if not isinstance(loaded, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]}.command is no click command")
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="patchbay", prog_name="patchbay")
def main() -> None:
    """Patchbay: callbacks, masked numbers, robot menus and recording on your own Asterisk or FreeSWITCH."""


if __name__ == "__main__":
    main()
