"""A part of the system: a server, a service, or a step that runs to its end before others start."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.apphost.errors import ApphostError
from services.apphost.process import Command

Check = Callable[[], Awaitable[None]]  # raises when something is amiss
Prepare = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the supervisor must know to start a part, to see that it is well, and to stop it.

    Without ``command`` somebody else runs it, and it is only checked. Without ``check`` it is a step: done when its
    command ends with 0. ``prepare`` runs, in a thread, before each start, and ``provision`` once the part is
    healthy; ``ports`` maps what a port is for to its number. A ``quiet`` part's lines go to its log file, and to
    the terminal only when it fails.
    """

    name: str
    command: Command | None
    ports: Mapping[str, int] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    check: Check | None = None
    prepare: Prepare | None = None
    provision: Check | None = None
    quiet: bool = False
    patience_s: float = 60.0


def with_needs(parts: Sequence[Part], wanted: Sequence[str]) -> tuple[Part, ...]:
    """The wanted parts and everything they need, directly or not; all parts when none is named.

    Raises ApphostError for a name that is no part's.
    """
    known = {part.name: part for part in parts}
    if unknown := [name for name in wanted if name not in known]:
        raise ApphostError(f"There is no part named {unknown[0]}.", f"The parts are: {', '.join(known)}.")
    chosen: set[str] = set()
    pending = list(wanted or known)
    while pending:
        name = pending.pop()
        if name not in chosen:
            chosen.add(name)
            pending.extend(known[name].needs)
    return tuple(part for part in parts if part.name in chosen)
