"""Files of `static`, under addresses that change with their content, so that browsers may keep them."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

PREFIX: Final = "/static"
FOLDER: Final = Path(__file__).parents[1] / "static"
_SERVED: Final = {".css", ".js", ".svg"}


@dataclass(frozen=True)
class Asset:
    """`etag` is the digest that also stands in the file's address."""

    content: bytes
    mimetype: str
    etag: str


class Assets:
    """The style, scripts and pictures below `folder`, by their names; read once, for they are few and small."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._assets = {path.name: _read(path) for path in sorted(folder.rglob("*")) if path.suffix in _SERVED}

    def address(self, name: str) -> str:
        """Where a file is served. Raises `KeyError` for one that does not exist: a mistake in a template."""
        return f"{PREFIX}/{self._assets[name].etag}/{name}"

    def find(self, name: str) -> Asset | None:
        return self._assets.get(name)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    mimetype = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, mimetype, sha256(content).hexdigest()[:12])
