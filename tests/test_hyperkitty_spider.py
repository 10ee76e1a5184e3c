"""HyperKitty's archive of a list is read whole: every mail once, by when it was archived, and what was deleted is noticed."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import reading
from answers import Answer, Site, as_json, crawl
from broken import JUNK, mutated
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from reading import NOW, SHARED, answer, as_rows, begin, posts_of, read, walk

from monitor.errors import CrawlError
from monitor.records import Gone, Post
from monitor.store import Store
from spiders.hyperkitty import HyperKitty, own_words

LIST = "https://lists.example/archives/list/ai@lists.example"
API = "https://lists.example/archives/api/list/ai@lists.example"
OPTIONS = {"url": f"{LIST}/"}
HOUR = dt.timedelta(hours=1)


def make(options: Mapping[str, Any] = OPTIONS, **given: Any) -> Any:
    return reading.make(HyperKitty, options, **given)


class Archive:
    """What a HyperKitty answers: `mails` in the order in which they were archived, whatever their Date."""

    def __init__(self, *, most: int = 10**6, paged: bool = True) -> None:
        self.most, self.paged = most, paged
        self.mails: list[dict[str, Any]] = []
        self.written = 0
        self.asked: list[str] = []
        self.after_each: Callable[[], None] = lambda: None

    def receive(self, date: dt.datetime | None, thread: str = "", **fields: Any) -> str:
        self.written += 1
        name = f"HASH{self.written}"
        mail = {
            "url": f"{API}/email/{name}/?format=json", "mailinglist": f"{API}/?format=json", "message_id": f"{self.written}@lists.example",
            "message_id_hash": name, "thread": f"{API}/thread/{thread or name}/?format=json",
            "sender": {"address": "ann (a) example.test", "mailman_id": None, "emails": None}, "sender_name": "Ann",
            "subject": "Re: Morale" if thread else "Morale", "date": date.isoformat() if date else None,
            "parent": f"{API}/email/{thread}/?format=json" if thread else None, "children": [], "content": f"Words {self.written}.\n",
        }  # fmt: skip
        self.mails.append({**mail, **fields})
        return name

    def delete(self, name: str) -> None:
        self.mails = [mail for mail in self.mails if mail["message_id_hash"] != name]

    def fetch(self, url: str) -> tuple[int, bytes]:
        self.asked.append(url)
        parts = urlsplit(url)
        words = parts.path.strip("/").split("/")
        if words[-2] == "email":
            [*found] = [mail for mail in self.mails if mail["message_id_hash"] == words[-1]]
            return (200, json.dumps(found[0]).encode()) if found else (404, b'{"detail":"Not found."}')
        short = [{key: value for key, value in mail.items() if key != "content"} for mail in reversed(self.mails)]
        if words[-3] == "thread":
            return 200, json.dumps([mail for mail in short if f"/thread/{words[-2]}/" in mail["thread"]]).encode()
        if not self.paged:
            return 200, json.dumps(short).encode()
        query = {key: int(values[0]) for key, values in parse_qs(parts.query).items() if key != "format"}
        end = query["offset"] + min(query["limit"], self.most)
        following = f"{url}#next" if end < len(short) else None
        found = short[query["offset"] : end]
        self.after_each()
        return 200, json.dumps({"count": len(short), "next": following, "previous": None, "results": found}).encode()


def test_every_field_of_a_mail() -> None:
    """Subject without the list's tag, the author's own words, thread, answered mail, address; a key for the address or the name."""
    archive = Archive()
    first = archive.receive(NOW - 3 * HOUR, subject="[AI] Morale at\n DeepSeek", content="Low.\r\n\r\n-- \r\nAnn\r\n")
    archive.receive(NOW - 2 * HOUR, first, subject="[AI] Re: [ai] Morale at DeepSeek", content="On Friday, Ann wrote:\n> Low.\n\nHigh.")
    archive.receive(None, first, sender={"address": "ai (a) lists.example"}, sender_name="Bob via AI", subject="AW: Re: Morale")
    archive.receive(NOW - HOUR, subject="Re: Something that is not archived", sender=None, sender_name="Zoé")
    archive.receive(NOW - HOUR, content=None)
    spider = make()
    found = {row["native_id"]: row for row in as_rows(walk(spider, archive.fetch))}
    common = {"date_origin": "site", "thread_id": "HASH1", "author_key": "key of ann@example.test"}
    assert found == {
        "HASH1": {**common, "native_id": "HASH1", "url": f"{LIST}/message/HASH1/", "text": "Morale at DeepSeek\n\nLow.",
                  "title": "Morale at DeepSeek", "posted_at": (NOW - 3 * HOUR).isoformat()},
        "HASH2": {**common, "native_id": "HASH2", "url": f"{LIST}/message/HASH2/", "text": "High.", "parent_id": "HASH1",
                  "title": "Morale at DeepSeek", "posted_at": (NOW - 2 * HOUR).isoformat()},
        "HASH3": {**common, "native_id": "HASH3", "url": f"{LIST}/message/HASH3/", "text": "Words 3.", "parent_id": "HASH1",
                  "title": "Morale", "posted_at": NOW.isoformat(), "date_origin": "fetched", "author_key": "key of Bob"},
        "HASH4": {**common, "native_id": "HASH4", "url": f"{LIST}/message/HASH4/", "text": "Words 4.", "thread_id": "HASH4",
                  "title": "Something that is not archived", "posted_at": (NOW - HOUR).isoformat(), "author_key": "key of Zoé"},
    }  # fmt: skip
    assert dict(spider.rejections) == {"has no text": 1}
    assert spider.next_cursor == {"url": LIST, "until": "2025-01-31T12:00:00Z", "newest": [f"HASH{n}" for n in range(5, 0, -1)]}
    assert spider.covered == (NOW - dt.timedelta(days=7), NOW)


@pytest.mark.parametrize(
    ("mail", "own"),
    [
        ("Mine.\n\n--\nAnn\nHead of things", "Mine."),
        ("-- a dash begins this line\nMine.", "-- a dash begins this line\nMine."),
        ("Mine.\n" + "_" * 47 + "\nAI mailing list -- ai@lists.example\nTo unsubscribe send an email to ...", "Mine."),
        ("Mine.\n" + "_" * 47 + "\nhttps://lists.example/listinfo/ai", "Mine."),
        ("Mine.\n\n-----Original Message-----\nFrom: Bob\nTheirs.", "Mine."),
        ("Mine.\n\n---------- Forwarded message ---------\nFrom: Bob\nTheirs.", "Mine."),
        ("Mine.\n________________________________\nDe : Bob\nTheirs.", "Mine."),
        ("Mine.\n\nFrom: Bob\nSent: Monday, January 20, 2025 9:30 AM\nTo: ai@lists.example\nTheirs.", "Mine."),
        ("From: me\nTo: all of you\nMine.", "From: me\nTo: all of you\nMine."),
        ("Am 20.01.2025 um 09:30 schrieb Bob:\n> seins\nMeins.", "Meins."),
        ("Mien.\n\n-----Message d'origine-----\nDe : Bob", "Mien."),
        ("我的。\n\n------------------ 原始邮件 ------------------\n发件人: Bob", "我的。"),
        (
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nMine.\n-----BEGIN PGP SIGNATURE-----\n\niQ\n-----END PGP SIGNATURE-----",
            "Mine.",
        ),
        ("> theirs\n> theirs too\n\nMine.\n>> older\nMine too.", "Mine.\n\nMine too."),
        ("One __________ two\n____\nthree", "One __________ two\n____\nthree"),
        ("", ""),
    ],
)
def test_own_words(mail: str, own: str) -> None:
    """Of a mail only what its author wrote stays: no quotes, signature, footer of the list, forwarded or answered mail."""
    assert own_words(mail) == own


def test_own_words_of_a_huge_mail() -> None:
    """Megabytes of underscores, dashes or quotes are read in bounded time."""
    for part in ("_" * 30 + "\n", "-" * 40, "_" * 10**6, "> " * 100 + "\n", "re:\n", "-- \n"):
        own_words(part * (2 * 10**6 // len(part)))


@pytest.mark.skipif(not SHARED.exists(), reason="the recorded answers do not lie beside this checkout")
def test_recorded_answers() -> None:
    """A real list's page and thread: mails by hash with their date, asked for one by one."""
    recorded = SHARED / "recorded" / "hyperkitty"
    url = "http://127.0.0.1:8103/archives/list/ai-teams@lists.example.test/"
    spider = make({"url": url}, now=dt.datetime(2026, 11, 22, tzinfo=dt.UTC))
    [request] = begin(spider)
    page = (recorded / "_archives_api_list_ai_teams_lists_example_test_emails__format_json_limit_2").read_bytes()
    first, second, following = read(request, answer(request, page))
    assert (
        first.url
        == "http://127.0.0.1:8103/archives/api/list/ai-teams@lists.example.test/email/HW227BODMRARUTPIPPYCATVFPSZ4NFCR/?format=json"
    )
    assert "offset=1" in following.url
    mail = {**json.loads(page)["results"][1], "content": "> on-call is brutal\n\nreply 29: agreed\n"}
    [post] = posts_of(read(second, answer(second, json.dumps(mail).encode())))
    assert isinstance(post, Post) and post.text == "reply 29: agreed" and post.title == "Morale in GenAI after the reorg"
    assert post.thread_id == post.parent_id == "DFBVASPQ2SHJODBSQWLYQQRRJ5GPQPMS" and post.author_key == "key of bob@example.test"
    assert post.url == f"{url}message/FKQFVKDL34B4LICWRQTGOSE4NVREF4YX/"
    request = spider.ask(url, spider.read_thread, essential=False, stored={"HW227BODMRARUTPIPPYCATVFPSZ4NFCR", "OTHER"})
    [verify] = read(request, answer(request, (recorded / "thread_emails.json").read_bytes()))
    assert verify.url.endswith("/email/OTHER/?format=json") and not verify.meta["essential"]
    assert not spider.rejections and not spider.failures


@given(
    ages=st.lists(st.floats(0.1, 300), max_size=120),
    late=st.lists(st.floats(0.1, 1000), max_size=130),
    most=st.sampled_from([1, 3, 6, 20, 50]),
    paged=st.booleans(),
    deleted=st.integers(0, 5),
)
@example(ages=[], late=[1.0, *[7.0] * 10], most=1, paged=True, deleted=0)
@example(ages=[1.0], late=[1.0, *[7.0] * 10], most=1, paged=True, deleted=0)
@settings(max_examples=60, deadline=None)
def test_no_mail_is_lost_or_read_twice(ages: list[float], late: list[float], most: int, paged: bool, deleted: int) -> None:
    """The first crawl reads seven days by Date; the next all that was archived since, whatever its Date, and no mail twice.

    Mails that are deleted while the list is read hide no other mail.
    """
    archive = Archive(most=most, paged=paged)
    for hours in sorted(ages, reverse=True):
        archive.receive(NOW - 6 * HOUR - hours * HOUR)
    first = make(now=NOW - 6 * HOUR)
    found = walk(first, archive.fetch)
    week = NOW - 6 * HOUR - dt.timedelta(days=7)
    due = [mail["message_id_hash"] for mail in archive.mails if dt.datetime.fromisoformat(mail["date"]) >= week]
    assert sorted(post.native_id for post in found) == sorted(due)
    stored = [(post.native_id, post.thread_id, post.posted_at) for post in found]
    new = [archive.receive(NOW - hours * HOUR) for hours in late]
    doomed = new[-deleted:] if deleted and most > 5 else []
    if doomed:
        archive.after_each = lambda: [archive.delete(name) for name in doomed]  # type: ignore[assignment, return-value]
    second = make(cursor=first.next_cursor, overlap=0.0, recent=stored, options=OPTIONS)
    items = walk(second, archive.fetch)
    posts = [item.native_id for item in items if isinstance(item, Post)]
    assert len(posts) == len(set(posts)) and set(new) - set(doomed) <= set(posts) <= set(new)
    assert not first.failures and not second.failures and second.covered == (NOW - 6 * HOUR, NOW)
    assert {item.native_id for item in items if isinstance(item, Gone)} <= set(doomed)


def test_an_archive_whose_known_mails_were_all_deleted() -> None:
    """Where no mail is left of those that the last crawl knew, the list is read until ten pages held old mails only."""
    archive = Archive()
    for n in range(2000):
        archive.receive(NOW - (3000 - n) * HOUR)
    cursor = {"url": LIST, "until": "2025-01-31T11:00:00Z", "newest": ["DELETED"]}
    spider = make(cursor=cursor)
    walk(spider, archive.fetch)
    assert len([url for url in archive.asked if "/emails/" in url]) == 10 and spider.covered


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_deletions_are_noticed(data: st.DataObject) -> None:
    """Stored mails that the archive does not hold any more are gone; those that went to another thread come anew, and no other."""
    archive = Archive()
    roots = [archive.receive(NOW - 200 * HOUR) for _ in range(3)]
    ids = [archive.receive(NOW - (160 - n) * HOUR, roots[n % 3]) for n in range(data.draw(st.integers(0, 30)))]
    recent = [(mail["message_id_hash"], mail["thread"].split("/")[-2], dt.datetime.fromisoformat(mail["date"])) for mail in archive.mails]
    fates = {name: data.draw(st.sampled_from(["stays", "deleted", "moved"])) for name in ids}
    newest = [archive.receive(NOW - 2 * HOUR) for _ in range(data.draw(st.integers(1, 3)))]
    for name, fate in fates.items():
        if fate == "deleted":
            archive.delete(name)
        elif fate == "moved":
            next(mail for mail in archive.mails if mail["message_id_hash"] == name)["thread"] = f"{API}/thread/OTHER/"
    # Not all are on the list's pages that are read for new mails.
    archive.mails += [{**archive.mails[-1], "message_id_hash": f"FILLER{n}", "date": (NOW - 100 * HOUR).isoformat()} for n in range(60)]
    cursor = {"url": LIST, "until": "2025-01-31T11:00:00Z", "newest": [newest[0], "FILLER59"]}
    spider = make(cursor=cursor, recent=recent[::-1])
    found = {item.native_id: item for item in walk(spider, archive.fetch)}
    assert {name for name, item in found.items() if isinstance(item, Gone)} == {name for name in ids if fates[name] == "deleted"}
    assert {name for name, item in found.items() if isinstance(item, Post)} == {name for name in ids if fates[name] == "moved"}
    assert all(item.thread_id == "OTHER" for item in found.values() if isinstance(item, Post)) and not spider.failures


def test_a_mail_that_its_archive_cannot_show() -> None:
    """HyperKitty breaks on some mails: that one is counted, the others are read, and the crawl is whole."""
    archive = Archive()
    broken, sound = archive.receive(NOW - HOUR), archive.receive(NOW - HOUR)
    spider = make()
    found = walk(spider, lambda url: (500, b"") if f"/{broken}/" in url else archive.fetch(url))
    assert [post.native_id for post in found] == [sound]
    assert dict(spider.rejections) == {"answers 500": 1} and spider.covered and not spider.failures


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "gives HTML where JSON was due"),
        (b"[", "gives JSON that is malformed"),
        (b'{"detail": "x"}', "holds no list `results`"),
        (b'{"results": [{}], "next": "x"}', "gives no mail that it did not give before"),
    ],
)
def test_what_is_no_archive_is_said(body: bytes, words: str) -> None:
    """An answer of another shape ends the crawl with a sentence, and nothing is claimed."""
    spider = make()
    [request] = begin(spider)
    assert read(request, answer(request, body)) == []
    assert words in spider.summary() and spider.covered is None and not spider.next_cursor


def test_servers_that_do_not_page_are_left() -> None:
    """A list that is the same at every offset ends in a sentence instead of a loop."""
    archive = Archive()
    archive.receive(NOW - HOUR)
    spider = make()

    def fetch(url: str) -> tuple[int, bytes]:
        status, body = archive.fetch(url)
        return status, body if "/email/" in url else json.dumps({**json.loads(body), "results": archive.mails, "next": "x"}).encode()

    assert len(walk(spider, fetch)) == 1
    assert "whatever `offset` it is asked for" in spider.summary() and spider.covered is None


@pytest.mark.parametrize(
    "url", ["https://lists.example/archives/", "https://lists.example/archives/list/ai.lists.example/", LIST + "/2025/1/"]
)
def test_the_address_must_be_that_of_a_list(url: str) -> None:
    """Another page of the archive is refused at once, with an example of what to write."""
    with pytest.raises(CrawlError, match="write the address of the list's archive, like https://"):
        make({"url": url})


@pytest.mark.parametrize("url", [LIST, f"{LIST}/", f"{API}/", f"{LIST.replace('@', '%40')}/"])
def test_ways_to_write_the_address(url: str) -> None:
    """With or without the slash at its end, as browsers write the @, or that of the interface itself."""
    [request] = begin(make({"url": url}))
    assert request.url == f"{API}/emails/?format=json&limit=50&offset=0"


MAIL = {
    "message_id_hash": "SOUND", "thread": f"{API}/thread/SOUND/", "sender": {"address": "a (a) x.example"}, "sender_name": "A",
    "subject": "Title", "date": "2025-01-30T10:00:00Z", "parent": None, "children": [], "content": "The sound one.",
}  # fmt: skip


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_broken_item_costs_only_itself(fresh_store: Store, data: st.DataObject) -> None:
    """Whatever a mail of the list, or one by itself, holds, nothing is raised, the sound one comes, and all can be stored."""
    mails = [{**copy.deepcopy(MAIL), "message_id_hash": f"M{n}", "parent": f"{API}/email/SOUND/"} for n in range(3)]
    listed = data.draw(mutated(mails))
    alone = {mail["message_id_hash"]: broken for mail, broken in zip(mails, data.draw(mutated(mails)), strict=True)}
    stored = [("M0", "SOUND", NOW - HOUR), ("M7", "SOUND", NOW - HOUR)]

    def fetch(url: str) -> tuple[int, bytes]:
        if "/email/" in url:
            name = url.split("/")[-2]
            return (200, json.dumps({**alone, "SOUND": MAIL}[name]).encode()) if name in {*alone, "SOUND"} else (404, b"")
        return 200, json.dumps([*listed, MAIL]).encode()

    spider = make(recent=stored)
    found = walk(spider, fetch)
    assert [post.text for post in found if isinstance(post, Post) and post.native_id == "SOUND"] == ["Title\n\nThe sound one."]
    assert Gone("s", "M0") not in found
    fresh_store.save_posts(found)


@given(body=st.one_of(JUNK.map(lambda value: json.dumps(value).encode()), st.binary(max_size=100)), step=st.integers(0, 2))
@settings(max_examples=100, deadline=None)
def test_any_answer_ends_in_posts_or_a_sentence(body: bytes, step: int) -> None:
    """A list, a mail or a thread of any shape raises nothing, deletes nothing, and is counted (a list may be empty)."""
    spider = make()
    [request] = begin(spider)
    if step == 1:
        request = spider._mail("M1", essential=False)
    elif step == 2:
        request = spider.ask(f"{API}/thread/T/emails/", spider.read_thread, essential=False, stored=set())
    assert posts_of(read(request, answer(request, body))) == []
    assert spider.failures or spider.rejections or (step != 1 and body.strip().startswith(b"["))


def test_a_whole_crawl(tmp_path: Path) -> None:
    """Two crawls over HTTP: each mail is asked for once; then what is new, and the thread of which a mail was deleted."""
    archive = Archive()
    first = archive.receive(NOW - 5 * HOUR, sender_name="Secretive", sender={"address": "secretive (a) x.example"})
    second = archive.receive(NOW - 4 * HOUR, first)
    archive.receive(NOW - 3 * HOUR)

    def page(path: str) -> Answer:
        status, body = archive.fetch(path)
        return as_json(json.loads(body), status=status)

    api = "/archives/api/list/ai@lists.example"
    pages = ["/emails/", *(f"/email/HASH{n}/" for n in range(1, 5)), "/thread/HASH1/emails/", "/thread/HASH3/emails/"]
    with Site(dict.fromkeys([api + path for path in pages], page)) as site:
        options = {"url": f"{site.url}/archives/list/ai@lists.example/"}
        result = crawl(tmp_path, "hyperkitty", options)
        assert (result["finish_reason"], result["counts"]["new"], result["rejected"]) == ("finished", 3, 0), result
        archive.delete(second)
        archive.receive(NOW - 50 * HOUR, first)
        site.requests.clear()
        counts = crawl(tmp_path, "hyperkitty", options, now="2025-01-31T13:00:00Z")["counts"]
        assert (counts["new"], counts["changed"], counts["deleted"]) == (1, 0, 1)
        asked = [path.partition("?")[0].removeprefix(api) for path in site.paths if path.startswith(api)]
        assert asked == ["/emails/", "/email/HASH4/", "/thread/HASH1/emails/", "/email/HASH2/"]
    with Store(tmp_path / "monitor.db", read_only=True) as store:
        texts = {row[0]: row[1] for row in store.rows("SELECT native_id, text FROM posts")}
    assert texts == {"HASH1": "Morale\n\nWords 1.", "HASH2": "", "HASH3": "Morale\n\nWords 3.", "HASH4": "Words 4."}
    assert all(b"ecretive" not in file.read_bytes() for file in tmp_path.glob("monitor.db*"))


@pytest.mark.real  # a whole crawl in a process of its own
def test_a_private_list_ends_the_crawl_with_a_sentence(tmp_path: Path) -> None:
    """The archive of a list for members only answers 403: the message says so, and no stored mail is taken for deleted."""
    archive = Archive()
    archive.receive(NOW - HOUR)
    api, open_ = "/archives/api/list/ai@lists.example", [True]

    def page(path: str) -> Answer:
        status, body = archive.fetch(path)
        return as_json(json.loads(body), status=status) if open_ else as_json({"detail": "You do not have permission."}, status=403)

    with Site(dict.fromkeys([f"{api}/emails/", f"{api}/email/HASH1/", f"{api}/thread/HASH1/emails/"], page)) as site:
        options = {"url": f"{site.url}/archives/list/ai@lists.example/"}
        crawl(tmp_path, "hyperkitty", options)
        open_.clear()
        result = crawl(tmp_path, "hyperkitty", options, now="2025-01-31T13:00:00Z")
    assert result["finish_reason"] == "banned" and "answers 403" in result["message"] and result["counts"]["deleted"] == 0
