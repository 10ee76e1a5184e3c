"""How authors are hidden: a keyed hash in place of every name, with a key that never leaves this machine.

The promise: no name is stored. Without the key file a hash can be neither reversed nor confirmed by trying names.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from monitor.errors import StoreError


def load_key(path: Path) -> bytes:
    """The 32 secret bytes in `path`, made there at first use with mode 0600. StoreError when it cannot be, or others may read it."""
    try:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
        if path.stat().st_mode & 0o077:
            raise StoreError(f"{path} can be read by other users: run `chmod 600 {path}`; with it and a list of names, authors could be found out")
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"the author key {path} cannot be made or read ({error.strerror}): check privacy.author_key_file and the folder") from None
    if len(key) < 32:
        raise StoreError(f"the author key {path} is shorter than 32 bytes: restore it from a backup, or delete it and the database together")
    return key


def author_key(key: bytes, source: str, name: str) -> str:
    """HMAC-SHA256 of an author's name within its source, 32 hexadecimal digits. One name in two sources gives two keys."""
    return hmac.new(key, f"{source}\0{name}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]
