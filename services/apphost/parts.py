"""A part of the system: a server, a service, or a step that runs to its end before others start."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from services.apphost.errors import ApphostError
from services.apphost.process import Command

Check = Callable[[], Awaitable[None]]  # raises when something is amiss
Prepare = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the supervisor must know to start a part, to see that it is well, and to stop it.

    Without ``command`` somebody else runs it, and it is only checked. Without ``check`` it is a step: done when its
    command ends with 0. ``prepare`` runs, in a thread, before each start, and ``provision`` once the part is
    healthy; ``ports`` maps what a port is for to its number. It starts after what it ``needs`` and stops before
    that; ``after`` is the same for what it can do without, where that is there. A ``quiet`` part's lines go to its
    log file, and to the terminal only when it fails. ``health`` is the URL at which one of the shop's own services
    tells how it is, and ``service`` the name that it shares with its other instances.
    """

    name: str
    command: Command | None
    service: str = ""
    health: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    check: Check | None = None
    prepare: Prepare | None = None
    provision: Check | None = None
    quiet: bool = False
    patience_s: float = 120.0  # far more than any takes, on a machine that does nothing else

    @property
    def predecessors(self) -> tuple[str, ...]:
        """What is up before it and goes down after it."""
        return (*self.needs, *self.after)

    @property
    def stays(self) -> bool:
        """Whether it is a process of ours that runs on."""
        return self.command is not None and self.check is not None

    @property
    def kind(self) -> Literal["server", "service", "step"]:
        if self.check is None:
            return "step"
        return "service" if self.service else "server"


def choose(parts: Iterable[Part], wanted: Sequence[str] = (), without: Collection[str] = ()) -> tuple[Part, ...]:
    """The wanted parts and everything they need, directly or not; all parts when none is named.

    A service's name stands for each of its instances. A need that no part answers, or only one that is left out,
    falls away; so does, from ``after``, what nobody wants. Raises ApphostError for a name that is no part's.
    """
    known = {part.name: part for part in parts}
    if unknown := [name for name in (*wanted, *without) if name not in known]:
        raise ApphostError(f"There is no part named {unknown[0]}.", f"The parts are: {', '.join(known)}.")
    kept = {name: part for name, part in known.items() if not {name, part.service} & set(without)}
    chosen: set[str] = set()
    pending = [name for name, part in kept.items() if not wanted or {name, part.service} & set(wanted)]
    while pending:
        name = pending.pop()
        if name not in chosen:
            chosen.add(name)
            pending.extend(need for need in kept[name].needs if need in kept)
    return tuple(
        replace(part, needs=_among(chosen, part.needs), after=_among(chosen, part.after))
        for name, part in kept.items()
        if name in chosen
    )


def _among(chosen: Collection[str], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in chosen)


def is_chosen(name: str, wanted: Collection[str], without: Collection[str]) -> bool:
    """Whether a part that no other needs is among them."""
    return name not in without and (not wanted or name in wanted)
