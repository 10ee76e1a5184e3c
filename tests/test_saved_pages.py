"""Saved pages, single or in a folder, give the posts that a crawl would have read; the same files again change nothing."""

from __future__ import annotations

import datetime as dt
import os
import quopri
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import InputError
from monitor.importing import Rejected, import_file, read
from monitor.pages import Reading, profile
from monitor.privacy import author_key
from monitor.records import Post
from monitor.store import Counts, Store
from spiders.saved import read_page

NOW = dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC)
SAVED = dt.datetime(2025, 1, 30, 18, tzinfo=dt.UTC)
KEY = b"k" * 32


def hide(name: str, *_: object) -> str:
    return author_key(KEY, "export", name)


PAGES = Path(__file__).parent / "pages" / "forum"
THREAD = "https://kiln.example/threads/reorg-again.88/"
POST = (
    '<article class="message message--post" data-content="post-7"><time class="u-dt"{}</time><div class="message-body">'
    '<div class="bbWrapper">Words</div></div></article>'
)
MARKUP = (
    '<script type="application/ld+json">{"@type":"DiscussionForumPosting","url":"https://x.example/t/1","headline":"Pay","text":"Low.",'
    '"datePublished":"2025-01-29T10:00:00Z","author":{"name":"Ann"}}</script>'
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "monitor.db") as opened:
        yield opened


def page(path: Path, body: str | bytes) -> Path:
    """A file as it was saved at a known time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    os.utime(path, (SAVED.timestamp(), SAVED.timestamp()))
    return path


def posts(path: Path, **reading: object) -> list[Post]:
    found = list(read(path, "export", hide=hide, now=NOW, reading=Reading(**reading)))  # type: ignore[arg-type]
    assert not [item for item in found if isinstance(item, Rejected)], found
    return [item for item in found if isinstance(item, Post)]


def test_a_page_through_a_profile(tmp_path: Path) -> None:
    """A saved thread gives the posts that a crawl reads, with hashed authors; its address comes from the page."""
    (opener, reply) = posts(page(tmp_path / "thread.html", (PAGES / "xenforo" / "thread.html").read_bytes()), profile="xenforo")
    assert (opener.native_id, opener.thread_id, opener.kind) == ("501", "88", "import")
    assert opener.text == "Reorg again\n\nThey moved us twice this year.\nAny ideas?"
    assert opener.author_key == author_key(KEY, "export", "Wenna") and reply.author_key is None
    assert reply.url == f"{THREAD}post-503" and reply.parent_id == "501"


def test_what_a_browser_says_of_a_page(tmp_path: Path) -> None:
    """The address and the time of saving that browsers write into a file are used; an age counts from then, not from now."""
    html = f"<html>{POST.format('>3 hours ago')}</html>"
    (chrome,) = posts(page(tmp_path / "a.html", f"<!-- saved from url=(0044){THREAD} -->\n{html}"), profile="xenforo")
    assert (chrome.thread_id, chrome.url, chrome.posted_at) == ("88", f"{THREAD}#post-7", SAVED - dt.timedelta(hours=3))
    comment = f"<!--\n Page saved with SingleFile \n url: {THREAD} \n saved date: Thu Jan 30 2025 12:00:00 GMT+0100 (heure normale)\n-->"
    (single,) = posts(page(tmp_path / "b.htm", f"<!DOCTYPE html> <html>{comment}{html}"), profile="xenforo")
    assert (single.thread_id, single.posted_at) == ("88", dt.datetime(2025, 1, 30, 8, tzinfo=dt.UTC))
    body = quopri.encodestring(html.replace("Words", "Été 很好").encode()).decode()
    mhtml = (
        f"From: <Saved by Blink>\r\nSnapshot-Content-Location: {THREAD}\r\nSubject: x\r\nDate: Thu, 30 Jan 2025 10:00:00 -0000\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/related;\r\n\ttype="text/html";\r\n\tboundary="--b"\r\n\r\n\r\n----b\r\n'
        f"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{body}\r\n----b--\r\n"
    )
    (archive,) = posts(page(tmp_path / "c.mhtml", mhtml), profile="xenforo")
    assert (archive.text, archive.thread_id, archive.posted_at) == ("Été 很好", "88", dt.datetime(2025, 1, 30, 7, tzinfo=dt.UTC))


def test_times_of_the_sites_zone(tmp_path: Path) -> None:
    """The zone and the order of day and month that are named hold for times without them."""
    html = POST.format(' datetime="02/01/2025 10:00">')
    (post,) = posts(page(tmp_path / "a.html", html), profile="xenforo", timezone="Europe/Paris", day_first=True)
    assert post.posted_at == dt.datetime(2025, 1, 2, 9, tzinfo=dt.UTC) and post.url == ""


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    """A YAML file with a profile reads a site that no built-in one knows."""
    mine = {
        "threads": {"threads": {"row": "li", "link": "a::attr(href)"}},
        "posts": {"post": "p", "id": "::attr(id)", "body": "span", "time": "i", "thread": r"/(\d+)$"},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(mine), "utf-8")
    saved = page(tmp_path / "t.html", '<p id="x9"><i>hier à 21:28</i><span>Bien.</span></p>')
    (post,) = posts(saved, profile=profile(str(path)), url="https://x.example/t/4", timezone="Europe/Paris")
    assert (post.native_id, post.text, post.thread_id) == ("9", "Bien.", "4")
    assert post.posted_at == dt.datetime(2025, 1, 29, 20, 28, tzinfo=dt.UTC)


def test_a_page_that_describes_its_posts(tmp_path: Path) -> None:
    """Without a profile, JSON-LD and microdata are read."""
    (post,) = posts(page(tmp_path / "t.html", MARKUP))
    assert (post.native_id, post.url, post.text) == ("https://x.example/t/1", "https://x.example/t/1", "Pay\n\nLow.")


def test_a_folder_is_read_whole_and_only_once(tmp_path: Path, store: Store) -> None:
    """Pages in a folder and below it are stored, broken ones are named and cost nothing else; again changes nothing."""
    folder = tmp_path / "pages"
    page(folder / "1.html", MARKUP)
    page(folder / "below" / "2.HTM", MARKUP.replace("t/1", "t/2"))
    page(folder / "1_files" / "frame.html", "<p>an advertisement</p>")
    page(folder / "3.html", b"\x00\xff\xfe")
    page(folder / "4.mht", "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n")
    page(folder / "notes.txt", "no page")
    result = import_file(store, folder, "export", hide=hide, now=NOW)
    assert result.counts == Counts(new=2)
    assert sorted(reason.split(":")[0] for _, reason in result.rejected) == ["3.html", "4.mht"]
    assert import_file(store, folder, "export", hide=hide, now=NOW + dt.timedelta(days=9)).counts == Counts(unchanged=2)


def test_what_cannot_be_read_at_all(tmp_path: Path) -> None:
    """A missing file, an empty folder, a wrong profile or zone, and options that are not for lines end in one sentence."""
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"text": "x"}\n', "utf-8")
    saved = page(tmp_path / "a.html", MARKUP)
    (tmp_path / "empty").mkdir()
    for path, reading, words in (
        (tmp_path / "no.html", Reading(), "cannot be read"),
        (tmp_path / "empty", Reading(), "it holds none"),
        (tmp_path, Reading(url="https://x.example/"), "the address of one page"),
        (saved, Reading(profile="fluxbb"), "there is no such profile: use phpbb"),
        (saved, Reading(profile={"posts": {}}), "threads is missing"),
        (saved, Reading(timezone="Mars"), "IANA name"),
        (lines, Reading(profile="phpbb"), "are for pages"),
    ):
        with pytest.raises(InputError, match=words):
            list(read(path, "export", hide=hide, now=NOW, reading=reading))
    for text in ("- a list", "a: [", None):
        if text is not None:
            (tmp_path / "p.yaml").write_text(text, "utf-8")
        with pytest.raises(InputError, match="profile"):
            profile(str(tmp_path / ("p.yaml" if text else "none.yaml")))


def test_the_command(
    write_config: Callable[..., Path], forum_monitor: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """`forum-monitor import PAGE --profile NAME` says what became of the page."""
    config = write_config()
    saved = page(tmp_path / "thread.html", (PAGES / "phpbb" / "thread.html").read_bytes())
    done = forum_monitor(
        "--config", config, "import", saved, "--source", "mine", "--profile", "phpbb", "--url", "https://r.example/viewtopic.php?t=41"
    )
    assert done.returncode == 0, done.stderr
    assert "import mine: 3 new, 0 changed, 0 unchanged, 0 rejected." in done.stdout
    done = forum_monitor("--config", config, "import", saved, "--source", "mine", "--profile", "spirit")
    assert done.returncode == 0 and "thread.html: the profile finds no posts on it" in done.stderr


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)), st.sampled_from([None, "phpbb", "woltlab"]), st.data())
def test_no_file_breaks_the_reading(junk: bytes, reader: str | None, data: st.DataObject) -> None:
    """Whatever a file holds, the answer is posts and reasons."""
    whole = (PAGES / "phpbb" / "thread.html").read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    for body in (junk, whole[:start] + junk + whole[start:], b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n" + junk):
        found, left_out = read_page(body, url=None, reader=reader, saved_at=NOW)
        assert all(isinstance(fields["text"], str) for fields in found) and all(isinstance(reason, str) for reason in left_out)
