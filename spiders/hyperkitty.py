"""HyperKitty, the archive of Mailman 3: the mails of one list, as the archive's own interface gives them.

The promise: every mail that was archived since the last crawl is read, also one whose Date header is old because it waited
for a moderator; and a mail that the archive does not hold any more is gone. A mail is what its author wrote: quoted lines,
signatures, forwarded mails, and the footers that the list puts under it are dropped.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from scrapy.http import Request, Response

from monitor.records import MAX_TEXT, Gone, Post, to_text
from monitor.words import unquoted
from spiders.base import Days, ForumSpider, SpiderOptions, UnusableError, Url, identifier

_PAGE = 50
_AGAIN = 5  # mails that the next page shows again, so that one that is deleted meanwhile hides none
_MARKS = 50  # newest mails of a crawl that the next one knows the archive by; some may be deleted until then
_MOST_OLD = 10 * (_PAGE - _AGAIN)  # old mails in a row, ten full pages, after which no mail of those will come
_NOT_FOUND = (404, 410)


def _list_page(address: str) -> str:
    if not re.search(r"/list/[^/@]+@[^/@]+/?$", urlsplit(address).path.replace("%40", "@")):
        raise ValueError("write the address of the list's archive, like https://lists.example.org/archives/list/name@lists.example.org/")
    return address


class HyperKittyOptions(SpiderOptions):
    url: Annotated[Url, AfterValidator(_list_page)]
    """The list's page in the archive."""
    first_days: Days = 7.0
    """How far back the first crawl reads."""
    refresh_limit: int = Field(default=100, ge=0, le=10_000)
    """Threads that one crawl looks at again for deleted mails, those with the newest mails first."""


class HyperKitty(ForumSpider):
    """`native_id` is the hash of the mail's Message-ID, as in its address, `thread_id` that of the mail that began the thread."""

    name = "hyperkitty"
    options_type = HyperKittyOptions
    options: HyperKittyOptions

    async def start(self) -> AsyncIterator[Request]:
        archive, _, address = self.options.url.rstrip("/").replace("%40", "@").rpartition("/list/")
        archive = archive.removesuffix("/api")
        self.page, self.api, self.address = f"{archive}/list/{address}", f"{archive}/api/list/{address}", address
        known = self.cursor if self.cursor.get("url") == self.page else {}
        until, marks = self.date(known.get("until")), known.get("newest")
        self.floor = min(until, self.now) - self.overlap if until else self.now - dt.timedelta(days=self.options.first_days)
        self.marks = {mark for mark in marks if isinstance(mark, str)} if isinstance(marks, list) else None
        """Mails that the last crawl knew; None before the first one has ended."""
        self.stored = {native_id for native_id, *_ in self.recent}
        self.listed: dict[str, None] = {}
        self.reached = False
        """Whether the list came to a mail that the last crawl knew."""
        self.open = 1
        yield self._emails(0, old=0)

    def _emails(self, offset: int, *, old: int) -> Request:
        return self.ask(f"{self.api}/emails/?format=json&limit={_PAGE}&offset={offset}", self.read_emails, offset=offset, old=old)

    def read_emails(self, response: Response, offset: int, old: int) -> Iterator[Post | Gone | Request]:
        """A page of the list's mails, the last to be archived first; the last `old` mails before it are from before `floor`.

        Mails above the newest of the last crawl are new whatever their date; below, those within the overlap are.
        """
        found = self._mails(response)
        if found is None:
            return
        mails, is_last = found
        before, is_old = len(self.listed), True
        for mail in mails:
            try:
                native_id, date = identifier(mail.get("message_id_hash")), self.date(mail.get("date"))
            except (UnusableError, AttributeError):
                self.reject("has no id", response.url)
                continue
            if native_id in self.listed:
                continue
            self.listed[native_id] = None
            self.reached = self.reached or native_id in (self.marks or ())
            recent = date is None or date >= self.floor
            is_old = is_old and not recent
            if (recent or (self.marks is not None and not self.reached)) and native_id not in self.stored:
                self.open += 1
                yield self._mail(native_id, essential=True)
        if mails and len(self.listed) == before:
            self.lose(response, "gives no mail that it did not give before, whatever `offset` it is asked for")
            return
        old = old + len(self.listed) - before if is_old else 0
        if is_last or not mails or (is_old and (self.reached or self.marks is None)) or old >= _MOST_OLD:
            yield from self._closed()
        else:
            yield self._emails(offset + max(len(mails) - _AGAIN, 1), old=old)

    def _mails(self, response: Response) -> tuple[list[Any], bool] | None:
        """The mails of an answer, which is a list of all or a page, and whether no page comes after it; None if it is neither."""
        if response.body.lstrip().startswith(b"["):
            mails = self.json_list(response)
            return None if mails is None else (mails, True)
        page = self.json(response)
        if page is None:
            return None
        if not isinstance(page.get("results"), list):
            self.lose(response, "holds no list `results`")
            return None
        return page["results"], page.get("next") is None

    def _closed(self) -> Iterator[Request]:
        """The list, or a mail that was due, has been read; when it was the last one, stored mails are looked for again."""
        self.open -= 1
        if self.open:
            return
        self.next_cursor = {"url": self.page, "until": to_text(self.now), "newest": list(self.listed)[:_MARKS]}
        self.covered = (self.floor, self.now)
        threads: dict[str, set[str]] = {}
        for native_id, thread, _ in self.recent:
            if thread and native_id not in self.listed:
                threads.setdefault(thread, set()).add(native_id)
        for thread in list(threads)[: self.options.refresh_limit]:
            url = f"{self.api}/thread/{thread}/emails/?format=json"
            yield self.ask(url, self.read_thread, essential=False, accept=_NOT_FOUND, stored=threads[thread])

    def read_thread(self, response: Response, stored: set[str]) -> Iterator[Request]:
        """What a thread does not show any more is deleted, or was moved to another thread: only its own address tells."""
        found = self._mails(response) if response.status not in _NOT_FOUND else ([], True)
        if found is not None:
            there = {mail.get("message_id_hash") for mail in found[0] if isinstance(mail, Mapping) and _text(mail.get("message_id_hash"))}
            for native_id in sorted(stored - there):
                yield self._mail(native_id, essential=False)

    # ---- one mail ----------------------------------------------------------------------------------------------------

    def _mail(self, native_id: str, *, essential: bool) -> Request:
        url = f"{self.api}/email/{native_id}/?format=json"
        # HyperKitty breaks on some mails, always: the others are read all the same.
        accept = (*_NOT_FOUND, 500) if essential else _NOT_FOUND
        return self.ask(url, self.read_mail, essential=essential, accept=accept, native_id=native_id, due=essential)

    def read_mail(self, response: Response, native_id: str, due: bool) -> Iterator[Post | Gone | Request]:
        if response.status in _NOT_FOUND:
            yield self.gone(native_id)
        elif response.status == 500:
            self.reject("answers 500", response.url)
        else:
            mail = self.json(response)
            if mail is None:
                return
            yield from self.each([mail], partial(self.read_post, native_id=native_id), response.url)
        if due:
            yield from self._closed()

    def read_post(self, mail: Mapping[str, Any], native_id: str) -> Iterator[Post]:
        if identifier(mail.get("message_id_hash")) != native_id:
            raise UnusableError("is another mail than the one asked for")
        content = mail.get("content")
        if not isinstance(content, str):
            raise UnusableError("has no text")
        thread, parent = _last(mail.get("thread")), _last(mail.get("parent"))
        subject = " ".join(_text(mail.get("subject")).split())
        title = self._title(subject)
        opens = not parent and thread in (native_id, None) and not _ANSWER.match(subject.removeprefix(self._tag(subject)).lstrip())
        text = own_words(content)
        yield self.post(
            native_id=native_id,
            url=f"{self.page}/message/{native_id}/",
            text=f"{title}\n\n{text}" if opens and title else text,
            posted_at=mail.get("date"),
            thread_id=thread or native_id,
            parent_id=parent,
            title=title,
            author=self._author(mail),
        )

    def _tag(self, subject: str) -> str:
        """What the list puts before every subject, "[name] "; empty where there is none."""
        found = re.match(rf"\[{re.escape(self.address.partition('@')[0])}\]\s*", subject, re.IGNORECASE)
        return found[0] if found else ""

    def _title(self, subject: str) -> str:
        """A subject without the list's tag and "Re:", in whatever order and number."""
        while shorter := _ANSWER.match(subject) or self._tag(subject):
            subject = subject[len(shorter if isinstance(shorter, str) else shorter[0]) :]
        return subject

    def _author(self, mail: Mapping[str, Any]) -> str | None:
        """The address; where the list put its own there (against DMARC), the name, without its "via list"."""
        sender = mail.get("sender")
        address = _text(sender.get("address") if isinstance(sender, Mapping) else None).replace(" (a) ", "@").lower()
        name = re.sub(r"\s+via\s.*", "", _text(mail.get("sender_name")))
        return name if not address or address == self.address.lower() else address


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _last(address: object) -> str | None:
    """The last part of the path of an address, in which HyperKitty gives the hash of a mail."""
    return urlsplit(_text(address)).path.rstrip("/").rpartition("/")[2] or None


_ANSWER = re.compile(r"(?:(?:re|aw|sv|antw|rép|réf|回复|答复|fwd?|wg|tr)(?:\[\d+\])?\s*[:：]\s*)+", re.IGNORECASE)
_SIGNED = re.compile(r"-----BEGIN PGP SIGNED MESSAGE-----\n(?:[A-Za-z]+: .*\n)*")
_END = re.compile(
    r"""^(?:
      --\ ?                                                               # a signature (RFC 3676 4.3), its space often lost
    | -{2,}\s*(?:original\ message|forwarded\ message|message\ d'origine|message\ transféré|原始邮件|转发邮件).*
    | -{2,}\s*(?:ursprüngliche|weitergeleitete)\ nachricht.*
    | begin\ forwarded\ message:
    | _{20,}\s*\n(?:from|de|von|发件人)\s?[:：].*                            # Outlook's answer above the answered mail,
    | (?:from|de|von|发件人)\s?[:：].*\n(?:sent|date|envoyé|gesendet|datum|发送时间|日期)\s?[:：].*  # whose line is often lost
    | _{20,}\s*\n.*(?:mailing\ list|listinfo|@|https?://).*               # Mailman's footer
    | -----BEGIN\ PGP\ SIGNATURE-----
    )$""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


def own_words(content: str) -> str:
    """A plain mail as its author's own words: no quoted lines, no signature, no footer of the list, no mail below."""
    content = _SIGNED.sub("", "\n".join(line.rstrip("\r") for line in content[: 10 * MAX_TEXT].split("\n")))
    end = _END.search(content)
    return unquoted(content[: end.start()] if end else content)
