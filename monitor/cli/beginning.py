"""The commands that write config.yaml: `init`, which asks or takes flags, and `add`, which changes one and leaves its comments alone."""

from __future__ import annotations

import datetime as dt
import importlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monitor import clock
from monitor.cli.around import PROBLEMS, TEAMS, loaded, team_id, unwritable
from monitor.errors import ConfigError, InputError

if TYPE_CHECKING:
    from monitor import beginning
    from monitor.config import Config, Team
    from monitor.errors import Problem

_TARGETS = """\
    export {name}='mailtos://USER:PASSWORD@smtp.example.org?from=monitor@example.org&to=you@example.org'   # mail
    export {name}='slack://TokenA/TokenB/TokenC/#channel'                                                 # Slack
    export {name}='ntfys://ntfy.sh/a-topic-that-nobody-guesses'                                           # ntfy, to a telephone"""
"""Addresses to begin with; Apprise knows 100 more."""


def _read_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a person has read in a site's terms."""
    function = click.option(
        "--read-on", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="When they were read; today by default."
    )(function)  # fmt: skip
    function = click.option("--read-by", metavar="WHO", help="Who read them; the contact by default.")(function)
    return click.option(
        "--allows", metavar="TEXT", help="What the site's terms allow, as you read them. Without it the source is written down, but off."
    )(function)  # fmt: skip


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="config.yaml")
@click.option("--contact", metavar="ADDRESS", help="E-mail address or page that site owners see in the user agent.")
@click.option("--team", "words", multiple=True, metavar="TEAM", help="Watch this one; repeat it. All that are shipped by default.")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name of a --team that is not shipped; repeat it.")
@click.option("--feed", metavar="URL", help="An RSS, Atom or JSON feed to read.")
@click.option("--discourse", metavar="URL", help="A Discourse forum to read.")
@_read_options
@click.option("--notify", metavar="VARIABLE", help="Environment variable with the address that alerts go to, such as ALERT_URL.")
@click.option("--language", type=click.Choice(["en", "fr"]), help="Of the pages; the browser's by default.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
def init(
    path: Path, contact: str | None, words: tuple[str, ...], aliases: tuple[str, ...], feed: str | None, discourse: str | None,
    allows: str | None, read_by: str | None, read_on: dt.datetime | None, notify: str | None, language: str | None, force: bool,
) -> None:  # fmt: skip
    """Write a config.yaml to start from, every key explained. On a terminal, without options, it asks.

    `--team` takes ids of shipped teams (deepseek) or a new name, `--team "Acme AI" --alias Acme`. `forum-monitor add` adds more later.
    """
    from monitor import beginning
    from monitor.config import FILE_NAME, shipped

    if path.exists() and not force:
        raise InputError(f"{path} exists already: name another file, or write over it with --force")
    text = shipped()
    known = _shipped_teams(text)
    if sys.stdin.isatty() and not any((contact, words, aliases, feed, discourse, allows, notify, language)):
        answers = _asked(known)
    else:
        terms = _terms(allows, read_by or contact, read_on)
        if terms and feed and discourse:
            raise InputError(
                "--allows is what one site's terms say: give --feed or --discourse, and the other with `forum-monitor add source`"
            )
        sources = [(kind, url, terms) for kind, url in (("feed", feed), ("discourse", discourse)) if url]
        answers = _Answers(contact or "", _watched(known, words, aliases), sources, notify, language)
    text = beginning.drafted(text, known, contact=answers.contact, watched=answers.teams, language=answers.language)
    added = []
    for kind, url, read in answers.sources:
        added.append(beginning.NewSource(beginning.of_address(url, _names(text)), kind, _options(kind, url, {}), read))
        text = beginning.with_source(text, added[-1])
    variable = beginning.variable(answers.notify) if answers.notify else None
    if variable:
        text = beginning.with_target(text, variable)
    _keep(path, text, unset=variable)
    click.echo(f"Wrote {path}: {_watching(text)}.")
    for source in added:
        _told_source(source)
    if variable and variable not in os.environ:
        click.echo(f"Alerts go to the address in {variable}, such as one of these (100 more: https://appriseit.com/services/):")
        click.echo(_TARGETS.format(name=variable))
    if not answers.contact:
        click.echo("contact is empty, so nothing beyond this machine is crawled: write into the file how a site's owner can reach you.")
    ours = "forum-monitor" if path == Path(FILE_NAME) else f"forum-monitor --config {path}"
    steps = ["check", *(["deliver --test"] if variable else []), "once", "web --open"]
    click.echo(f"Next: {', '.join(f'`{ours} {step}`' for step in steps)}, and `{ours} run` to leave it running.")


@dataclass(frozen=True, slots=True)
class _Answers:
    """What `init` was told; `sources` are (type, address, terms)."""

    contact: str
    teams: list[Team | beginning.NewTeam]
    sources: list[tuple[str, str, beginning.Read | None]]
    notify: str | None
    language: str | None


def _shipped_teams(text: str) -> Sequence[Team]:
    import yaml

    from monitor.config import Config

    return Config.model_validate({"teams": yaml.safe_load(text)["teams"]}).teams


def _watched(known: Sequence[Team], words: Sequence[str], aliases: Sequence[str]) -> list[Team | beginning.NewTeam]:
    """The teams that --team names; the aliases are of the one that is not among the shipped ones."""
    from monitor import beginning

    found = {word: beginning.shipped_team(known, word) for word in words}
    if aliases and sum(team is None for team in found.values()) != 1:
        raise InputError("--alias is another name of the one --team that is not shipped: add others later with `forum-monitor add team`")
    return [team or beginning.NewTeam(beginning.of_name(word), word, aliases) for word, team in found.items()]


def _terms(allows: str | None, by: str | None, on: dt.datetime | None) -> beginning.Read | None:
    from monitor.beginning import Read

    if allows and not by:
        raise InputError("--allows needs --read-by: who read the site's terms")
    return Read(allows, str(by), on.date() if on else clock.now().date()) if allows else None


def _options(kind: str, url: str, others: dict[str, Any]) -> dict[str, Any]:
    """A source's options: the address under the key that its type has for it, and others."""
    module = importlib.import_module(f"spiders.{kind}")
    spider: Any = next(one for one in vars(module).values() if getattr(one, "name", None) == kind)
    keys = spider.options_type.model_fields
    return ({"urls": [url]} if "urls" in keys else {"url": url}) | others


def _names(text: str) -> list[str]:
    from monitor.amend import texts

    return [source["name"] for source in texts(text).get("sources") or [] if "name" in source]


# ---- questions ---------------------------------------------------------------------------------------------------------


def _asked(known: Sequence[Team]) -> _Answers:
    """The answers of a person at a terminal."""
    from monitor import beginning

    click.echo("A few questions; Enter takes what stands in brackets, and everything can be changed in the file later.\n")
    contact = click.prompt(
        "Your e-mail address or page, which sites that are read see (Enter: none, and nothing beyond this machine is read)",
        default="",
        show_default=False,
    )
    click.echo(f"\nTeams that come with it: {', '.join(team.id for team in known)}.")
    teams = click.prompt(
        "Watch which, by commas? Any other name is a new team", default="all", value_proc=_again(lambda answer: _named(known, answer))
    )
    teams = [_with_aliases(team) for team in teams]
    sources = []
    click.echo("\nHacker News is read. Other places are read once you have read their terms.")
    for kind, what in (("feed", "An RSS, Atom or JSON feed"), ("discourse", "A Discourse forum")):
        if url := click.prompt(f"{what}: its address (Enter: none)", default="", show_default=False, value_proc=_again(_web_address)):
            sources.append((kind, url, _asked_terms(contact)))
    click.echo("\nAlerts are printed. To have them mailed, in Slack or on a telephone too, name an environment variable for the address.")
    notify = click.prompt(
        "Its name, such as ALERT_URL (Enter: only print)", default="", show_default=False,
        value_proc=_again(lambda answer: beginning.variable(answer) if answer else ""),
    )  # fmt: skip
    language = click.prompt("\nLanguage of the pages", type=click.Choice(["en", "fr", "browser"]), default="browser")
    click.echo()
    return _Answers(contact, teams, sources, notify or None, None if language == "browser" else language)


def _again(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """What makes an answer of the words typed, so that a mistake in them is told and asked again."""

    def checked(answer: str) -> Any:
        try:
            return read(answer.strip())
        except InputError as error:
            raise click.UsageError(str(error)) from None

    return checked


def _named(known: Sequence[Team], answer: str) -> list[Team | beginning.NewTeam]:
    """The teams in a list by commas; `all` is none in particular."""
    return [] if answer == "all" else _watched(known, [*filter(None, map(str.strip, answer.split(",")))], ())


def _with_aliases(team: Team | beginning.NewTeam) -> Team | beginning.NewTeam:
    from monitor.beginning import NewTeam

    if not isinstance(team, NewTeam):
        return team
    others = click.prompt(f"Other names of {team.name}, by commas (Enter: none)", default="", show_default=False)
    return replace(team, aliases=[*filter(None, map(str.strip, others.split(",")))])


def _web_address(answer: str) -> str:
    from monitor.beginning import of_address

    if answer:
        of_address(answer, ())
    return answer


def _asked_terms(contact: str) -> beginning.Read | None:
    from monitor.beginning import Read

    allows = click.prompt(
        "  Read the site's terms now. What do they allow? (Enter: not read yet, it stays off)", default="", show_default=False
    )
    by = click.prompt("  Who has read them?", default=contact or None) if allows else ""
    return Read(allows, by, clock.now().date()) if allows else None


# ---- additions ---------------------------------------------------------------------------------------------------------


@click.group()
def add() -> None:
    """Add a team, a source or a target to config.yaml; its comments and layout stay."""


@add.command(name="team")
@click.argument("name")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Another name by which texts call it; repeat it.")
@click.option("--id", "given", metavar="ID", help="Its id in commands and tables; made of the name by default.")
@click.option("--parent", metavar="TEAM", shell_complete=TEAMS, help="The team that it is a part of.")
@click.pass_context
def add_team(ctx: click.Context, name: str, aliases: tuple[str, ...], given: str | None, parent: str | None) -> None:
    """Watch the team NAME too, and search for it where sources search."""
    from monitor import beginning

    config = loaded(ctx, quiet=True)
    team = beginning.NewTeam(given or beginning.of_name(name), name, aliases, team_id(config, parent) if parent else None)
    text, searching = beginning.with_team(_text(config), team)
    _keep(config.path, text, before=ctx.meta[PROBLEMS])
    searched = f"; {', '.join(searching)} will be searched for it" if searching else ""
    click.echo(f"Added the team {team.id} to {config.path.name}{searched}. {_TAKE_UP}")
    click.echo(
        f"Posts that are stored already are read for it by the next `forum-monitor understand`; `forum-monitor show {team.id}` shows it."
    )


@add.command(name="source")
@click.argument("url")
@click.option(
    "--type", "kind", default="feed", show_default=True, metavar="TYPE", help="How it is read: feed, discourse, ... (README lists all)."
)
@click.option("--name", "given", metavar="NAME", help="Its name in commands and tables; its host by default.")
@click.option("--press", is_flag=True, help="It carries articles, which count as nobody's voice.")
@click.option("--option", "others", multiple=True, metavar="KEY=VALUE", help="Another option of its type, the value as YAML; repeat it.")
@_read_options
@click.pass_context
def add_source(
    ctx: click.Context, url: str, kind: str, given: str | None, press: bool, others: tuple[str, ...], allows: str | None,
    read_by: str | None, read_on: dt.datetime | None,
) -> None:  # fmt: skip
    """Read the forum or feed at URL too, once somebody has read its terms (--allows)."""
    from monitor import beginning
    from monitor.config import spider_types
    from monitor.problems import near

    config = loaded(ctx, quiet=True)
    if kind not in spider_types():
        raise InputError(f"--type {kind} is no type of source. {near(kind, spider_types())}")
    text = _text(config)
    name = given or beginning.of_address(url, _names(text))
    source = beginning.NewSource(
        name, kind, _options(kind, url, _pairs(others)), _terms(allows, read_by or config.contact, read_on), "press" if press else "voice"
    )
    _keep(config.path, beginning.with_source(text, source), before=ctx.meta[PROBLEMS])
    click.echo(f"Added the source {name} to {config.path.name}. {_TAKE_UP}")
    _told_source(source)


@add.command(name="target")
@click.argument("variable")
@click.option("--severity", "severities", multiple=True, metavar="WORD", help="Only alerts of rules with this severity; repeat it.")
@click.pass_context
def add_target(ctx: click.Context, variable: str, severities: tuple[str, ...]) -> None:
    """Send alerts to the address in the environment variable VARIABLE too, such as ALERT_URL."""
    from monitor import beginning

    config = loaded(ctx, quiet=True)
    name = beginning.variable(variable)
    _keep(config.path, beginning.with_target(_text(config), name, severities), before=ctx.meta[PROBLEMS], unset=name)
    click.echo(f"Added the target {beginning.target_name(name)} to {config.path.name}. {_TAKE_UP}")
    if name in os.environ:
        click.echo("Try it: `forum-monitor deliver --test`.")
    else:
        click.echo(f"Set {name} for what runs forum-monitor, to an address such as:")
        click.echo(_TARGETS.format(name=name))


_TAKE_UP = "A daemon that runs takes it up on SIGHUP."


def _pairs(words: Sequence[str]) -> dict[str, Any]:
    """`--option tags=[a, b]` as settings."""
    import yaml

    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals:
            raise InputError(f"--option {key} is not KEY=VALUE: write for example --option tags='[OpenAI, LLM]'")
    return found


def _told_source(source: beginning.NewSource) -> None:
    if source.terms is None:
        click.echo(
            f"{source.name} is off until somebody has read the site's terms: then write, in place of `enabled: false`, "
            "terms: {read_on: 2026-01-31, by: your name, allows: what they allow}"
        )
    else:
        click.echo(f"`forum-monitor sources test {source.name}` shows its first posts, and stores nothing.")


# ---- the file ----------------------------------------------------------------------------------------------------------


def _text(config: Config) -> str:
    return config.path.read_text("utf-8")


def _watching(text: str) -> str:
    from monitor.amend import texts

    teams = [team["name"] for team in texts(text)["teams"]]
    return (
        (f"{len(teams)} teams are" if len(teams) > 1 else "one team is") + " watched" + (f" ({', '.join(teams)})" if len(teams) < 8 else "")
    )


def _keep(path: Path, text: str, *, before: Sequence[Problem] = (), unset: str | None = None) -> None:
    """Write `text` to `path`, whole or not at all: a ConfigError tells its problems, but for those that were there `before`.

    That the variable `unset` is not set in this process is no problem.
    """
    from monitor.config import load
    from monitor.sources import wrong_options

    path = path.resolve()
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        old = path.read_bytes() if path.exists() else b""
        new.write_text(text, "utf-8", newline="\r\n" if b"\r\n" in old else "\n")
        if old:
            shutil.copymode(path, new)
        config, problems = load(new)
        fresh = [
            problem for problem in [*problems, *wrong_options(config)]
            if problem not in before and problem.wrong != f"the environment variable {unset} is not set"
        ]  # fmt: skip
        if fresh:
            raise ConfigError(str(path), fresh)
        new.replace(path)
    except ConfigError as error:
        raise ConfigError(f"{path} is left as it is, since what was asked makes", error.problems) from None
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        new.unlink(missing_ok=True)
