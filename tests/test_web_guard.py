"""Who may ask the pages for what: each refusal over real HTTP, as somebody sends it who means harm."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from browsing import TOKEN, Site, csrf, serving
from datasette.utils.asgi import Request, Response

from monitor.config import Config, Team
from monitor.errors import InputError
from monitor.store import SCHEMA, Store
from monitor.web import app, guard, signing

WORDS = "words-of-somebody"


async def broken(pages: app.Pages, request: Request) -> Response:
    """A view that fails with a post in its hands."""
    post = {"text": WORDS}
    raise ValueError(post["text"])


async def breaks_off(pages: app.Pages, request: Request) -> Response:
    """An answer that begins and then fails."""

    class Half(Response):  # type: ignore[misc]
        async def asgi_send(self, send: guard.Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ValueError(WORDS)

    return Half("")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("web") / "monitor.db"
    Store(path).close()
    with serving(
        Config(database=path, teams=(Team(id="meta", name="Meta"),)), [("^/broken$", broken), ("^/breaks-off$", breaks_off)]
    ) as found:
        yield found


@pytest.fixture
def operator(site: Site) -> Iterator[httpx.Client]:
    with contextlib.closing(site.operator()) as client:
        yield client


def silences(site: Site) -> int:
    with Store(site.pages.config.database, read_only=True) as store:
        return len(store.silences())


# ---- Host ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost:81", "[::1]:8001", "HOST"])
def test_it_answers_to_its_own_names(site: Site, host: str) -> None:
    """By any port, since a tunnel may change that."""
    assert site.raw(f"GET /-/sign-in HTTP/1.1\nHost: {host}")[0] == 200


@pytest.mark.parametrize(("host", "address"), [("127.0.0.2", "127.0.0.2"), ("::1", "[::1]"), ("192.0.2.7", "192.0.2.7")])
def test_it_answers_to_the_address_that_it_prints(host: str, address: str) -> None:
    """Every address of loopback too; off loopback its own alone."""
    assert address in app.names(host) and ("localhost" in app.names(host)) == app.is_loopback(host)


@pytest.mark.parametrize("site_said", ["cross-site", "same-site"])
def test_a_page_elsewhere_has_us_do_no_work(site: Site, site_said: str) -> None:
    """An image of another site's page may name any address here, such as that of a costly query; a link to a page works."""
    asked = f"GET /-/sign-in HTTP/1.1\nHost: HOST\nSec-Fetch-Site: {site_said}\nSec-Fetch-Mode: "
    assert site.raw(f"{asked}no-cors")[0] == 403
    assert site.raw(f"{asked}navigate")[0] == 200


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"], ["127.0.0.1.evil.example"], ["evil.example:8001"], ["user@localhost"], ["localhost:80:80"], ["localhost:x"],
        ["[::1"], ["[::2]"], ["127.0.0.2"], ["localhost."], [""], [], ["localhost", "evil.example"], ["localhost, evil.example"],
    ],
)  # fmt: skip
def test_no_other_name_is_answered(site: Site, hosts: list[str]) -> None:
    """A page elsewhere whose name was made to point here (DNS rebinding) reads nothing, whatever else the header holds."""
    status, _, body = site.raw("\n".join(["GET /-/sign-in HTTP/1.1", *(f"Host: {host}" for host in hosts)]))
    assert status in (400, 421) and b"csrftoken" not in body


def test_names_of_other_addresses() -> None:
    """What is served elsewhere goes by that address and by the names that are told."""
    assert app.names("192.0.2.1", ["Monitor.example"]) == {"192.0.2.1", "monitor.example"}
    assert app.names("2001:db8::1") == {"[2001:db8::1]"}
    assert [app.is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.0.2.1", "localhost.evil.example")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


# ---- forms of other sites ----------------------------------------------------------------------------------------------


SILENCE = {"team": "meta", "for": "1h", "reason": "because"}


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("another", {}),
        ("é", {}),
        ("own", {"Origin": "https://evil.example"}),
        ("own", {"Origin": "http://127.0.0.1:1"}),  # another server of this machine: the same site, not the same origin
        ("own", {"Origin": "null"}),
        ("own", {"Sec-Fetch-Site": "cross-site"}),
        ("own", {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_a_form_of_another_site_changes_nothing(site: Site, operator: httpx.Client, token: str, headers: dict[str, str]) -> None:
    """Not though the operator's browser sends the cookie along: neither without the form's token, nor from elsewhere with it."""
    own = csrf(operator, "/alerts")
    before = silences(site)
    answer = operator.post("/alerts/silence", data={**SILENCE, "csrftoken": own if token == "own" else token}, headers=headers)
    assert answer.status_code in (400, 403) and silences(site) == before
    assert "content-security-policy" in answer.headers


def test_a_form_of_ours_is_taken(site: Site, operator: httpx.Client) -> None:
    """With the token, from the page itself; and without a cookie it is nobody's."""
    form = {**SILENCE, "csrftoken": csrf(operator, "/alerts")}
    before = silences(site)
    for headers in ({"Origin": site.address}, {"Sec-Fetch-Site": "same-origin", "Origin": "https://tunnel.example"}, {}):
        assert operator.post("/alerts/silence", data=form, headers=headers).status_code == 303
    assert silences(site) == before + 3
    with site.client() as nobody:
        assert nobody.post("/alerts/silence", data=SILENCE).status_code == 403
        assert nobody.post("/alerts/silence/end", data={"id": "1"}, headers={"Authorization": "Bearer x"}).status_code == 403
    assert silences(site) == before + 3


# ---- the operator ------------------------------------------------------------------------------------------------------


def test_signing_in(site: Site) -> None:
    """The cookie is out of scripts' and other sites' reach, and over TLS never sent without it; the token is nowhere."""
    with site.client() as client:
        form = {"token": f" {TOKEN} ", "csrftoken": csrf(client, "/-/sign-in")}
        answer = client.post("/-/sign-in", data=form)
        cookie = answer.headers["set-cookie"].lower()
        assert answer.headers["location"] == "/" and all(
            flag in cookie for flag in ("httponly", "samesite=strict", "path=/", "max-age=43200")
        )
        assert "secure" not in cookie and TOKEN not in str(answer.headers) and "Sign out" in client.get("/alerts").text
        answer = client.post("/-/sign-in?next=//evil.example", data=form, headers={"X-Forwarded-Proto": "https"})
        assert "secure" in answer.headers["set-cookie"].lower() and answer.headers["location"] == "/"


def test_signing_out_ends_the_session(site: Site, operator: httpx.Client) -> None:
    """For whoever kept the cookie too; by GET nothing happens."""
    kept = dict(operator.cookies)
    operator.get("/-/sign-out")
    assert "Sign out" in operator.get("/alerts").text
    operator.post("/-/sign-out", data={"csrftoken": csrf(operator, "/alerts")})
    with site.client() as client:
        assert "Sign out" not in client.get("/alerts", headers={"Cookie": "; ".join(f"{k}={v}" for k, v in kept.items())}).text


@pytest.mark.parametrize("cookie", ["x", "e30.x", "%00", "a" * 4000, signing.COOKIE])
def test_no_cookie_can_be_made_up(site: Site, cookie: str) -> None:
    """Neither ours nor one of Datasette's own."""
    with site.client(Cookie=f"{signing.COOKIE}={cookie}; ds_actor={cookie}") as client:
        assert "Sign out" not in client.get("/alerts").text


def test_guesses_are_slow_however_many_come_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong token is answered after its pause, one after the other; those beyond a few are turned away; then the right one is heard."""
    assert signing._PAUSE == 1.0
    monkeypatch.setattr(signing, "_PAUSE", 0.1)
    begun = time.monotonic()
    head = "POST /-/sign-in HTTP/1.1\nHost: HOST\nContent-Type: application/x-www-form-urlencoded\nContent-Length: 8"
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: site.raw(head, f"token={n:02}".encode())[0], range(12)))
    assert set(found) == {403, 429} and time.monotonic() - begun >= 0.1 * found.count(403)
    site.operator().close()


# ---- what is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "PROPFIND", "get"])
def test_only_reading_and_forms(site: Site, method: str) -> None:
    """Any other method is refused, and told of those that are not."""
    status, headers, _ = site.raw(f"{method} /alerts HTTP/1.1\nHost: HOST")
    assert (status, headers["allow"]) == (405, "GET, HEAD, POST")


def test_heads_are_answers_without_a_body(site: Site) -> None:
    """With the headers of the page."""
    for path in ("/alerts", "/static/pages.css", "/-/health", "/nowhere"):
        got, head = site.raw(f"GET {path} HTTP/1.1\nHost: HOST"), site.raw(f"HEAD {path} HTTP/1.1\nHost: HOST")
        assert (head[0], head[2]) == (got[0], b"") and head[1]["content-type"] == got[1]["content-type"]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (f"Content-Length: {guard.MAX_BODY + 1}", b"", 413),
        ("Content-Length: 99999999999999999", b"", 413),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n", 411),
        ("Content-Type: multipart/form-data\nContent-Length: 3", b"a=1", 415),
        ("Content-Type: application/json\nContent-Length: 2", b"{}", 415),
        ("Content-Type: application/x-www-form-urlencoded\nCookie: ds_csrftoken=x\nContent-Length: 2", b"\xff\xfe", 400),
        ("Content-Type: application/x-www-form-urlencoded\nContent-Length: 2", b"\xff\xfe", 403),
        ("Content-Type: application/x-www-form-urlencoded\nContent-Length: 120", b"a=1&" * 30 + b"", 403),
        ("Content-Type: application/x-www-form-urlencoded\nContent-Length: 400", b"a=1&" * 100, 400),
    ],
)
def test_bodies_are_small_forms(site: Site, monkeypatch: pytest.MonkeyPatch, headers: str, body: bytes, status: int) -> None:
    """Everything else is refused by its head, or with a sentence."""
    monkeypatch.setattr(signing, "_PAUSE", 0.0)
    assert site.raw(f"POST /-/sign-in HTTP/1.1\nHost: HOST\n{headers}", body)[0] == status


@pytest.mark.parametrize("cookie", ['a,b=1; "=; ;;', "foo/bar=1", "\xe9=\xff", 'x="unclosed', "ds_messages=%%%; ds_csrftoken=\xff"])
def test_cookies_of_other_servers_break_nothing(site: Site, cookie: str) -> None:
    """All servers on this machine share them."""
    assert site.raw(f"GET /alerts HTTP/1.1\nHost: HOST\nCookie: {cookie}")[0] == 200


# ---- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["//evil.example/", "///evil.example/", "/%2f%2fevil.example/", "/alerts/?x=%0d%0aSet-Cookie:%20a=b", "/-/sign-out?next=//evil.example",
     "/alerts/silence?to=//evil.example", "/%0d%0aSet-Cookie:a=b/", "/alerts?lang=%0d%0aX:y"],
)  # fmt: skip
def test_redirects_stay_here(site: Site, path: str) -> None:
    """No address leads to another site, or into a header."""
    status, headers, _ = site.raw(f"GET {path} HTTP/1.1\nHost: HOST")
    location = headers.get("location", "/")
    assert status < 500 and location.startswith("/") and not location.startswith(("//", "/\\"))
    assert "a=b" not in headers.get("set-cookie", "") and "x" not in headers


@pytest.mark.parametrize("path", ["/\\evil.example/", "http://evil.example/", "*"])
def test_what_is_no_path_is_refused(site: Site, path: str) -> None:
    """Some browsers take a backslash for a slash."""
    status, headers, _ = site.raw(f"GET {path} HTTP/1.1\nHost: HOST")
    assert status == 400 and "location" not in headers


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/", "/static",
     "/static/pages.css/../../app.py", "/static/%2fetc%2fpasswd", "/-/static/../app.py", "/-/static/%2e%2e/%2e%2e/app.py",
     "/-/static/..%2f..%2fapp.py", "/static/pages.css%00"],
)  # fmt: skip
def test_no_file_but_those_of_the_pages(site: Site, path: str) -> None:
    """Whatever way a path takes out of the folder."""
    status, _, body = site.raw(f"GET {path} HTTP/1.1\nHost: HOST")
    assert status in (302, 400, 403, 404) and b"import" not in body and b"root:" not in body


@pytest.mark.parametrize(
    "path",
    ["/-/plugins.json", "/-/settings", "/-/databases.json", "/-/threads", "/-/messages", "/-/allow-debug", "/-/actor.json",
     "/_memory", "/_memory.json?sql=select+1", "/_internal", "/-/auth-token?token=x"],
)  # fmt: skip
def test_datasettes_own_corners_are_closed(site: Site, path: str) -> None:
    """They tell of this machine, its files and settings, or run SQL on nothing of ours."""
    with site.client() as client:
        assert client.get(path).status_code == 404


def test_tables_are_there_on_loopback_only(site: Site) -> None:
    """On any other address there are our pages alone."""
    with site.client() as client:
        assert client.get("/store/v_daily.json").status_code == 200
    served = app.Served("192.0.2.1", 8001, app.names("192.0.2.1"), TOKEN)
    elsewhere = app.application(site.pages.config, served, site.pages.ours)

    async def statuses() -> list[int]:
        paths = ("/store", "/store.json?sql=select+1", "/store/v_daily.json", "/store/v_daily.csv", "/_memory", "/alerts")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=elsewhere.app()), base_url="http://192.0.2.1:8001") as client:
            return [(await client.get(path)).status_code for path in paths]

    assert asyncio.run(statuses()) == [404, 404, 404, 404, 404, 200]


# ---- what a browser does with an answer ----------------------------------------------------------------------------------


def test_every_answer_has_the_policy_and_is_not_kept(site: Site) -> None:
    """Pages, files, redirects, refusals and failures alike; only files say that they may be kept."""
    requests = [
        "GET /alerts", "GET /sources", "GET /about", "GET /metrics", "GET /-/health", "GET /nowhere", "GET /alerts/", "GET /broken",
        "PUT /", "GET /store", "GET /store.json", "GET /store/nothing", "GET /-/static/app.css", "GET /static/pages.css", "GET /static/x",
    ]  # fmt: skip
    seen = set()
    for request in requests:
        status, headers, _ = site.raw(f"{request} HTTP/1.1\nHost: HOST")
        seen.add(status)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy, request
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == ("public, no-cache" if request == "GET /static/pages.css" else "no-store"), request
    assert seen == {200, 404, 405, 500}


def test_files_are_kept_until_they_change(site: Site) -> None:
    """The address in a page is that of one content, for good; any other is asked for again, and answered in a word."""
    with site.client() as client:
        page = client.get("/alerts").text
        link = page.partition('href="/static/pages.css?v=')[2].partition('"')[0]
        lasting, plain = client.get(f"/static/pages.css?v={link}"), client.get("/static/pages.css?v=older")
        assert (
            lasting.headers["cache-control"] == "public, max-age=31536000, immutable"
            and plain.headers["cache-control"] == "public, no-cache"
        )
        again = client.get("/static/pages.css", headers={"If-None-Match": plain.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/about", "/static/pages.css", "/-/static/app.css"])
def test_text_is_packed_for_whoever_takes_that(site: Site, path: str) -> None:
    """And for nobody else; what is unpacked is the same."""
    head = f"GET {path} HTTP/1.1\nHost: HOST\nAccept-Encoding:"
    packed, plain = site.raw(f"{head} br, gzip;q=0.5"), site.raw(f"{head} gzip;q=0, br")
    assert packed[1]["content-encoding"] == "gzip" and "content-encoding" not in plain[1]
    assert "accept-encoding" in packed[1]["vary"].casefold()
    assert len(gzip.decompress(_body(packed))) == len(_body(plain)) > len(_body(packed))


def _body(answer: tuple[int, dict[str, str], bytes]) -> bytes:
    """The body of an answer, which may come in chunks."""
    _, headers, rest = answer
    if headers.get("transfer-encoding") != "chunked":
        return rest
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


# ---- what goes wrong ---------------------------------------------------------------------------------------------------


def test_failures_quote_nothing(site: Site, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the page nor the log holds what the failing code had in its hands; the log says where it was."""
    with site.client() as client:
        answer = client.get("/broken")
        assert answer.status_code == 500 and "could not be made" in answer.text
        with contextlib.suppress(httpx.HTTPError):
            answer = client.get("/breaks-off")
    out, err = capfd.readouterr()
    assert WORDS not in answer.text + caplog.text + out + err
    assert "/broken: ValueError at test_web_guard.py" in caplog.text and "/breaks-off: ValueError" in caplog.text


def test_a_store_that_is_not_there_is_said_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, held by another process, or of a newer version: a sentence without the file's folder, and all is well once it is back."""
    monkeypatch.setattr(app, "PATIENCE", 0.05)
    path = tmp_path / "monitor.db"
    Store(path).close()
    with serving(Config(database=path)) as site, site.client() as client:

        def told() -> str:
            answer = client.get("/alerts")
            assert answer.status_code == 503 and str(path.parent) not in answer.text
            return answer.text

        away = path.with_name("away.db")
        path.rename(away)
        assert "does not exist yet" in told()
        away.rename(path)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA user_version = 99")
            assert "newer version" in told()
            other.execute(f"PRAGMA user_version = {SCHEMA}")
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN IMMEDIATE")
            assert "held by another process" in told()
        assert client.get("/alerts").status_code == 200


def test_a_question_that_takes_too_long_is_stopped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a page asks of the store ends, and says so."""
    monkeypatch.setattr(app, "GATHERING", 0.05)
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    monkeypatch.setattr(Store, "series", lambda store: store.rows(endless))
    with site.client() as client:
        answer = client.get("/alerts")
    assert answer.status_code == 503 and "took too long" in answer.text


def test_a_port_in_use_is_said() -> None:
    """With what to do about it."""
    with app.listening("127.0.0.1", 0) as taken, pytest.raises(InputError, match="give another --port"):
        app.listening("127.0.0.1", taken.getsockname()[1])


@pytest.mark.real
def test_it_ends_when_it_is_told_to(tmp_path: Path, write_config: Callable[..., Path], site: Site) -> None:
    """SIGTERM ends the command within seconds, though somebody holds a connection and has sent half a form; a shorter token is refused."""
    config = write_config()
    Store(tmp_path / "monitor.db").close()
    command = [sys.executable, "-P", "-m", "monitor", "--config", str(config), "web", "--port"]
    environment = {**os.environ, "FORUM_MONITOR_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}
    taken = subprocess.run([*command, str(site.port)], capture_output=True, text=True, env=environment)
    assert taken.returncode == 2 and "give another --port" in taken.stderr
    short = subprocess.run([*command, "0"], capture_output=True, text=True, env={**environment, "FORUM_MONITOR_TOKEN": "short"})
    assert short.returncode == 2 and "short" not in short.stderr.replace("shorter", "")
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        address = process.stdout.readline().removeprefix("Pages: ").strip()
        with httpx.Client() as client:
            assert client.get(f"{address}alerts").status_code == 200
            port = int(address.rstrip("/").rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as half:
                half.sendall(b"POST /-/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
                             b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken=")  # fmt: skip
                time.sleep(0.3)
                begun = time.monotonic()
                process.send_signal(signal.SIGTERM)
                process.wait(20)
        assert time.monotonic() - begun < 8
