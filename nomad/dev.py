"""The whole shop on Nomad and Consul, on this machine: starts both, deploys everything, and stops all at Ctrl-C.

    python -m nomad.dev [--state FOLDER] [--clients NUMBER] [--release NAME]

Another terminal deploys further releases to it by the command that this prints; `audit` and `rush`
of the app host work on its folder as on one of `make up`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nomad.agents import say
from nomad.cluster import Cluster, running_cluster
from nomad.place import POLL_S, ROOT, Ports
from services.apphost.audit.read import PAYMENTS_BOOKS
from services.apphost.errors import ApphostError
from services.apphost.process import Command, start
from services.apphost.state import LOCK, RUNNING, write_running

STATE: Final = ROOT / ".ticketflow-nomad"  # not in .ticketflow, which is its owner's alone


def main() -> int:
    """0 after a stop that was asked for, 1 when the shop could not be deployed, 2 after what a person can mend."""
    parser = argparse.ArgumentParser(description="Runs the shop on Nomad and Consul, on this machine.")
    parser.add_argument("--state", type=Path, default=STATE, help="folder of the data, opened to all accounts")
    parser.add_argument("--clients", type=int, default=1, help="Nomad clients; with two, one can be drained")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="folder with the release's files")
    parser.add_argument("--release", default="dev", help="the one of the first deployment")
    options = parser.parse_args()
    stop = _listen_for_stop()
    try:
        with (
            _locked(options.state),
            running_cluster(options.state, options.dist, Ports.usual(), options.clients) as cluster,
        ):
            return _serve(cluster, options.release, stop)
    except ApphostError as error:
        say(f"\n{error.problem}\n{error.remedy}")
        return 2


def _listen_for_stop() -> threading.Event:
    """Set by Ctrl-C and the like. What is under way sees it and ends in order."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    """For this process alone. The kernel drops the lock with its holder."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ApphostError(
                f"A shop already runs from {state}.", "Stop it first, or name another --state."
            ) from None
        yield
        (state / RUNNING).unlink(missing_ok=True)


def _serve(cluster: Cluster, release: str, stop: threading.Event) -> int:
    """Deploys, tells where the shop is, and waits."""
    deployment = start(Command(argv=cluster.deployment(release), env=cluster.env), say)
    while (code := deployment.exit_code) is None and not stop.wait(POLL_S):
        pass
    if code is None:
        deployment.kill()
        return 0
    if code != 0:
        return 1
    _link_books(cluster)
    facts = {"ready": True, "pids": {}, "urls": cluster.urls(), "ports": dataclasses.asdict(cluster.ports)}
    write_running(cluster.state, facts)
    say(_welcome(cluster))
    stop.wait()
    say("stopping: each service drains first")
    return 0


def _link_books(cluster: Cluster) -> None:
    """The payment provider's, where the audit looks for them."""
    link = cluster.state / PAYMENTS_BOOKS
    if not link.is_symlink():
        link.symlink_to(cluster.volumes / "payments" / PAYMENTS_BOOKS)


def _welcome(cluster: Cluster) -> str:
    ports = cluster.ports
    rows = {
        "The shop": f"http://localhost:{ports.ingress}",
        "Its mails": f"http://localhost:{ports.mailbox}",
        "Dashboard": f"http://localhost:{ports.dashboard}, with the token {cluster.secret('dashboard-token')}",
        "Nomad": f"http://localhost:{ports.nomad}",
        "Consul": f"http://localhost:{ports.consul}",
        "Log in as": "demo@ticketflow.test, with the password: correct horse battery",
    }
    elsewhere = "" if ports.nomad == Ports().nomad else f"NOMAD_ADDR=http://127.0.0.1:{ports.nomad} "
    again = f"{elsewhere}make dist deploy ENVIRONMENT={cluster.environment} RELEASE=2"
    lines = [f"  {label:<10} {value}" for label, value in rows.items()]
    return "\n".join(["", *lines, "", "A further release:", f"  {again}", "", "Ctrl-C stops everything."])


if __name__ == "__main__":
    sys.exit(main())
