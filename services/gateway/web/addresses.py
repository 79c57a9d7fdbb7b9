"""Ways through the shop: by the log-in page and on, and back to where a form was sent from."""

from urllib.parse import urlencode, urlsplit

from services.defaults.addresses import HOME, safe_next


def login_address(then: str, *, page: str = "/login") -> str:
    """The log-in page, which leads back to `then`."""
    target = safe_next(then)
    return page if target == HOME else f"{page}?{urlencode({'next': target})}"


def own_path(referrer: str, host: str) -> str:
    """The path of a page of ours that a form was sent from, or home."""
    try:
        parts = urlsplit(referrer)
    except ValueError:  # anything may be sent as one
        return HOME
    if parts.netloc != host:
        return HOME
    return safe_next(parts.path + (f"?{parts.query}" if parts.query else ""))
