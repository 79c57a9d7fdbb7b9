"""Where a visitor may be sent: only within the shop."""

from urllib.parse import urlencode, urlsplit

MAX_CHARS = 2000
HOME = "/"


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


def login_address(then: str, *, page: str = "/login") -> str:
    """The log-in page, which leads back to `then`."""
    target = safe_next(then)
    return page if target == HOME else f"{page}?{urlencode({'next': target})}"


def own_path(referrer: str, host: str) -> str:
    """The path of a page of ours that a form was sent from, or home."""
    parts = urlsplit(referrer)
    if parts.netloc != host:
        return HOME
    return safe_next(parts.path + (f"?{parts.query}" if parts.query else ""))
