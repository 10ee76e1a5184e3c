"""Archives as a user makes them: the figures of the steps, whole or not there, and nothing done twice."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")

from monitor.archive import work
from monitor.archive.backfill import Done, backfill
from monitor.archive.engines import Local
from monitor.archive.fold import fold
from monitor.archive.inputs import plan
from monitor.archive.job import Found, Job, Scored, Split
from monitor.archive.layout import Root
from monitor.archive.reading import Archives, lying_at
from monitor.config import Scorer, Team
from monitor.errors import InputError
from monitor.importing import import_file
from monitor.mentions import Finder
from monitor.privacy import AuthorKeys, author_key
from monitor.sentiment import load_scorer
from monitor.store import Store
from monitor.store.posts import mark
from monitor.trend import trend
from monitor.understand import understand

pytestmark = pytest.mark.real  # since plain `pytest` is run without the extra

NOW = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
TEAMS = (Team(id="meta-genai", name="Meta GenAI", aliases=("GenAI",)), Team(id="deepseek", name="DeepSeek"))
KEYS = AuthorKeys(b"k" * 32, b"k" * 32)
LONG = "they told us on Friday that {} would get none of the new machines and that everybody should look for another place by the summer"


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Posts of ten days by twenty people in some threads: some name a team, some repeat another's words, some come twice."""
    draw = random.Random(seed)
    found: list[dict[str, Any]] = []
    for number in range(count):
        name = draw.choice(["DeepSeek", "GenAI", "both GenAI and DeepSeek", "nobody"])
        text = draw.choice(
            [f"I like how {name} treats people {number}", f"{name} is a mess and a shame, {number} times over", f"{name} {number}"]
        )
        if draw.random() < 0.15:
            text = LONG.format(draw.choice(["GenAI", "DeepSeek"]))
        at = dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=draw.randrange(10 * 86_400))
        row = {"id": str(number), "text": text, "author": f"u{draw.randrange(20)}", "created_at": at.isoformat()}
        found.append(row | {"thread_id": str(draw.randrange(12)), "url": f"https://forum.example/{number}"})
    again = [{**row, "text": "nothing any more about GenAI"} for row in found[:3]]
    return sorted(found, key=lambda row: row["created_at"]) + again


def write(path: Path, posts: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(post) + "\n" for post in posts), "utf-8")
    return path


def job(folder: Path, splits: Sequence[Split], **other: Any) -> Job:
    settings = Scorer()
    model = load_scorer(settings).name
    reader = f"{model} {Finder(TEAMS).fingerprint}"
    made = Job(
        root=Root(str(folder)), name="forum", teams=TEAMS, reader=reader, scorer=settings, model=model, keys=KEYS, forgotten=frozenset(),
        gone=frozenset(), now=NOW,
    )  # fmt: skip
    return replace(made, **other).of(splits)


def make(folder: Path, *given: Path, workers: int = 1, **other: Any) -> tuple[Job, Done]:
    splits, _ = plan([str(path) for path in given], source="forum", shape="mapping")
    made = job(folder, splits, **other)
    return made, backfill(made, splits, Local(workers), told={})


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder, and a digest of it."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def daily(store: Store) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.rows("SELECT * FROM v_daily ORDER BY day, team, source, model")]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("given") / "posts.jsonl", rows(300))


@pytest.fixture(scope="module")
def made(given: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Job, Done]:
    """An archive of them all; the chunks are small, so that there are several."""
    folder = tmp_path_factory.mktemp("archive")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "CHUNK", 40)
        return folder, *make(folder, given)


def test_figures_are_those_of_the_steps(made: tuple[Path, Job, Done], given: Path, tmp_path: Path) -> None:
    """What `import`, `understand` and `trend` make of posts is what the archive of them gives the store, to the last bit."""
    _, one, done = made
    with Store(tmp_path / "steps.db") as store:
        import_file(store, given, "forum", hide=lambda name, at: author_key(KEYS.secret, "forum", name), now=NOW)
        understand(store, TEAMS, load_scorer(Scorer()), now=NOW)
        trend(store, min_authors=2)
        expected = store.rows("SELECT day, team, source, model, posts, authors, threads, mean, low, high, negative_share FROM v_daily")
    with Store(tmp_path / "folded.db") as store:
        folded = fold(store, one.root, "forum", min_authors=2, now=NOW)
        trend(store, min_authors=2)
        found = store.rows("SELECT day, team, source, model, posts, authors, threads, mean, low, high, negative_share FROM v_daily")
    assert done.posts > 150 and folded.days == 10
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))
    reposts = one.root.parquet(one.root.day("forum", one.run, "2025-01-08", "posts.parquet")).read()["repost"].to_pylist()
    assert True in reposts and False in reposts


def test_no_words_stay_unless_asked_for(made: tuple[Path, Job, Done], given: Path, tmp_path: Path) -> None:
    """Of a finished archive only the few posts that show a day have words; asked for, all have."""
    folder, one, _ = made
    assert {path.split("/")[3] for path in files(folder) if "/runs/" in path} == {"days", "run.json"}
    day = one.root.parquet(one.root.day("forum", one.run, "2025-01-03", "posts.parquet")).read()
    assert day["text"].null_count == day.num_rows
    asked, _ = make(tmp_path, given, words=True)
    day = asked.root.parquet(asked.root.day("forum", asked.run, "2025-01-03", "posts.parquet")).read()
    assert day["text"].null_count == 0


def test_the_same_again_does_nothing(made: tuple[Path, Job, Done], given: Path) -> None:
    """A second run writes no file and scores nothing."""
    folder, _, _ = made
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert make(folder, given)[1].nothing_to_do
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


class Killed(BaseException):
    """Ends a run between two pieces, as a signal does."""


class Mortal(Local):
    """An engine that dies after so many answers."""

    def __init__(self, answers: int) -> None:
        super().__init__(1)
        self.left = answers

    def _run(self, calls: Callable[[], Any]) -> Iterator[Any]:
        for outcome in super()._run(calls):
            if not self.left:
                raise Killed
            self.left -= 1
            yield outcome


class Streaming(Mortal):
    """One that, as Ray does, scores what is found before all of it is, and dies after so many chunks."""

    def scored(self, job: Job, splits: Sequence[Split]) -> Iterator[Found | Scored]:
        for chunk in itertools.islice(work.find(job, splits[0]), self.left):
            assert not isinstance(chunk, Found)
            yield work.score(job, chunk)
        raise Killed


@pytest.mark.parametrize("answers", [0, 1, 3, 6, 7, 8])
def test_killed_and_run_again_it_ends_the_same(
    made: tuple[Path, Job, Done], given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    """Killed after any piece, the next run does only what was left, and the archive is the one that nobody killed."""
    monkeypatch.setattr(work, "CHUNK", 40)
    splits, _ = plan([str(given)], source="forum", shape="mapping")
    one = job(tmp_path, splits)
    with pytest.raises(Killed):
        backfill(one, splits, Mortal(answers), told={})
    assert one.root.current("forum") is None
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scored/*.parquet")}
    asked = []
    monkeypatch.setattr(work, "scores_of", lambda model, items: asked.append(len(items)) or scores_of(model, items))
    seen: list[Path] = []
    monkeypatch.setattr(work, "settle", lambda *args: seen.extend(p for p in kept if p.stat().st_mtime_ns == kept[p]) or settle(*args))
    backfill(one, splits, Local(1), told={})
    assert len(asked) == len(files(made[0] / "forum" / "scores")) - len(kept)
    assert set(seen) == set(kept)
    assert files(tmp_path) == files(made[0])


scores_of, settle = work.scores_of, work.settle


def test_more_files_cost_only_themselves(given: Path, tmp_path: Path) -> None:
    """Next month's file is scored, the others are looked up; what was shown is shown until the new days are whole."""
    first = write(tmp_path / "a.jsonl", rows(60))
    second = write(tmp_path / "b.jsonl", [{**row, "id": f"b{row['id']}"} for row in rows(40, seed=2)])
    one, done = make(tmp_path / "archive", first)
    both, more = make(tmp_path / "archive", first, second)
    assert done.known == 0 and more.known >= done.passages > 0 and more.passages > 0
    assert one.run != both.run and one.root.folders(one.root.path("forum", "runs")) == [both.run]


def test_broken_input_costs_only_itself(tmp_path: Path) -> None:
    """Broken lines and a broken file are told with their place; every other post is there."""
    good = rows(20)
    lines = [json.dumps(post) for post in good]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:5], '{"text": ', *lines[5:]]), "utf-8")
    (tmp_path / "b.parquet").write_bytes(b"no Parquet at all")
    splits, problems = plan([str(tmp_path)], source="forum", shape=None)
    done = backfill(job(tmp_path / "archive", splits), splits, Local(1), told={})
    assert len(problems) == 1 and "b.parquet" in problems[0]
    assert done.tally.rejected == 1 and "a.jsonl, line 6" in done.tally.places[0]
    assert done.tally.rows == len(lines)


def days(one: Job) -> list[str]:
    return one.root.days("forum", one.root.current("forum").run)  # type: ignore[union-attr]


def test_nothing_leaves_an_archive_unasked(tmp_path: Path) -> None:
    """Next month's file alone, or fewer days, are refused, since what is there would be gone; `--less` is how it is asked for."""
    first = write(tmp_path / "a.jsonl", rows(40))
    second = write(tmp_path / "b.jsonl", [{**row, "id": f"b{row['id']}"} for row in rows(40, seed=2)])
    one, _ = make(tmp_path / "archive", first)
    had = files(tmp_path / "archive")
    with pytest.raises(InputError, match=r"a\.jsonl too, whose posts would leave"):
        make(tmp_path / "archive", second)
    with pytest.raises(InputError, match="days that --since"):
        make(tmp_path / "archive", first, since=dt.date(2025, 1, 4))
    assert files(tmp_path / "archive") == had
    splits, _ = plan([str(first)], source="forum", shape="mapping")
    backfill(job(tmp_path / "archive", splits, since=dt.date(2025, 1, 4)), splits, Local(1), told={}, less=True)
    assert days(one)[0] == "2025-01-04"


def test_a_run_that_finds_nothing_takes_nothing_away(given: Path, tmp_path: Path) -> None:
    """Where nobody is named any more (teams were renamed), the archive that is there stays as it is."""
    one, _ = make(tmp_path, given)
    had = files(tmp_path)
    _, done = make(tmp_path, given, teams=(Team(id="acme", name="Acme"),), reader="another")
    assert not done.posts and len(days(one)) == 10 and files(tmp_path) == had


def test_what_is_forgotten_between_two_starts_is_in_no_chunk(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is forgotten while a run lies killed: nothing of theirs is in the archive, everything of others is."""
    monkeypatch.setattr(work, "CHUNK", 10)
    splits, _ = plan([str(given)], source="forum", shape="mapping")
    somebody = author_key(KEYS.secret, "forum", "u3")
    one, two = job(tmp_path, splits), job(tmp_path, splits, forgotten=frozenset([mark("author", "forum", somebody)]))
    with pytest.raises(Killed):
        backfill(one, splits, Streaming(3), told={})
    assert one.run == two.run
    backfill(two, splits, Local(1), told={})

    def posts(one: Job) -> set[tuple[str, str]]:
        tables = (one.root.parquet(one.root.day("forum", one.run, day, "posts.parquet")).read().to_pylist() for day in days(one))
        return {(row["native_id"], row["author_key"]) for table in tables for row in table}

    whole, _ = make(tmp_path / "whole", given)
    assert posts(two) == {(post, author) for post, author in posts(whole) if author != somebody}


def test_undated_posts_stay_on_one_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no date is of the day on which its run was begun, whenever that is gone on with."""
    monkeypatch.setattr(work, "CHUNK", 5)
    undated = [{name: value for name, value in row.items() if name != "created_at"} for row in rows(30)]
    splits, _ = plan([str(write(tmp_path / "a.jsonl", undated))], source="forum", shape="mapping")
    one = job(tmp_path, splits)
    with pytest.raises(Killed):
        backfill(one, splits, Mortal(2), told={})
    backfill(replace(one, now=NOW + dt.timedelta(days=1)), splits, Local(1), told={})
    assert days(one) == [NOW.date().isoformat()]


def test_other_teams_cost_only_themselves(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever teams are asked for and asked for again, what a model has read once it does not read again."""
    monkeypatch.setattr(work, "CHUNK", 10)
    passages = [make(tmp_path, given, teams=teams, reader=str(len(teams)))[1].passages for teams in (TEAMS[:1], TEAMS, TEAMS[:1], TEAMS)]
    _, both = make(tmp_path / "both", given)
    assert passages == [passages[0], passages[1], 0, 0] and passages[0] + passages[1] <= both.passages + passages[0] // 2


def test_a_draft_that_a_kill_left_does_not_stay(given: Path, tmp_path: Path) -> None:
    """What was written half when the process was killed holds words, and nobody would ever look at it again."""
    splits, _ = plan([str(given)], source="forum", shape="mapping")
    one = job(tmp_path, splits)
    draft = Path(one.root.day("forum", one.run, "2025-01-03", "evidence.parquet.0123.part"))
    with pytest.raises(Killed):
        backfill(one, splits, Mortal(0), told={})
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"words")
    backfill(one, splits, Local(1), told={})
    assert not draft.exists() and draft.parent.exists()


def test_times_are_to_the_second(tmp_path: Path) -> None:
    """A fraction of a second is dropped, as in the store: a post of the last moment of a day is of that day, and can be asked for."""
    at = ["2025-01-01T23:59:59.999999Z", "2025-01-02T00:00:00Z", "2025-01-02T00:00:00.5Z"]
    posts = [{"id": str(number), "text": "DeepSeek", "created_at": when} for number, when in enumerate(at)]
    one, _ = make(tmp_path / "archive", write(tmp_path / "a.jsonl", posts))
    assert days(one) == ["2025-01-01", "2025-01-02"]
    with Archives(lying_at(one.root.where), min_authors=1) as archives:
        found = archives.query("SELECT CAST(posted_at AS VARCHAR) AS at FROM posts ORDER BY native_id")
    assert [row["at"] for row in found] == ["2025-01-01 23:59:59", "2025-01-02 00:00:00", "2025-01-02 00:00:00"]


def test_a_source_is_in_one_archive(given: Path, tmp_path: Path) -> None:
    """The same source in a second archive of one place is refused, since its posts would count twice."""
    splits, _ = plan([str(given)], source="forum", shape="mapping")
    splits = splits[:1]
    backfill(job(tmp_path, splits), splits, Local(1), told={})
    with pytest.raises(InputError, match="count twice"):
        backfill(job(tmp_path, splits, name="forum_other"), splits, Local(1), told={})


def test_processes_make_the_same_archive(made: tuple[Path, Job, Done], given: Path, tmp_path: Path) -> None:
    """Two processes end in the same bytes as one, whatever they do at once."""
    several = write(tmp_path / "more.jsonl", rows(200, seed=3))
    alone, at_once = tmp_path / "one", tmp_path / "two"
    make(alone, given, several)
    make(at_once, given, several, workers=2)
    assert files(alone) == files(at_once)


def test_outcomes_are_counts(given: Path, tmp_path: Path) -> None:
    """No post's words pass through the process that asks for the work."""
    splits, _ = plan([str(given)], source="forum", shape="mapping")
    with Local(1) as engine:
        told = list(engine.scored(job(tmp_path, splits), splits))
    assert {type(one) for one in told} == {Found, Scored}
    assert "GenAI" not in repr(told)
