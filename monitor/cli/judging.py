"""The commands in which model and people judge texts: scores, corrections of them, and how right the model is."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from monitor import clock
from monitor.cli.around import TEAMS, emit, loaded, output, progress_bar, team_id, unwritable
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.config import Config
    from monitor.evaluate import Report
    from monitor.records import Label
    from monitor.scoring import Scorer as Settings
    from monitor.sentiment import Scorer

_TOLD = 20
"""Broken lines that are told one by one."""


def _config(ctx: click.Context) -> Config:
    """config.yaml where there is one, which must be good: no other model judges in place of the one it means to name.

    Without any the embedded model serves, and no team is known.
    """
    from monitor.config import ENVIRONMENT_KEY, FILE_NAME, Config

    there = ctx.obj or os.environ.get(ENVIRONMENT_KEY) or Path(FILE_NAME).is_file()
    return loaded(ctx, quiet=True) if there else Config()


def _another_model(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options --model and --targeted of the commands that score without keeping what they find."""
    function = click.option(
        "--targeted", type=click.Choice(["mask", "pair", "none", "nli"]),
        help="How --model, if it is one for transformers, is told which team is meant; config.yaml explains each.",
    )(function)  # fmt: skip
    return click.option(
        "--model", metavar="NAME", help="`embedded`, a folder, or a name on the Hugging Face Hub, in place of what config.yaml says."
    )(function)


def _settings(config: Config, model: str | None, targeted: str | None) -> Settings:
    """`scorer` of config.yaml; with another `model` none of it but the threads, since that one is behind no address."""
    from pydantic import ValidationError

    from monitor.scoring import Scorer as Settings

    if model is None:
        if targeted:
            raise InputError("--targeted is how another model than that of config.yaml is told which team is meant: write --model too")
        return config.scorer
    try:
        return Settings.model_validate({"model": model, "targeted": targeted, "threads": config.scorer.threads})
    except ValidationError as error:
        wrong = (f"--{each['loc'][0]}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors(include_url=False))
        raise InputError("; ".join(wrong)) from None


@contextlib.contextmanager
def _scorer(config: Config, model: str | None, targeted: str | None) -> Iterator[Scorer]:
    """The model of config.yaml, or another in its place. What one behind an address costs goes into the store's account."""
    from monitor.sentiment import load_scorer
    from monitor.store import Store

    settings = _settings(config, model, targeted)
    with Store(config.database) if settings.endpoint else contextlib.nullcontext() as ledger:
        yield load_scorer(settings, ledger)


@click.command()
@click.argument("file", type=click.File("r", encoding="utf-8-sig", errors="replace"))
@_another_model
@click.pass_context
def score(ctx: click.Context, file: Any, model: str | None, targeted: str | None) -> None:
    """Score texts, and store none: JSON lines {"id", "text", "target"} in, {"id", "label", "negative", "neutral", "positive"} out.

    `target` is the team as the text names it; null or absent scores the whole text. `-` reads standard input. A line
    that cannot be read is reported on standard error with its number, and the rest goes on; the exit code is then 1.
    """
    from monitor.understand import score_lines

    config, broken = _config(ctx), 0
    # Answers that run over a terminal are progress enough.
    bar = contextlib.nullcontext() if sys.stdout.isatty() else progress_bar("score")
    with _scorer(config, model, targeted) as scorer, bar as progress:
        for line, answer in score_lines(file, scorer, teams=config.teams):
            if progress:
                progress(line, 0)
            if isinstance(answer, str):
                broken += 1
                click.echo(f"line {line}: {answer}", err=True)
            else:
                click.echo(json.dumps(answer))
    ctx.exit(1 if broken else 0)


@click.command()
@click.argument("post")
@click.argument("team", shell_complete=TEAMS)
@click.argument("label", required=False, type=click.Choice(["negative", "neutral", "positive"], case_sensitive=False))
@click.option("--note", default="", metavar="TEXT", help="Why, for whoever reads it later.")
@click.option("--undo", is_flag=True, help="Take the correction back; no LABEL then.")
@click.pass_context
def correct(ctx: click.Context, post: str, team: str, label: str | None, note: str, undo: bool) -> None:
    """Say what POST (its number or address) is toward TEAM: it counts in place of every model's score.

    The correction lapses when the post's author changes its words, and goes when the post is deleted.
    """
    from monitor import correct as corrections
    from monitor.store import Store

    if undo == bool(label):
        raise InputError("give either a label (negative, neutral or positive) or --undo")
    config = loaded(ctx)
    with Store(config.database) as store:
        if undo:
            told = corrections.undo(store, post, team_id(config, team))
        else:
            told = corrections.correct(store, config, post, team_id(config, team), cast("Label", label), note=note, now=clock.now())
    click.echo(told)


@click.command()
@click.option("--export", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write them as `evaluate` reads, with texts.")
@output
@click.pass_context
def corrections(ctx: click.Context, file: Path | None, form: str | None) -> None:
    """List the corrections, newest first, beside what the model says."""
    from monitor import show as tables
    from monitor.correct import exported
    from monitor.store import Store

    config = loaded(ctx, quiet=form is not None)
    with Store(config.database, read_only=True) as store:
        rows = store.corrections()
        if file is None:
            emit(rows, form, lambda: tables.corrections_table(rows))
            return
        posts = list(exported(store))
    try:
        with file.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(post, ensure_ascii=False) + "\n" for post in posts)
    except OSError as error:
        raise unwritable(file, error) from None
    count = sum(len(post["targets"]) for post in posts)
    click.echo(f"Wrote {count} corrections of {len(posts)} posts to {file}; {len(rows) - count} that do not count now were left out.")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--corrections", "of_store", is_flag=True, help="Evaluate on the store's corrections instead of a FILE.")
@_another_model
@click.option("--no-swap", is_flag=True, help="Do not score each text a second time with the teams' names exchanged.")
@click.option("--chart", type=click.Path(dir_okay=False, path_type=Path), metavar="PNG", help="Draw calibration, confusions and groups.")
@output
@click.pass_context
def evaluate(
    ctx: click.Context, file: Path | None, of_store: bool, model: str | None, targeted: str | None, no_swap: bool, chart: Path | None,
    form: str | None,
) -> None:  # fmt: skip
    """How right the model is on labelled texts: macro-F1 and accuracy by language, source and kind, with 95 % intervals.

    FILE holds JSON lines, gzipped or not: {"text", "targets": [{"team", "alias", "label"}], "lang", "source", "kind"}, or
    {"text", "target", "label", "lang"} where a target of null is the whole text; `-` reads standard input. A line that
    cannot be used is told on standard error with its number, and the rest goes on; the exit code is then 1. So it is when a
    limit per day or an outage of scorer.endpoint ends the reading: what was read by then is evaluated.
    """
    from monitor.evaluate import evaluate as compare
    from monitor.evaluate import tables
    from monitor.evaluate.rows import Row, opened, read

    if of_store == (file is not None):
        raise InputError("name a FILE of labelled texts, or write --corrections for those of the store")
    config = loaded(ctx, quiet=form is not None) if of_store else _config(ctx)
    if file is None:
        lines = list(read(_correction_lines(config)))
    else:
        with opened(file) as text:
            lines = list(read(text))
    rows = [row for _, row in lines if isinstance(row, Row)]
    broken = [(number, row) for number, row in lines if isinstance(row, str)]
    for number, reason in broken[:_TOLD]:
        click.echo(f"line {number}: {reason}", err=True)
    if len(broken) > _TOLD:
        click.echo(f"... and {len(broken) - _TOLD} more lines", err=True)
    with _scorer(config, model, targeted) as scorer, progress_bar("evaluate") as progress:
        report = compare(rows, scorer, teams=config.teams, exchange=not no_swap, progress=progress)
    if report.paused:
        click.echo(f"Not all was read: {report.paused}", err=True)
    if chart:
        _draw(report, chart)
    if form == "json":
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        emit(tables.group_rows(report), form, lambda: tables.report_view(report))
    ctx.exit(1 if broken or report.paused else 0)


def _correction_lines(config: Config) -> list[str]:
    from monitor.correct import exported
    from monitor.store import Store

    with Store(config.database, read_only=True) as store:
        found = [json.dumps(post) for post in exported(store)]
    if not found:
        raise InputError("there is no correction that counts: make some with `forum-monitor correct POST TEAM LABEL`")
    return found


def _draw(report: Report, path: Path) -> None:
    from monitor.charts import save_png
    from monitor.evaluate.chart import evaluation_chart

    try:
        save_png(evaluation_chart(report), path)
    except OSError as error:
        raise unwritable(path, error) from None
