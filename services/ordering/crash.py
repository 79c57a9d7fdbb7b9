"""A way to die at a chosen step, for fault tests: what a crash leaves behind must be finished by others."""

from __future__ import annotations

import os
from collections.abc import Callable

EXIT_CODE = 137  # what a shell says of a process that SIGKILL ended


def crash_at(step: str) -> Callable[[str], None]:
    """Dies without a word at the step `step`, as in a power cut; nowhere where it is empty."""
    return lambda reached: os._exit(EXIT_CODE) if step and reached == step else None
