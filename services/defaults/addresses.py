"""Where somebody's browser may be sent on to: only within the site that they are at."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

MAX_CHARS: Final = 2000
HOME: Final = "/"


def safe_next(target: str) -> str:
    """The path to go on to, or home where `target` could lead off the site.

    Refused is whatever any browser might read as another host: schemes, `//host`, `/\\host`, control
    characters (browsers drop tabs and newlines from addresses), and paths that climb.
    """
    if not target.startswith("/") or len(target) > MAX_CHARS:
        return HOME
    if "\\" in target or any(ord(char) <= 32 or ord(char) == 127 for char in target):
        return HOME
    if not target.isascii() or target.startswith("//"):
        return HOME
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or "//" in parts.path or ".." in parts.path.split("/"):
        return HOME
    return target
