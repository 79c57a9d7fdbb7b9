"""The whole system on one machine: ``python -m services.apphost [up | audit | rush]``."""

import argparse
import asyncio
import os
import sys

from services.apphost.commands import run_audit, run_rush
from services.apphost.console import Console
from services.apphost.errors import ApphostError
from services.apphost.options import read_options
from services.apphost.parts import choose, is_chosen
from services.apphost.rush.rush import Wish
from services.apphost.site import Elsewhere, Ports, Site, further_ports
from services.apphost.state import full_disk, open_state
from services.apphost.topology import DASHBOARD, topology
from services.apphost.up import up


def main() -> int:
    """0 after a stop that was asked for, 1 when the books do not close, 2 after a fault that a person can mend."""
    options = read_options(__doc__)
    try:
        return _run(options)
    except KeyboardInterrupt:  # `up` takes Ctrl-C as a wish of its own
        return 130
    except ApphostError as error:
        cause = full_disk(options.state) or error
        return _complain(cause.problem, cause.remedy)
    except OSError as error:
        if full := full_disk(options.state):
            return _complain(full.problem, full.remedy)
        if not error.filename:
            raise
        return _complain(f"{error.filename} cannot be used: {error.strerror}.", "Make it yours: sudo chown -R $USER.")


def _run(options: argparse.Namespace) -> int:
    match options.verb:
        case "audit":
            return run_audit(options.state, options.settle_s)
        case "rush":
            wish = Wish(buyers=options.buyers, tickets=options.tickets, seed=options.seed, chaos=options.chaos)
            return run_rush(options.state, wish)
    _up(options)
    return 0


def _up(options: argparse.Namespace) -> None:
    terminal = sys.stdout.isatty()
    with open_state(options.state) as secrets:
        site = Site(
            state=options.state,
            ports=Ports.free() if options.free_ports else Ports(),
            secrets=secrets,
            further=further_ports(options.instances - 1, free=options.free_ports),
            without=tuple(options.without),
            observed=is_chosen(DASHBOARD, options.parts, options.without),
            elsewhere=Elsewhere.from_environment(os.environ),
            log_format="pretty" if terminal else "json",
            durable=not options.volatile,
        )
        parts = choose(topology(site), options.parts, site.without)
        asyncio.run(up(site, parts, Console(sys.stdout, [part.name for part in parts], colour=terminal)))


def _complain(problem: str, remedy: str) -> int:
    print(f"\n{problem}\n{remedy}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
