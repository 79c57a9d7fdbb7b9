"""The whole system on one machine: ``python -m services.apphost up``; Ctrl-C stops it."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from services.apphost.builders import CHECKOUT
from services.apphost.console import Console
from services.apphost.errors import ApphostError
from services.apphost.parts import with_needs
from services.apphost.site import Elsewhere, Ports, Site
from services.apphost.state import full_disk, open_state
from services.apphost.topology import topology
from services.apphost.up import up


def main() -> int:
    """0 after a stop that was asked for, 2 after a fault that a person can mend."""
    options = _options()
    try:
        _up(options)
    except ApphostError as error:
        cause = full_disk(options.state) or error
        return _complain(cause.problem, cause.remedy)
    except OSError as error:
        if full := full_disk(options.state):
            return _complain(full.problem, full.remedy)
        if not error.filename:
            raise
        return _complain(f"{error.filename} cannot be used: {error.strerror}.", "Make it yours: sudo chown -R $USER.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.apphost", description=__doc__)
    parser.add_argument("verb", choices=["up"], nargs="?", default="up")
    parser.add_argument("parts", nargs="*", help="only these parts, and what they need (default: all)")
    parser.add_argument("--state", type=Path, default=CHECKOUT / ".ticketflow", help="the folder that keeps everything")
    parser.add_argument("--free-ports", action="store_true", help="any free ports instead of the usual ones")
    parser.add_argument("--volatile", action="store_true", help="skip fsync: faster, not safe in a power cut")
    options = parser.parse_args()
    options.state = options.state.absolute()
    return options


def _up(options: argparse.Namespace) -> None:
    terminal = sys.stdout.isatty()
    with open_state(options.state) as secrets:
        site = Site(
            state=options.state,
            ports=Ports.free() if options.free_ports else Ports(),
            secrets=secrets,
            elsewhere=Elsewhere.from_environment(os.environ),
            log_format="pretty" if terminal else "json",
            durable=not options.volatile,
        )
        parts = with_needs(topology(site), options.parts)
        asyncio.run(up(site, parts, Console(sys.stdout, [part.name for part in parts], colour=terminal)))


def _complain(problem: str, remedy: str) -> int:
    print(f"\n{problem}\n{remedy}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
