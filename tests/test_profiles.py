"""Each built-in profile reads pages of its software's markup; a profile of one's own is checked whole; times as forums print them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import NOW, SHARED, expected
from scrapy.http import HtmlResponse
from scrapy.utils.response import get_base_url

from spiders import dates, pages
from spiders.profiles import built_in, profile

PAGES = Path(__file__).parent / "pages" / "forum"
NAMES = {"phpbb30": "phpbb"}
"""Folders of an older version's pages, and the profile that reads them."""


def plain(value: Any) -> Any:
    """What was read as JSON has it; without what is empty."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, dt.datetime) else value


def read(page: Path, url: str, name: str, timezone: str = "UTC") -> Any:
    response = HtmlResponse(url, body=page.read_bytes())
    moment, latest = pages.readers(NOW, timezone, None)
    if page.name == "list.html":
        return plain(pages.read_list(response.selector, url, profile(name), latest, base=get_base_url(response)))
    thread = pages.read_thread(response.selector, url, profile(name), moment, base=get_base_url(response))
    assert thread.whole and thread.ids == {post["native_id"] for post in thread.posts} | set(thread.deleted)
    return plain({name: value for name, value in plain(thread).items() if name not in ("whole", "vanished", "ids")})


@pytest.mark.parametrize("page", sorted(PAGES.glob("*/*.html")), ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_a_profile_reads_its_softwares_pages(page: Path) -> None:
    """Threads, boards and further pages of a list; of a thread the posts with author, time, words of their own and address."""
    due = expected(page)
    folder = page.parent.name
    assert read(page, due.pop("url"), NAMES.get(folder, folder), due.pop("timezone", "UTC")) == due


def test_every_profile_has_a_page() -> None:
    """No profile is without a page that proves it."""
    assert {NAMES.get(folder.name, folder.name) for folder in PAGES.iterdir()} == set(built_in())


@pytest.mark.skipif(not SHARED.is_dir(), reason="recorded pages are not beside this checkout")
def test_recorded_spirit() -> None:
    """A real Spirit's pages: 26 comments on two pages, the list's three topics, no moderation note among them."""
    folder = SHARED / "recorded" / "django-spirit"
    now = dt.datetime(2026, 11, 21, 21, 30, tzinfo=dt.UTC)
    moment, latest = pages.readers(now, "UTC", None)

    def page(name: str, url: str) -> HtmlResponse:
        return HtmlResponse(url, body=(folder / name).read_bytes())

    found = []
    for name, query in (("_topic_1_.html", ""), ("_topic_1_morale_in_genai_after_the_reorg__page_2.html", "?page=2")):
        response = page(name, f"http://127.0.0.1:8101/topic/1/morale/{query}")
        thread = pages.read_thread(response.selector, response.url, built_in()["spirit"], moment)
        assert not thread.deleted and not thread.left_out
        found += thread.posts
    assert [post["native_id"] for post in found] == [str(number) for number in range(1, 27)]
    assert found[0]["text"] == "Morale in GenAI after the reorg\n\nPeople are leaving, on-call is brutal & nobody explains why."
    assert found[20]["text"] == "reply 19 to topic 1: agreed, very true" and found[20]["author"] == "alice"
    assert {post["posted_at"] for post in found} == {dt.datetime(2026, 11, 21, 21, 23, tzinfo=dt.UTC)}
    rows = pages.read_list(
        page("_.html", "http://127.0.0.1:8101/").selector, "http://127.0.0.1:8101/", built_in()["spirit"], latest
    ).threads
    assert [row.id for row in rows] == ["3", "2", "1"] and rows[0].latest == dt.datetime(2026, 11, 21, 21, 24, tzinfo=dt.UTC)


def test_a_profile_is_checked_whole() -> None:
    """Every mistake of a profile is told, each by its key."""
    with pytest.raises(ValueError, match="posts\\.thread needs a group") as caught:
        profile({
            "threads": {"threads": {"row": "li[[", "link": "a"}},
            "posts": {"post": "x", "id": "y", "body": "z::text", "thread": "[0-9]+", "number": "(", "colour": 1},
        })  # fmt: skip
    for words in ("threads.threads.row is no CSS selector", "posts.body selects an element", "posts.colour is not a part of a profile",
                  "posts.number is no regular expression"):  # fmt: skip
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("url", "short"),
    [
        ("https://x.example/viewtopic.php?sid=aa&f=2&t=5#p9", "https://x.example/viewtopic.php?f=2&t=5"),
        ("https://X.example/showthread.php?s=0123456789abcdef0123456789abcdef&t=5", "https://x.example/showthread.php?t=5"),
        ("https://x.example/find?s=pay+rise", "https://x.example/find?s=pay+rise"),
        ("https://x.example/t.jsp;jsessionid=AB12?id=3&utm_source=mail", "https://x.example/t.jsp?id=3"),
        ("https://x.example/index.php?threads/title.12/&PHPSESSID=77", "https://x.example/index.php?threads/title.12/"),
        ("https://x.example", "https://x.example/"),
    ],
)
def test_one_address_for_one_page(url: str, short: str) -> None:
    """Session ids, tracking and fragments are left out of an address; what tells pages apart stays."""
    assert pages.canonical(url) == short == pages.canonical(short)


# ---- times -----------------------------------------------------------------------------------------------------------

PARIS = dates.zone("Europe/Paris")
EVENING = dt.datetime(2026, 11, 21, 20, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("3 hours ago", "2026-11-21T17:30"), ("il y a 2 jours", "2026-11-19T20:30"), ("3小时前", "2026-11-21T17:30"),
        ("两天前", "2026-11-19T20:30"), ("一周前", "2026-11-14T20:30"), ("5m", "2026-11-21T20:25"), ("2d", "2026-11-19T20:30"),
        ("just now", "2026-11-21T20:30"), ("A moment ago", "2026-11-21T20:30"), ("à l'instant", "2026-11-21T20:30"),
        ("刚刚", "2026-11-21T20:30"), ("yesterday 14:05", "2026-11-20T13:05"), ("Yesterday at 2:05 PM", "2026-11-20T13:05"),
        ("hier à 21:28", "2026-11-20T20:28"), ("昨天 08:15", "2026-11-20T07:15"), ("Today, 03:12 PM", "2026-11-21T14:12"),
        ("Friday at 5:04 PM", "2026-11-20T16:04"), ("Nov. 21, 2026, 9:28 p.m.", "2026-11-21T20:28"),
        ("Nov. 21, 2026, 9 p.m.", "2026-11-21T20:00"), ("Nov. 21, 2026, noon", "2026-11-21T11:00"),
        ("21-11-2026 à 21:28:03", "2026-11-21T20:28:03"), ("Posté le 21-11-2026 à 21:28:03", "2026-11-21T20:28:03"),
        ("发表于 2026-11-20 15:00", "2026-11-20T14:00"), ("2026年11月20日 下午3:20", "2026-11-20T14:20"),
        ("mer. 5 août 2026 17:04", "2026-08-05T15:04"), ("Tue Jan 23, 2024 5:04 pm", "2024-01-23T16:04"),
        ("01-02-2026, 05:31 PM", "2026-01-02T16:31"), ("01/02/2026 à 10:00", "2026-02-01T09:00"), ("25 déc.", "2025-12-24T23:00"),
        ("2026-11-21T20:28:03Z", "2026-11-21T20:28:03"), ("2023-03-17T00:14:47+0100", "2023-03-16T23:14:47"),
        ("2026-11-21 21:28", "2026-11-21T20:28"), ("1737655445", "2025-01-23T18:04:05"), ("1737655445123", "2025-01-23T18:04:05.123"),
        (1737655445, "2025-01-23T18:04:05"), (1737655445123, "2025-01-23T18:04:05.123"),
        (dt.datetime(2026, 11, 21, 21, 28, tzinfo=PARIS), "2026-11-21T20:28"), ("Sat, 21 Nov 2026 20:28:03 GMT", "2026-11-21T20:28:03"),
    ],
)  # fmt: skip
def test_times_as_forums_print_them(text: object, utc: str) -> None:
    """Each form is read in the site's zone, and told in UTC."""
    assert dates.read(text, now=EVENING, site=PARIS) == dt.datetime.fromisoformat(utc).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize("text", [
    "", "Ann", "#12", "12", "2026", "31/02/2026", "99:99", "December 25, 2026", "in 3 days", "1969-12-31", "0", 0, -5, 1e300, float("nan"),
    True, None, ["now"], "Morale in GenAI after the reorg", "x" * 10_000,
])  # fmt: skip
def test_what_is_no_time(text: object) -> None:
    """What is no time, cannot be one, or lies ahead, gives none rather than a guess."""
    assert dates.read(text, now=EVENING, site=PARIS) is None


def test_day_and_month() -> None:
    """The site's order of day and month decides where both could be meant; where dots are written, the day comes first."""
    for day_first, month in ((True, 2), (False, 1), (None, 1)):
        found = dates.read("01/02/2026 10:00", now=EVENING, day_first=day_first)
        assert found == dt.datetime(2026, month, 3 - month, 10, tzinfo=dt.UTC)
    assert dates.read("01.02.2026, 10:00", now=EVENING) == dt.datetime(2026, 2, 1, 10, tzinfo=dt.UTC)


def test_an_age_counts_real_hours() -> None:
    """An hour is an hour also in the night in which the site's clocks change."""
    after = dt.datetime(2026, 10, 25, 3, tzinfo=dt.UTC)
    assert dates.read("6 hours ago", now=after, site=PARIS) == after - dt.timedelta(hours=6)


@settings(max_examples=100, deadline=None)
@given(st.floats(0.05, 700).map(lambda hours: EVENING - dt.timedelta(hours=hours)), st.sampled_from(["minute", "hour", "day", "week"]))
def test_a_rounded_age_never_hides_a_newer_post(moment: dt.datetime, unit: str) -> None:
    """The last moment that "2 days ago" can mean is not before the one it was said of, however the forum rounds."""
    count = (EVENING - moment) / dt.timedelta(**{f"{unit}s": 1})
    for number in {int(count), round(count)} - {0}:
        latest = dates.latest(f"{number} {unit}{'s' * (number > 1)} ago", now=EVENING)
        assert latest is not None and latest >= moment


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("0123456789/:-. ,apmT昨天前小时il y adehrs", max_size=25), st.floats(), st.integers()))
def test_no_words_break_the_reading_of_times(value: object) -> None:
    """Whatever stands where a time is due, the answer is none or a time since 1980 that is not ahead."""
    for read_it in (dates.read, dates.latest):
        found = read_it(value, now=EVENING, site=PARIS)
        assert found is None or (found.utcoffset() == dt.timedelta(0) and dt.datetime(1980, 1, 1, tzinfo=dt.UTC) <= found)
    found = dates.read(value, now=EVENING, site=PARIS)
    assert found is None or found <= EVENING + dt.timedelta(days=1)
