"""Walls: how a site shows that it does not want to be read by a program, or by nobody without an account.

The promise: a bot wall, a CAPTCHA, a login in place of a page is known for what it is, whatever its HTTP status, so that it
is never stored as a post and never worked around; people who write about such walls put none up. Pure: nothing here asks anybody.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from scrapy.http import Request, Response

from spiders.optouts import markup

_REFUSING = (202, 401, 403, 405, 429, 503)  # 202 and 405: AWS WAF
_LONGEST = 64 * 1024  # bytes; no wall is longer
_SHORT = 1500  # characters of words: a page with posts has more, or then no wall's marks
_BARE = 600  # characters: nothing but the widget

_TITLE = re.compile(
    r"<title[^>]*>\s*(?:just a moment|attention required!|one moment, please|please wait\.\.\. \| cloudflare|checking your browser"
    r"|access to this page has been denied|making sure you(?:'|’|&\S{1,6};)re not a bot|are you (?:a |not a )?(?:human|robot)"
    r"|(?:bot|human) (?:check|verification)|robot check|verif(?:y|ying) (?:that )?you are|pardon our interruption"
    r"|vercel security checkpoint|client challenge|ddos-guard|security check(?:point)?\s*<|sucuri website firewall)",
    re.IGNORECASE,
)
# Cloudflare, DataDome, PerimeterX (HUMAN), Anubis, Imperva, AWS WAF, and walls that are nothing but a request for JavaScript.
_MARK = re.compile(
    r"cf-chl-|_cf_chl_opt|challenge-platform/h/|captcha-delivery\.com|px-captcha|id=[\"']anubis_challenge|/\.within\.website/x/cmd/anubis"
    r"|_incapsula_resource|awswafcookiedomainlist|enable (?:javascript|js) and (?:cookies|disable any ad blocker)"
    r"|enable cookies and (?:javascript|js)",
    re.IGNORECASE,
)
_WIDGET = re.compile(r"class=[\"'][^\"'>]*(?:g-recaptcha|h-captcha|cf-turnstile)|data-sitekey=", re.IGNORECASE)
_REFUSAL = re.compile(r"captcha|cf-chl|challenge-platform", re.IGNORECASE)
_API_REFUSAL = re.compile(rb"captcha-delivery\.com|\"blockScript\"|px-captcha")

_LOGIN_TITLE = re.compile(r"<title[^>]*>\s*(?:log[ -]?in|sign[ -]?in|connexion|anmelden|登录)\s*(?:[|–—·•:»-][^<]*)?</title", re.IGNORECASE)
_PASSWORD = re.compile(r"<input[^>]+type=[\"']?password", re.IGNORECASE)
_LOGIN_PATH = re.compile(  # the path's end: elsewhere such a word may be a topic's name
    r"/(?:log-?in|sign[-_]?in|session|sso|saml2?|authenticate|(?:oauth2?|login)/authorize|openid-connect/auth)(?:\.\w+)?/?$", re.IGNORECASE
)
_LOGIN_QUERY = re.compile(r"(?:^|[&;?])(?:mode|action|do|app)=(?:login|sign-?in)\b", re.IGNORECASE)
_LOGIN_HOST = re.compile(r"(?:login|sso|auth|accounts?|signin|passport)\.", re.IGNORECASE)

_BOT_WALL = "banned", "shows a bot wall: it is not read any further, and a wall is never worked around"
_LOGIN_WALL = "banned", "asks for a login: it is not read any further; take this source out, or choose its public pages"

Wall = tuple[str, str]
"""The finish reason, and the end of a sentence that begins with the URL or with "its site"."""


def unwelcome(request: Request, response: Response) -> Wall | None:
    """How a site shows that it does not want to be read; None where it does not show that.

    A 401 or 403 on a page that is not essential (a topic that was closed to the public), or that the spider asked to see,
    concerns that page alone; so does a login in its place, where the spider asked to see a 401.
    """
    if b"challenge" in (response.headers.get("cf-mitigated") or b"") or response.headers.get("x-amzn-waf-action"):
        return _BOT_WALL
    refusing = response.status in _REFUSING
    page = markup(response).decode("utf-8", "replace") if len(response.body) <= _LONGEST else ""
    if _is_wall(page, refusing) or (refusing and not page and _API_REFUSAL.search(response.body[:_LONGEST])):
        return _BOT_WALL
    accepted = request.meta.get("handle_httpstatus_list", ())
    if 401 not in accepted and _LOGIN_TITLE.search(page) and _PASSWORD.search(page) and _words(page) < _SHORT:
        return _LOGIN_WALL
    if request.meta.get("essential", True) and response.status in (401, 403) and response.status not in accepted:
        return "banned", f"answers {response.status}: crawlers are not wanted there, or it needs a login; it is not read any further"
    return None


def _is_wall(page: str, refusing: bool) -> bool:
    if refusing and _REFUSAL.search(page):
        return True
    if _TITLE.search(page) or _MARK.search(page):
        return refusing or _words(page) < _SHORT
    return bool(_WIDGET.search(page)) and _words(page) < _BARE


def _words(page: str) -> int:
    """Characters that a reader would see, spaces apart."""
    seen = re.sub(r"<(script|style|svg|head)\b.*?(?:</\1\s*>|$)|<[^>]*>", " ", page, flags=re.IGNORECASE | re.DOTALL)
    return len("".join(seen.split()))


def login(request: Request) -> Wall | None:
    """A redirect that leads to a login, before it is followed; None for any other request."""
    if not request.meta.get("redirect_urls"):
        return None
    parts = urlsplit(request.url)
    before = urlsplit(request.meta["redirect_urls"][0])
    elsewhere = parts.hostname != before.hostname and _LOGIN_HOST.match(parts.hostname or "")
    return _LOGIN_WALL if elsewhere or _LOGIN_PATH.search(parts.path) or _LOGIN_QUERY.search(parts.query) else None
