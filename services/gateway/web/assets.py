"""Files of `web/static`, under addresses that change with their content, so that browsers may keep them."""

import mimetypes
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

PREFIX = "/assets"


@dataclass(frozen=True)
class Asset:
    """`etag` is the digest that also stands in the file's address."""

    content: bytes
    mimetype: str
    etag: str


class Assets:
    """The files directly in `folder`, read once: there are few, and they are small."""

    def __init__(self, folder: Path) -> None:
        self._assets = {path.name: _read(path) for path in sorted(folder.iterdir()) if path.is_file()}

    def address(self, name: str) -> str:
        """Where a file is served. Raises `KeyError` for one that does not exist: a mistake in a template."""
        return f"{PREFIX}/{self._assets[name].etag}/{name}"

    def find(self, name: str) -> Asset | None:
        return self._assets.get(name)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    mimetype = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, mimetype, sha256(content).hexdigest()[:12])
