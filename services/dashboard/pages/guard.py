"""Only our own pages may press buttons: each form carries a token. From which site it was sent, and who may come in at
all, is `token.py`'s matter.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from services.defaults.errors import Forbidden

FIELD: Final = "csrf_token"


class Guard:
    """The token lives as long as the process, for all alike: nobody but our pages' readers can know it, and there is
    no session that it could be bound to.
    """

    def __init__(self) -> None:
        self.form_token = secrets.token_urlsafe(24)

    def check(self, token: str) -> None:
        """Raises `Forbidden` unless the form was one of ours."""
        if not hmac.compare_digest(self.form_token.encode(), token.encode(errors="replace")):
            raise Forbidden("The page was older than this dashboard. Nothing was done: go back, reload, do it again.")
