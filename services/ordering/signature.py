"""The signature of the provider's webhooks: HMAC-SHA256 over time and body, with the API key.

The header reads `t=<seconds since the epoch>,v1=<hex>`. The time is signed too, so that a notification that
somebody overheard cannot be sent again much later.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from services.defaults.errors import Unauthorized

HEADER: Final = "Payments-Signature"
TOLERANCE_S: Final = 300.0

_FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def check_signature(header: str, body: bytes, *, key: str, now_s: float) -> None:
    """Raises Unauthorized unless the body was signed with `key` at most TOLERANCE_S seconds from `now_s`."""
    match = _FORM.fullmatch(header)
    if not match:
        raise Unauthorized("The signature is missing or malformed.")
    expected = hmac.new(key.encode(), b"webhook." + match[1].encode() + b"." + body, hashlib.sha256)
    if not hmac.compare_digest(expected.hexdigest(), match[2]):
        raise Unauthorized("The signature does not fit.")
    if abs(now_s - int(match[1])) > TOLERANCE_S:
        raise Unauthorized("The signature is too old.")
