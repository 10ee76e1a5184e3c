"""The command line. Every command is thin: it reads config.yaml, opens the store, and calls the step of its name.

Nothing heavy is imported before it is needed: `--help` answers at once, and the daemon's children carry only what
their step uses.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from typing import Any

import click

from monitor import __version__
from monitor.cli import (
    archiving,
    beginning,
    digesting,
    forgetting,
    judging,
    leaving,
    merging,
    reading,
    reporting,
    reviewing,
    serving,
    silencing,
    sources,
    steps,
    trying,
)  # fmt: skip
from monitor.cli.around import is_child
from monitor.errors import MonitorError


class _Commands(click.Group):
    """Commands in the order in which they are written here, and every error of ours as a sentence on standard error."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MonitorError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            # The reader of our output (head, less) has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", "config_path", metavar="FILE", help="Settings; else $FORUM_MONITOR_CONFIG, else ./config.yaml.")
@click.version_option(__version__, prog_name="forum-monitor")
@click.pass_context
def main(ctx: click.Context, config_path: str | None) -> None:
    """What people say in public about AI teams: collected, scored toward each team, as daily trends and alerts.

    New here? `forum-monitor demo` shows the whole way, offline. Then `forum-monitor init` writes a config.yaml.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    ctx.obj = config_path
    if is_child():
        _stop_with_daemon()


def _stop_with_daemon() -> None:
    """In a child of the daemon: end as on SIGTERM when the daemon is gone, which closes our standard input."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=wait, daemon=True).start()


for _command in (
    steps.demo, beginning.init, beginning.add, steps.check, steps.doctor,
    steps.run, steps.once, steps.collect, steps.import_, archiving.backfill, merging.merge,
    steps.understand, steps.trend, steps.alert, steps.deliver, steps.migrate,
    reading.show, reading.explain, digesting.digest, reading.posts, reading.query, sources.sources, serving.web,
    reporting.report, leaving.publish, leaving.export,
    silencing.silence,
    judging.score, judging.correct, judging.corrections, reviewing.review, judging.evaluate,
    trying.backtest, forgetting.forget,
):  # fmt: skip
    main.add_command(_command)
