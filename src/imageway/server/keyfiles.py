"""Keys of our own that lie in the data directory: made once, read by every process that shares it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

MEDIA_KEY: Final = "media-signing.key"
_BYTES: Final = 32


def key_in(path: Path) -> bytes:
    """The key in this file; it is made when it is not there."""
    made_once(path, secrets.token_hex(_BYTES))
    return bytes.fromhex(path.read_text().strip())


def made_once(path: Path, text: str) -> None:
    """Makes a file that its owner alone may read, unless it is there. It appears whole or not at all: of processes that
    start at once on an empty directory, one makes it. When this returns, a power cut does not take it any more: rows
    that need it may be written."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write_through(draft, text)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_through(path: Path, text: str) -> None:
    """To the disk, for its owner alone. Its name in the folder may not be there yet."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
