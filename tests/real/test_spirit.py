"""django-spirit, a real forum in HTML only: crawled by its profile while people write, edit, remove and hide posts.

Spirit shows ages ("10s"), the time itself only as a title, to the minute, without a zone and with "p.m."; it leaves a
notice where a comment was removed, and writes notices of its own between the comments.
"""

from __future__ import annotations

import html
import http.cookiejar
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from forums import free_port, install, serving

from monitor.store import Store

pytestmark = pytest.mark.real

SETTINGS = "from .dev import *\nST_RATELIMIT_ENABLE = False\nALLOWED_HOSTS = ['127.0.0.1']\n"
BEGIN = (
    "from django.contrib.auth import get_user_model as u; from spirit.category.models import Category;"
    " u().objects.create_superuser('alice', 'alice@example.test', 'testpass123'); Category.objects.create(title='AI teams')"
)


@dataclass
class Spirit:
    """A running Spirit, and one person in it who may do everything."""

    url: str
    jar: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    def __post_init__(self) -> None:
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def get(self, path: str) -> tuple[str, str]:
        with self.opener.open(self.url + path, timeout=20) as answer:
            return answer.url, answer.read().decode()

    def post(self, path: str, **fields: str) -> str:
        """Fill in a form of the forum. Returns the address that it leads to."""
        _, form = self.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form) or re.search(r'csrfToken: "([^"]+)"', form)
        assert token, path
        data = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1], **fields}).encode()
        request = urllib.request.Request(self.url + path, data, {"Referer": self.url + path})
        with self.opener.open(request, timeout=20) as answer:
            return str(answer.url)

    def topic(self, title: str, comment: str) -> str:
        """Begin a topic. Returns its id."""
        _, form = self.get("/topic/publish/")
        category = re.search(r'<option value="(\d+)"[^>]*>\s*AI teams', form)
        assert category
        found = re.search(r"/topic/(\d+)/", self.post("/topic/publish/", title=title, category=category[1], comment=comment))
        assert found
        return found[1]

    def reply(self, topic: str, comment: str) -> None:
        self.post(f"/comment/{topic}/publish/", comment=comment)

    def shown(self) -> dict[str, str]:
        """The words of every comment that a guest sees, by its id: no quotes, no code, one space between words."""
        guest, words = Spirit(self.url), {}
        for topic in set(re.findall(r'href="(/topic/\d+/[^"?#]*)', guest.get("/")[1])):
            for page in range(1, 9):
                try:
                    _, body = guest.get(f"{topic}?page={page}")
                except urllib.error.HTTPError:
                    break
                title = re.search(r'<h1 class="headline">(.*?)</h1>', body, re.DOTALL)
                found = re.findall(r'comments_list__comment.*?data-pk="(\d+)".*?js-comment-text">(.*?)</div>', body, re.DOTALL)
                for number, (native_id, markup) in enumerate(found):
                    own = re.sub(r"<blockquote>.*?</blockquote>|<pre>.*?</pre>|</?(?:strong|em)>", "", markup, flags=re.DOTALL)
                    own = html.unescape(re.sub(r"<[^>]+>", " ", own))
                    opens = (
                        page == 1 and number == 0 and title is not None and body.index(f'data-pk="{native_id}"') == body.index("data-pk=")
                    )
                    words[native_id] = " ".join(
                        f"{html.unescape(re.sub('<[^>]+>', '', title[1])) if opens and title else ''} {own}".split()
                    )
                if f"?page={page + 1}" not in body:
                    break
        return words


@pytest.fixture(scope="module")
def programs(pytestconfig: pytest.Config) -> Path:
    """The folder of Spirit's programs."""
    return install(pytestconfig.cache.mkdir("real-forums"), "spirit", ("django-spirit==0.14.3", "setuptools<81"))


@pytest.fixture
def spirit(programs: Path, tmp_path: Path) -> Iterator[Spirit]:
    """Spirit with a category, and alice logged in."""
    environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "DJANGO_SETTINGS_MODULE": "mysite.settings.local"}

    def do(*words: str | Path, cwd: Path) -> None:
        done = subprocess.run(words, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    do(programs / "spirit", "startproject", "mysite", cwd=tmp_path)
    site = tmp_path / "mysite"
    (site / "mysite" / "settings" / "local.py").write_text(SETTINGS, "utf-8")
    do(programs / "python", "manage.py", "spiritinstall", cwd=site)
    do(programs / "python", "manage.py", "shell", "-c", BEGIN, cwd=site)
    port = free_port()
    forum = Spirit(f"http://127.0.0.1:{port}")
    server = [programs / "python", site / "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with serving(server, f"{forum.url}/", site / "server.log", environment):
        forum.post("/user/login/", username="alice", password="testpass123")
        yield forum


@pytest.fixture
def crawl(
    spirit: Spirit, write_config: Callable[..., Path], forum_monitor: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> Callable[[], dict[str, str]]:
    """Crawl the forum once. Returns the words of every post in the store by its id, one space between words."""
    terms = {"read_on": "2025-01-01", "by": "a test", "allows": "everything, it is our own"}
    options = {"urls": [f"{spirit.url}/"], "profile": "spirit"}
    config = write_config(sources=[{"name": "spirit", "type": "forum", "delay": 0, "terms": terms, "options": options}])

    def run() -> dict[str, str]:
        done = forum_monitor("--config", config, "collect", "spirit", FORUM_MONITOR_NOW="")
        assert done.returncode == 0, done.stderr
        with Store(tmp_path / "monitor.db", read_only=True) as store:
            return {row[0]: " ".join(row[1].split()) for row in store.rows("SELECT native_id, text FROM posts WHERE text <> ''")}

    return run


def test_the_store_is_what_the_forum_shows(spirit: Spirit, crawl: Callable[[], dict[str, str]]) -> None:
    """New topics and comments on several pages, an edit, removals, a closed and a removed topic: each crawl finds them."""
    morale = spirit.topic("Morale in GenAI after the reorg", "On-call is *brutal* & nobody explains why: 1 < 2.")
    french = spirit.topic("Équipe Mistral : ambiance", "> on dit ça ?\n\nTrès **bonne** ambiance — 很好 😀\n\n```\ncode\n```")
    for number in range(45):
        spirit.reply(morale, f"reply {number}: agreed, **very** true")
    first = crawl()
    assert first == spirit.shown() and len(first) == 47
    assert first["1"].startswith("Morale in GenAI after the reorg On-call is brutal & nobody")
    for number in range(3):
        spirit.reply(french, f"et {number} encore")
    spirit.post("/comment/5/update/", comment="changed my *mind*")
    spirit.post("/comment/7/delete/")
    spirit.post("/comment/30/delete/")
    spirit.post(f"/topic/moderate/lock/{morale}/")
    second = crawl()
    assert second == spirit.shown()
    assert second["5"] == "changed my mind" and not {"7", "30"} & set(second) and len(second) == 48
    spirit.post(f"/topic/moderate/delete/{morale}/")
    spirit.reply(french, "fini")
    third = crawl()
    assert {native_id for native_id, words in third.items() if "encore" in words or "fini" in words} and not any(
        "reply" in words for words in third.values()
    )
    assert crawl() == third
