"""What pydantic says of an input, as sentences for the people who made it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError

_SENTENCES: Final = {
    "missing": "This is missing.",
    "extra_forbidden": "This is not known here.",
    "string_type": "This must be text.",
    "string_too_short": "This needs at least {min_length} characters.",
    "string_too_long": "This may have at most {max_length} characters.",
    "string_pattern_mismatch": "This has characters that cannot be used here.",
    "too_short": "This needs at least {min_length}.",
    "too_long": "This may have at most {max_length}.",
    "int_type": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "int_parsing_size": "This number is too large.",
    "int_from_float": "This must be a whole number.",
    "greater_than": "This must be more than {gt}.",
    "greater_than_equal": "This must be at least {ge}.",
    "less_than": "This must be less than {lt}.",
    "less_than_equal": "This must be at most {le}.",
    "uuid_type": "This is not an id.",
    "uuid_parsing": "This is not an id.",
    "list_type": "This must be a list.",
    "dict_type": "This must be an object.",
    "model_type": "This must be an object.",
    "model_attributes_type": "This must be an object.",
    "json_invalid": "This is not JSON.",
}
_OTHERWISE: Final = "This cannot be accepted."


def invalid_fields(error: ValidationError) -> dict[str, str]:
    """Each field at fault, by the path the sender knows (`lines.0.quantity`), with a sentence about it."""
    return {
        ".".join(str(part) for part in entry["loc"]) or "body": _sentence(entry)
        for entry in error.errors(include_url=False, include_input=False)
    }


def _sentence(entry: Any) -> str:
    context = entry.get("ctx", {})
    if entry["type"] == "value_error":  # our own validators' words
        return finish(str(context.get("error", "")))
    return _SENTENCES.get(entry["type"], _OTHERWISE).format_map(context)


def finish(text: str) -> str:
    """The text as a sentence: a capital first, a full stop last."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "?")) else ".")
