"""Walls: how a site shows that it does not want to be read by a program, or by nobody without an account.

The promise: a bot wall, a CAPTCHA, a login in place of a page is known for what it is, whatever its HTTP status, so that it
is never stored as a post and never worked around; people who write about such walls put none up. Pure: nothing here asks anybody.
"""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

from scrapy.http import Request, Response

from spiders.optouts import markup

_REFUSING = (202, 401, 403, 405, 428, 429, 503)  # 202 and 405: AWS WAF; 428: Akamai
_LONGEST = 64 * 1024  # bytes; no wall is longer
_SHORT = 1500  # characters of words: a page with posts has more, or then no wall's marks
_BARE = 600  # characters: nothing but the widget

_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_TITLES = re.compile(  # whole: a topic may begin so, and then the forum's name follows
    r"just a moment|attention required|one moment, please|please wait|checking (?:your browser.*|you are not a (?:ro)?bot)"
    r"|access to this page has been denied"
    r"|making sure you['’]re not a bot|are you (?:a |not a )?(?:human|robot)|(?:bot|human) (?:check|verification)|robot check"
    r"|robot challenge screen|verif(?:y|ying) (?:that )?you are (?:a )?(?:human|not a (?:ro)?bot)|challenge validation"
    r"|pardon our interruption|vercel security checkpoint|client challenge|ddos-guard|security check(?:point)?"
    r"|request rejected|安全验证|人机验证|sucuri website firewall.*|access denied \| .* used cloudflare to restrict access",
    re.IGNORECASE,
)
# Cloudflare, DataDome, PerimeterX (HUMAN), Anubis, Imperva, AWS WAF, Akamai, go-away, Kasada, SiteGround, Sucuri. Looked for
# in elements and scripts, never in what people write.
_MARKS = (
    "cf-chl-", "_cf_chl_opt", "challenge-platform/h/", "captcha-delivery.com", "px-captcha", "anubis_challenge",
    "/.within.website/x/cmd/anubis", "_incapsula_resource", "awswafcookiedomainlist", "/_sec/cp_challenge/", "sec-if-cpt-container",
    "bm-verify=", "__goaway_challenge", "window.kpsdk", "/.well-known/sgcaptcha/", "sucuri_cloudproxy_js",
)  # fmt: skip
_WIDGETS = ("g-recaptcha", "h-captcha", "cf-turnstile", "data-sitekey=", "hcaptcha.com/captcha")
_DEMANDS = (  # walls that are nothing but a request for JavaScript begin with it
    "enable javascript and cookies", "enable js and cookies", "enable cookies and javascript", "enable cookies and js",
    "enable js and disable any ad blocker", "enable javascript to view the page content",
)  # fmt: skip
_REFUSAL = re.compile(r"captcha|cf-chl|challenge-platform/h/|errors\.edgesuite\.net")
_API_REFUSAL = re.compile(rb"captcha-delivery\.com|\"blockScript\"|px-captcha|\"sec-cp-challenge\"")

_LOGIN_TITLE = re.compile(
    r"<title[^>]*>\s*(?P<site>[^<]{0,300}[|–—·•»-]\s+)?(?:log[ -]?in|sign[ -]?in|connexion|anmelden|登录)\s*(?:[|–—·•:»-][^<]*)?</title",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"<input[^>]+type=[\"']?password", re.IGNORECASE)
_LOGIN_PATH = re.compile(  # the path's end: elsewhere such a word may be a topic's name
    r"/(?:log-?in|sign[-_]?in|session|sso|saml2?|authenticate|(?:oauth2?|login)/authorize|openid-connect/auth)(?:\.\w+)?/?$", re.IGNORECASE
)
_LOGIN_QUERY = re.compile(r"(?:^|[&;?])(?:mode|action|do|app)=(?:login|sign-?in)\b", re.IGNORECASE)
_LOGIN_HOST = re.compile(r"(?:login|sso|auth|accounts?|signin|passport)\.", re.IGNORECASE)

_UNSEEN = re.compile(r"<(script|style|svg|head)\b.*?(?:</\1\s*>|$)|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_DRAWN = re.compile(
    r"<script\b(?![^<>]*json)[^<>]*>.*?(?:</script|$)|<(?!a\b|img\b|meta\b(?![^<>]*http-equiv)|/)[^<>]*>", re.IGNORECASE | re.DOTALL
)

_BOT_WALL = "banned", "shows a bot wall: it is not read any further, and a wall is never worked around"
LOGIN_WALL = "banned", "asks for a login: it is not read any further; take this source out, or choose its public pages"

Wall = tuple[str, str]
"""The finish reason, and the end of a sentence that begins with the URL or with "its site"."""


def unwelcome(request: Request, response: Response) -> Wall | None:
    """How a site shows that it does not want to be read; None where it does not show that.

    A 401 or 403 on a page that is not essential (a topic that was closed to the public), or that the spider asked to see,
    concerns that page alone.
    """
    if b"challenge" in (response.headers.get("cf-mitigated") or b"") or response.headers.get("x-amzn-waf-action"):
        return _BOT_WALL
    refusing = response.status in _REFUSING
    page = markup(response).decode("utf-8", "replace") if len(response.body) <= _LONGEST else ""
    if _is_wall(page, refusing) or (refusing and not page and _API_REFUSAL.search(response.body[:_LONGEST])):
        return _BOT_WALL
    essential = request.meta.get("essential", True) and response.status not in request.meta.get("handle_httpstatus_list", ())
    closed = response.status in (401, 403)
    if (essential or not closed) and _is_login(page, essential):
        return LOGIN_WALL
    if essential and closed:
        return "banned", f"answers {response.status}: crawlers are not wanted there, or it needs a login; it is not read any further"
    return None


def _is_wall(page: str, refusing: bool) -> bool:
    page = page.lower()
    title = html.unescape("".join(_TITLE.findall(page)[:1])).strip().removesuffix("| cloudflare").rstrip(" .!?…")
    titled = _TITLES.fullmatch(title)
    if not (titled or refusing or any(word in page for word in (*_MARKS, *_WIDGETS, *_DEMANDS))):
        return False  # nearly every page, and the rest takes longer
    words, drawn = _words(page), _drawn(page)
    demanding = any(demand in words for demand in _DEMANDS)
    if refusing and (demanding or _REFUSAL.search(html.unescape(page))):
        return True
    if titled or any(mark in drawn for mark in _MARKS):
        return refusing or _count(words) < _SHORT
    demanding = demanding and words.removeprefix("please ").startswith(_DEMANDS)
    guarding = "<textarea" not in page and any(widget in drawn for widget in _WIDGETS)  # else it is for those who write
    return _count(words) < _BARE and (demanding or guarding)


def _is_login(page: str, essential: bool) -> bool:
    """Whether a page is a login's own. A title that begins with the site's name may be that of a single closed topic (phpBB)."""
    title = _LOGIN_TITLE.search(page)
    return bool(title and (essential or not title["site"]) and _PASSWORD.search(page) and _count(_words(page)) < _SHORT)


def _drawn(page: str) -> str:
    """Elements and scripts, without words, links and data: what the site's own programs put there."""
    return " ".join(_DRAWN.findall(page))


def _words(page: str) -> str:
    """What a reader would see."""
    return " ".join(_UNSEEN.sub(" ", page).split())


def _count(words: str) -> int:
    """Characters, spaces apart."""
    return len(words) - words.count(" ")


def login(request: Request) -> Wall | None:
    """A redirect that leads to a login, before it is followed; None for any other request."""
    if not request.meta.get("redirect_urls"):
        return None
    parts = urlsplit(request.url)
    before = urlsplit(request.meta["redirect_urls"][0])
    elsewhere = parts.hostname != before.hostname and _LOGIN_HOST.match(parts.hostname or "")
    return LOGIN_WALL if elsewhere or _LOGIN_PATH.search(parts.path) or _LOGIN_QUERY.search(parts.query) else None
