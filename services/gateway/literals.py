"""Repairs what tartiflette's C parser gets wrong in strings.

Of a `\\uXXXX` escape it keeps the low byte, so that `\\u00e9` breaks it and `\\u0100` ends the text. Written
out as the character itself, each passes whole.
"""

from __future__ import annotations

import re
from typing import Final

from services.gateway.outline import TOKEN, malformed

_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)")
_FIRST_BEYOND_ASCII: Final = 0x80


def write_out(query: str) -> str:
    """`query` with the characters beyond ASCII in place of their escapes.

    Raises `Invalid` for NUL and for half a surrogate pair, which no text may hold.
    """
    if "\\u" not in query:
        return query
    return TOKEN.sub(lambda token: _string(token) if token.lastgroup == "string" else token[0], query)


def _string(token: re.Match[str]) -> str:
    written = _ESCAPE.sub(_character, token[0])
    try:  # UTF-16 joins the two halves of a pair, which Python keeps apart
        return written.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise malformed("The query holds text that is not Unicode.") from None


def _character(escape: re.Match[str]) -> str:
    if escape[1] is None:
        return escape[0]
    code = int(escape[1], 16)
    if code == 0:
        raise malformed("The query holds a NUL.")
    return chr(code) if code >= _FIRST_BEYOND_ASCII else escape[0]
