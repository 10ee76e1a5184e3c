"""No author is named anywhere, and the key that hides them stays ours."""

from __future__ import annotations

import datetime as dt
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.errors import StoreError
from monitor.privacy import author_key, load_key
from monitor.records import Gone, Post
from monitor.store import Store


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    """32 random bytes, mode 0600 whatever the umask, the same at every start, and no draft left beside it."""
    before = os.umask(0)
    try:
        key = load_key(tmp_path / "new" / "monitor.db.key")
    finally:
        os.umask(before)
    path = tmp_path / "new" / "monitor.db.key"
    assert len(key) == 32 and load_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert load_key(tmp_path / "other.key") != key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """With the key and a list of names, hashes could be tried; the sentence says what to run."""
    load_key(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(StoreError, match="chmod 600"):
        load_key(tmp_path / "key")


def test_a_key_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    """An empty or shortened key would give every author a new identity: it is reported and left as it is."""
    path = tmp_path / "key"
    for content in (b"", b"x" * 31):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(StoreError, match="shorter than 32 bytes"):
            load_key(path)
        assert path.read_bytes() == content


def test_a_key_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    """A file in place of the folder, or a folder in place of the file: what, where, and which setting."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "key", tmp_path):
        with pytest.raises(StoreError, match="author_key_file"):
            load_key(path)


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    """Eight at once on a fresh folder: nobody sees half a key, and nobody's key replaces another's."""
    program = f"from pathlib import Path; from monitor.privacy import load_key; print(load_key(Path({str(tmp_path / 'key')!r})).hex())"
    children = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(8)]
    keys = {child.communicate(timeout=60)[0].strip() for child in children}
    assert keys == {(tmp_path / "key").read_bytes().hex()}


def test_a_hash_hides_a_name_and_tells_authors_apart() -> None:
    """The same name in the same source is always one author; another source, name or key is another. Any name has a hash."""
    key, other = b"k" * 32, b"o" * 32
    found = author_key(key, "hn", "ada")
    assert found == author_key(key, "hn", "ada")
    assert len({found, author_key(key, "hn", "Ada"), author_key(key, "forum", "ada"), author_key(other, "hn", "ada")}) == 4
    for name in ("", "名前", "\ud800", "a\0b", "x" * 100_000):
        assert len(author_key(key, "hn", name)) == 32


def test_no_author_name_is_in_any_file_of_the_store(tmp_path: Path) -> None:
    """The raw bytes of the database, its log and its key hold no name, while posts live and after they are gone."""
    key = load_key(tmp_path / "monitor.db.key")
    now = dt.datetime(2025, 1, 23, tzinfo=dt.UTC)
    names = [f"Zyxwv-author-{n}" for n in range(300)]
    with Store(tmp_path / "monitor.db") as store:
        store.save_posts(
            Post("hn", str(n), f"https://x.org/{n}", f"text {n}", now, now, author_key=author_key(key, "hn", name))
            for n, name in enumerate(names)
        )
        store.save_posts(Gone("hn", str(n)) for n in range(100))
        for file in tmp_path.iterdir():
            assert b"Zyxwv" not in file.read_bytes(), file.name
        assert store.rows("SELECT count(DISTINCT author_key) FROM posts WHERE deleted_at IS NULL")[0][0] == 200
