"""How many pages a spider reads in a second, beside a bare Scrapy spider that asks for the same pages and keeps nothing."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from answers import NOW, ROOT, TERMS, Answer, Site, as_json

pytestmark = pytest.mark.benchmark

PAGES = 400
AT_ONCE = 20
"""Posts on a page, as forums show them."""
ROUNDS = 3
END = dt.datetime.fromisoformat(NOW)
WORDS = "The reorganisation was announced on a Friday, and nobody in our team knows yet who they will report to. " * 4

OURS = """
import json, sys
from pathlib import Path
from monitor.collect import collect
from monitor.config import Config, Source
source = Source(name="s", delay=0, **json.loads(sys.argv[2]))
result = collect(Config(database=Path(sys.argv[1]), sources=(source,)), source)
print(result.finish_reason, result.counts.new)
"""

BARE = """
import json, sys
from urllib.parse import urljoin
import scrapy
from scrapy.crawler import CrawlerProcess

class Bare(scrapy.Spider):
    name, count = "bare", 0
    start_urls = [sys.argv[1]]

    def parse(self, response):
        if response.text.startswith("{"):
            posts = response.json()["latest_posts"]
            following = f"?before={posts[-1]['id']}" if posts else None
            found = [{"id": post["id"], "text": post["cooked"]} for post in posts]
        else:
            following = response.css("link[rel=next]::attr(href)").get()
            found = [{"id": post.attrib["id"], "text": post.css(".content").get()} for post in response.css(".post")]
        Bare.count += len(found)
        yield from found
        if following:
            yield response.follow(following)

settings = {"LOG_ENABLED": False, "ROBOTSTXT_OBEY": False, "DOWNLOAD_DELAY": 0, "TELNETCONSOLE_ENABLED": False}
process = CrawlerProcess(settings)
process.crawl(Bare)
process.start()
print("finished", Bare.count)
"""


def _moment(number: int) -> dt.datetime:
    return END - dt.timedelta(seconds=PAGES * AT_ONCE - number)


def discourse(path: str) -> Answer:
    """The newest posts, from the one before `before` on."""
    before = int(parse_qs(urlsplit(path).query).get("before", [str(PAGES * AT_ONCE + 1)])[0])
    posts = [
        {
            "id": n, "username": f"author{n % 999}", "created_at": _moment(n).isoformat(), "cooked": f"<p>{WORDS}</p>", "post_number": 2,
            "topic_id": n // 50, "topic_slug": "topic", "topic_title": "A topic",
        }
        for n in range(before - 1, max(0, before - 1 - AT_ONCE), -1)
    ]  # fmt: skip
    return as_json({"latest_posts": posts})


def phpbb(path: str) -> Answer:
    """One long topic, as phpBB's prosilver writes it."""
    start = int(parse_qs(urlsplit(path).query).get("start", ["0"])[0])
    following = f'<link rel="next" href="viewtopic.php?t=1&amp;start={start + AT_ONCE}">' if start + AT_ONCE < PAGES * AT_ONCE else ""
    posts = "".join(
        f'<div id="p{n}" class="post has-profile bg2"><div class="inner"><dl class="postprofile"><dt><a class="username" href="#">author'
        f'{n % 999}</a></dt></dl><div class="postbody"><div id="post_content{n}"><p class="author"><a class="unread" '
        f'href="viewtopic.php?p={n}#p{n}">'
        f'<span class="sr-only">Post</span></a> by <strong><a href="#" class="username">author{n % 999}</a></strong> » <time datetime="'
        f'{_moment(n).isoformat()}">{_moment(n):%a %b %d, %Y %I:%M %p}</time></p><div class="content">{WORDS}</div>'
        f'<div class="signature">Sent from my phone</div></div></div></div></div>'
        for n in range(start + 1, start + 1 + AT_ONCE)
    )
    body = (
        f'<html><head><title>Board</title>{following}</head><body><h2 class="topic-title"><a href="#">A topic</a></h2>{posts}</body></html>'
    )
    return Answer(body, headers={"Content-Type": "text/html; charset=utf-8"})


CASES: dict[str, tuple[str, Callable[[str], Answer], Callable[[str], Mapping[str, Any]]]] = {
    "discourse": ("/posts.json", discourse, lambda url: {"url": url, "refresh_limit": 0}),
    "forum": (
        "/viewtopic.php",
        phpbb,
        lambda url: {"urls": [f"{url}/viewtopic.php?t=1"], "profile": "phpbb", "max_pages": PAGES + 1, "refresh_limit": 0},
    ),
}


@pytest.mark.parametrize("spider", list(CASES))
def test_pages_per_second(tmp_path: Path, spider: str) -> None:
    """Prints both rates, from the first page's request to the last one's, in turns; ours stores every post (to be at least 60 %)."""
    path, answer, options = CASES[spider]
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(ROUNDS):
        for which, found in rates.items():
            with Site({path: answer}) as site:
                source = json.dumps({"type": spider, "terms": TERMS, "options": options(site.url)})
                words = [OURS, str(tmp_path / f"{turn}.db"), source] if which == "ours" else [BARE, f"{site.url}{path}?t=1"]
                environment = {"PYTHONPATH": str(ROOT), "FORUM_MONITOR_NOW": NOW}
                done = subprocess.run([sys.executable, "-P", "-c", *words], env=environment, capture_output=True, text=True, check=True)
                assert done.stdout.split() == ["finished", str(PAGES * AT_ONCE)], done.stdout + done.stderr
                times = [at for at, asked, _ in site.requests if asked.startswith(path)]
                found.append((len(times) - 1) / (times[-1] - times[0]))
    ours, bare = max(rates["ours"]), max(rates["bare"])
    print(f"\n{spider}: {ours:.0f} pages of {AT_ONCE} posts a second, bare Scrapy {bare:.0f}: {ours / bare:.0%} (to be at least 60 %)")
