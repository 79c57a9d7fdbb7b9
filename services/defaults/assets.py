"""Files that pages are made of, under addresses that change with their content, so that browsers may keep them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from quart import Response, request

FOREVER: Final = "public, max-age=31536000, immutable"
SHORTLY: Final = "public, max-age=300"
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """A file; `etag` is another for another content."""

    content: bytes
    mimetype: str
    etag: str


class Assets:
    """The styles, scripts and pictures directly in the folders, served below `prefix` by their names.

    Read once: there are few, and they are small. Licences and notes that lie beside them are not served.
    """

    def __init__(self, prefix: str, *folders: Path) -> None:
        self._prefix = prefix
        files = [path for folder in folders for path in folder.iterdir() if path.suffix in TYPES]
        self._assets = {path.name: _read(path) for path in files}

    def address(self, name: str) -> str:
        """Where a file is served. Raises `KeyError` for one that does not exist: a mistake in a template."""
        return f"{self._prefix}/{self._assets[name].etag}/{name}"

    def find(self, name: str) -> Asset | None:
        return self._assets.get(name)


def file_response(file: Asset, *, forever: bool) -> Response:
    """The whole file, or 304 for a browser that has it (RFC 9110, 13.1.2).

    `forever`: the file's address holds its digest, so that another content would have another address.
    """
    known = file.etag in request.if_none_match
    response = Response(status=304) if known else Response(file.content, mimetype=file.mimetype)
    response.set_etag(file.etag)
    response.headers["Cache-Control"] = FOREVER if forever else SHORTLY
    return response


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, TYPES[path.suffix], sha256(content).hexdigest()[:12])
