"""`hark`: a command line that imports a subcommand only when it runs.

This file knows the commands by name only, so a worker never imports torch and `hark --help` is
quick.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from typing import Any

import click
import structlog

from ops.system_errors import refused_by_system
from schemas.errors import ConfigError, HarkError


@dataclass(frozen=True, slots=True)
class Entry:
    """Module and name of a command, and its line in the menu."""

    target: str  # module:command
    text: str


COMMANDS = {
    "broker": Entry("ops.local_kafka.broker:broker", "A real local Kafka: start, stop, status."),
    "topics": Entry("ops.topics.command:topics", "Create, check, list and grow Hark's topics."),
    "worker": Entry(
        "ops.worker_command:worker", "Read events, publish recommendations and alerts."
    ),
    "train": Entry("ops.training.train_command:train", "Train a model version from the event log."),
    "trainer": Entry("ops.training.trainer_command:trainer", "Train every day, with metrics."),
    "evaluate": Entry(
        "ops.evaluation.command:evaluate", "Measure Hark against simpler methods on a data set."
    ),
    "models": Entry(
        "ops.training.models_command:models", "List, show, promote, roll back and prune versions."
    ),
    "simulate": Entry("ops.simulator.command:simulate", "Publish the events of a synthetic shop."),
    "replay": Entry("ops.publish.replay_command:replay", "Publish a file's events."),
    "tail": Entry("ops.tail_command:tail", "Print recommendations, alerts or dead letters."),
    "dead-letters": Entry(
        "ops.dead_letters.command:dead_letters", "List, show and replay refused records."
    ),
    "pseudonym": Entry(
        "ops.privacy.pseudonym_command:pseudonym", "Print the pseudonyms of user ids."
    ),
    "forget": Entry(
        "ops.privacy.forget_command:forget", "Erase a user, leave a tombstone, print a receipt."
    ),
    "demo": Entry("ops.demo.command:demo", "Run everything at once and print a summary."),
    "bench": Entry("ops.benchmarks.command:bench", "Measure this machine."),
    "schemas": Entry(
        "ops.schemas_command:schemas", "Write or check the JSON Schema and AsyncAPI files."
    ),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they run, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands that this installation has, in the menu's order."""
        return [name for name, entry in COMMANDS.items() if _installed(entry)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is no such command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None or not _installed(entry):
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of the operating system becomes a line, not a traceback."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if (refusal := refused_by_system(error)) is None:
                raise
            raise refusal from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the menu from the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].text) for name in self.list_commands(ctx)])


def _installed(entry: Entry) -> bool:
    return importlib.util.find_spec(entry.target.partition(":")[0]) is not None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hark")
def hark() -> None:
    """Hark: behaviour events in, recommendations and churn and risk alerts out, on Kafka.

    Exit codes: 0 success, 1 failure or a check found differences, 2 wrong usage or settings, 130
    stopped with Ctrl-C.
    """


def main() -> None:
    """Run the command line; a HarkError becomes a line, not a traceback."""
    # numpy's products are small here, and its threads spin while they wait for each other, which
    # costs more than they gain on a busy machine. numpy reads this when it loads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # stdout is for a command's result; `hark worker` and `hark trainer` configure more than this.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        code = hark(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except HarkError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
