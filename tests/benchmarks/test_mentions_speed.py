"""How many posts a second are searched for every shipped team, by one core."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
import yaml

from monitor.config import Team
from monitor.demo.posts import load_posts
from monitor.mentions import Finder

pytestmark = pytest.mark.benchmark

QUIET = (
    "Three years on this and the build is still the worst part of the job. We tried to move to something else last spring, it "
    "did not go well, and everybody said again that we should wait. My manager agreed with that plan, which is at least "
    "something. Anyway, back to work: the tests are red since Friday and nobody seems to mind any more."
)


def test_mentions_speed() -> None:
    """Forum posts of about 300 characters, 600 patterns: the demo's posts, all of which name a team, and posts that name none."""
    settings = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text("utf-8"))
    finder = Finder([Team.model_validate(team) for team in settings["teams"]])
    texts = itertools.cycle(post.text for post in load_posts())
    named = [" ".join(itertools.islice(texts, 2))[:300] for _ in range(10_000)]
    quiet = [QUIET[n % 20 :] for n in range(10_000)]
    mixed = [text for n in range(0, 10_000, 3) for text in (named[n], quiet[n], quiet[n])]
    print()
    for what, posts in (("every post names a team", named), ("one in three does", mixed), ("none does", quiet)):
        begun = time.perf_counter()
        found = sum(len(finder.find(text)) for text in posts)
        took = time.perf_counter() - begun
        length = sum(map(len, posts)) / len(posts)
        print(f"mentions: {len(posts) / took:9,.0f} posts/s, {what} ({length:.0f} characters, {found} mentions)")
