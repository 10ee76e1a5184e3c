"""How authors are hidden: a keyed hash in place of every name, with a key that never leaves this machine.

The promise: no name is stored. Without the key file a hash can be neither reversed nor confirmed by trying names.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from monitor.errors import StoreError


def load_key(path: Path) -> bytes:
    """The secret bytes in `path`, at least 32; made there at first use with mode 0600.

    Raises StoreError when the file cannot be made or read, is too short, or may be read by others. Of several processes
    that make it at once, all get the same key.
    """
    try:
        if not path.exists():
            _make(path)
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        why = error.strerror or error
        raise StoreError(f"the author key {path} cannot be made or read ({why}): check privacy.author_key_file and its folder") from None
    if mode & 0o077:
        raise StoreError(
            f"the author key {path} can be read by other users, who could find authors out with a list of names: run `chmod 600 {path}`"
        )
    if len(key) < 32:
        raise StoreError(
            f"the author key {path} is shorter than 32 bytes: restore it from a backup, or delete it and the database together"
        )
    return key


def _make(path: Path) -> None:
    """Write a key beside `path` and link it there: nobody ever sees a key that is half written, and the first one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def author_key(key: bytes, source: str, name: str) -> str:
    """HMAC-SHA256 of an author's name within its source, 32 hexadecimal digits. One name in two sources gives two keys."""
    return hmac.new(key, f"{source}\0{name}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]
