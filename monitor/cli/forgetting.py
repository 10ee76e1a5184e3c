"""The command that forgets, and shows that it did."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import click

from monitor.cli.around import SOURCES, progress_bar, running
from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.forget import Proof


@click.command()
@click.option("--url", metavar="URL", help="The post at this address, or with this number.")
@click.option(
    "--author-of", "author_of", metavar="URL", help="All posts of whoever wrote the one at this address, and what he writes later."
)
@click.option("--source", metavar="NAME", shell_complete=SOURCES, help="Everything of a source, which must be disabled in config.yaml.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "form", flag_value="json", help="The proof as JSON.")
@click.pass_context
def forget(ctx: click.Context, url: str | None, author_of: str | None, source: str | None, yes: bool, form: str | None) -> None:
    """Remove a post, an author's posts or a source from every table, index and file, and prove it by searching the files.

    Figures are computed again without them. A tombstone stays, so that no crawl brings them back. Exit code 1 when the
    search still found something, or an archive could not be reached.
    """
    from monitor import forget as forgetting
    from monitor.daemon import lock

    place = url or author_of
    if sum(each is not None for each in (url, author_of, source)) != 1 or not (place or source):
        raise InputError("give one of --url URL, --author-of URL or --source NAME")
    with running(ctx, "forget") as (config, store), contextlib.ExitStack() as locks, progress_bar("forget") as progress:
        # A `trend` that began before would store figures of what is gone.
        locks.enter_context(lock(config.database, "trend"))
        locks.enter_context(lock(config.database, "merge"))  # one that began before would bring it back
        if source is not None:
            locks.enter_context(lock(config.database, f"collect.{source}"))
            _ask(yes, form, f"{len(forgetting.check_source(store, config, source))} posts of {source}")
            proof = forgetting.forget_source(store, config, source, progress=progress)
        else:
            posts, author = forgetting.found_at(store, str(place), author=author_of is not None)
            _ask(yes, form, f"{len(posts)} posts" + (" by one author, and whatever that author posts there later" if author else ""))
            what = f"{'author of ' if author else ''}{len(posts)} posts"
            proof = forgetting.forget_posts(store, config, posts, what=what, author=author, progress=progress)
    click.echo(json.dumps(proof.as_json(), indent=2) if form else _told(proof))
    ctx.exit(0 if proof.complete else 1)


def _ask(yes: bool, form: str | None, what: str) -> None:
    if not yes:
        click.confirm(f"Forget {what}? This cannot be taken back.", abort=True, err=form is not None)


def _told(proof: Proof) -> str:
    """The proof in words."""
    search = proof.search
    marks = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(proof.marks.items()))
    lines = [
        f"Forgotten: {proof.forgotten} ({proof.posts} posts).",
        "Rows that went, or lost what they held:",
        *(f"  {table}: {count}" for table, count in proof.rows.items()),
        f"Tombstones that stay in their place: {proof.tombstones}. Marks of what is not to come back, in all: {marks or 'none'}.",
        f"Figures computed again: {proof.team_days} team days.",
        f"Searched: {', '.join(f'{name} ({size:,} bytes)' for name, size in search.files.items())}"
        + ("; the database was written anew for it." if proof.rewritten else "."),
        *(f"  {kind}: {search.searched.get(kind, 0)} searched for, {count} found" for kind, count in search.hits.items()),
    ]
    if search.too_short:
        lines.append(f"  {search.too_short} texts are too short to be searched for.")
    if search.elsewhere:
        held = ", ".join(f"{count} in {place}" for place, count in search.elsewhere.items())
        lines.append(f"The same words, address or key stand in rows that live on, of other posts: {held}.")
    lines += proof.unreached
    if any(search.hits.values()):
        lines.append(
            "Something is left in the files, as when another process reads them. It is in no table; the end of a crawl, a day from now "
            "at the latest, takes it out of the files too."
        )
    return "\n".join(lines)
