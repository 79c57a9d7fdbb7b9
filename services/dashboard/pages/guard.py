"""Only our own pages may press buttons. Who may come in at all is `token.py`'s matter, and under which name."""

from __future__ import annotations

import hmac
import secrets
from typing import Final, Protocol

from services.defaults.errors import Forbidden

FIELD: Final = "csrf_token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Headers(Protocol):
    """As much of a request's headers as is looked at."""

    def get(self, key: str, default: str) -> str: ...


class Guard:
    """Two guards, either of which would do: the browser's own word on where a form was sent from, and a token in it.

    The token lives as long as the process, for all alike: nobody but our pages' readers can know it, and there is
    no session that it could be bound to.
    """

    def __init__(self) -> None:
        self.form_token = secrets.token_urlsafe(24)

    def check(self, headers: Headers, token: str) -> None:
        """Raises `Forbidden` unless the form was one of ours."""
        if headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise Forbidden("This request came from another site. Nothing was done.")
        if not hmac.compare_digest(self.form_token.encode(), token.encode(errors="replace")):
            raise Forbidden("The page was older than this dashboard. Nothing was done: go back, reload, do it again.")
