"""The command line."""

import argparse
import secrets
from collections.abc import Callable
from pathlib import Path

from services.apphost.audit.ledger import SETTLE_S
from services.apphost.builders import CHECKOUT

SEEDS = 1_000_000
VERBS = """\
up     run the system, or some parts of it; Ctrl-C stops it
audit  close the books of the system that runs: exits 1 when something does not add up, 2 when it cannot be read
rush   let a crowd storm one concert of the system that runs, or of one started for it, then close the books
"""


def read_options(description: str | None) -> argparse.Namespace:
    """The options as given. Ends the process with 2 and a message where they make no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m services.apphost",
        description=f"{description}\n\n{VERBS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=["up", "audit", "rush"], nargs="?", default="up")
    parser.add_argument("parts", nargs="*", help="up: only these parts, and what they need (default: all)")
    parser.add_argument("--state", type=Path, default=CHECKOUT / ".ticketflow", help="the folder that keeps everything")
    up = parser.add_argument_group("up")
    up.add_argument("--without", action="append", default=[], metavar="PART", help="all but this one; may be repeated")
    up.add_argument("--instances", type=_between(1, 4), default=1, help="of each service that may have several (1-4)")
    up.add_argument("--free-ports", action="store_true", help="any free ports instead of the usual ones")
    up.add_argument("--volatile", action="store_true", help="skip fsync: faster, not safe in a power cut")
    audit = parser.add_argument_group("audit")
    audit.add_argument("--settle-s", type=float, default=SETTLE_S, help="seconds to wait for what is in flight")
    rush = parser.add_argument_group("rush")
    rush.add_argument("--buyers", type=_between(1, 5000), default=500, help="how many storm the sale")
    rush.add_argument("--tickets", type=_between(1, 50_000), default=100, help="how many there are")
    rush.add_argument(
        "--chaos", action="store_true", help="kill RabbitMQ, Redis and an instance of ordering in its middle"
    )
    rush.add_argument("--seed", type=int, default=secrets.randbelow(SEEDS), help="repeats the crowd of an earlier rush")
    options = parser.parse_args()
    if options.parts and options.verb != "up":
        parser.error(f"{options.verb} takes no parts")
    options.state = options.state.absolute()
    return options


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be from {least} to {most}")
        return int(text)

    return number
