"""The mails on disk: a Maildir, with an index in memory for the list."""

from __future__ import annotations

import mailbox
import os
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.mailbox.domain import Summary, summarize

HEADERS_BYTES: Final = 65_536  # what is read of each mail when the mailbox starts


class MailStore:
    """Keeps mails in a Maildir, one file each in `new`. Its methods block: call them from a thread."""

    def __init__(self, folder: Path) -> None:
        self._maildir = mailbox.Maildir(folder, create=True)
        self._new = folder / "new"
        self._adding = threading.Lock()  # mailbox.Maildir is not for several threads
        self._index: dict[str, Summary] = {}
        for path in self._new.iterdir():
            with path.open("rb") as file:
                self._note(path, file.read(HEADERS_BYTES))

    def save(self, raw: bytes) -> str:
        """Writes a mail so that it outlives a power cut, and returns its id. Raises OSError when it cannot."""
        with self._adding:
            key = str(self._maildir.add(raw))  # flushes the file to disk
        _flush_folder(self._new)
        self._note(self._new / key, raw)
        return key

    def newest_first(self) -> list[Summary]:
        """All mails, the last one first."""
        return sorted(self._index.values(), key=lambda mail: _order(mail.id), reverse=True)

    def summary(self, mail_id: str) -> Summary | None:
        """What the list says of a mail, if there is one of that id."""
        return self._index.get(mail_id)

    def read(self, mail_id: str) -> bytes:
        """The mail as it came. Raises KeyError without one."""
        return (self._new / self._index[mail_id].id).read_bytes()

    def check(self) -> None:
        """Raises OSError when mails cannot be kept, for health."""
        if not os.access(self._new, os.W_OK):
            raise PermissionError("the mailbox's folder cannot be written")

    def _note(self, path: Path, raw: bytes) -> None:
        received_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        self._index[path.name] = summarize(path.name, raw, received_at)


def _order(key: str) -> list[int]:
    """A Maildir's key in numbers: seconds, microseconds, process, and how many it has saved."""
    return [int(number) for number in re.findall(r"\d+", ".".join(key.split(".")[:2]))]


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
