"""RabbitMQ, from Debian's package, as a node of its own beside any that the machine runs already."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from services.apphost.checks import check_epmd, check_rabbitmq
from services.apphost.errors import ApphostError
from services.apphost.parts import Part
from services.apphost.process import Command

USER = "ticketflow"
# Debian's own launcher insists on the system's node and account; this is the one inside its package.
LAUNCHER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

# One scheduler and no busy waiting: an idle broker should cost an idle machine nothing.
VM_FLAGS = (
    "+S 1:1 +SDcpu 1:1 +SDio 4 +A 4 +sbwt none +sbwtdcpu none +sbwtdio none -noinput"
    " -kernel inet_dist_use_interface {127,0,0,1}"
)


@dataclass(frozen=True, kw_only=True)
class RabbitPorts:
    """``amqp`` for clients; ``epmd`` and ``nodes`` are Erlang's own, which cannot be had without."""

    amqp: int
    epmd: int
    nodes: int


def rabbitmq_url(port: int, password: str) -> str:
    return f"amqp://{USER}:{password}@127.0.0.1:{port}/"


def rabbitmq(folder: Path, ports: RabbitPorts, password: str) -> tuple[Part, Part]:
    """Erlang's port mapper and the broker. Left alone, the broker would start a mapper that outlives it."""
    url = rabbitmq_url(ports.amqp, password)
    erlang = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "HOME": str(folder),  # where the node's secret, .erlang.cookie, is made
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    mapper = Part(
        name="epmd",
        command=Command(argv=["epmd", "-port", str(ports.epmd), "-address", "127.0.0.1"], env=erlang),
        ports={"epmd": ports.epmd},
        check=lambda: check_epmd(ports.epmd),
        quiet=True,
    )
    broker = Part(
        name="rabbitmq",
        command=Command(argv=[str(LAUNCHER)], env=erlang | _node_env(folder, ports)),
        ports={"amqp": ports.amqp, "nodes": ports.nodes},
        needs=("epmd",),
        check=lambda: check_rabbitmq(url),
        prepare=lambda: _prepare(folder, ports, password),
        quiet=True,
    )
    return mapper, broker


def _node_env(folder: Path, ports: RabbitPorts) -> dict[str, str]:
    return {
        "RABBITMQ_NODENAME": "ticketflow@localhost",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_DIST_PORT": str(ports.nodes),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": VM_FLAGS,
        "RABBITMQ_ALLOW_INPUT": "1",  # the virtual machine in the launcher's place, not below it
    }


def _prepare(folder: Path, ports: RabbitPorts, password: str) -> None:
    if not LAUNCHER.exists() or shutil.which("erl") is None:
        raise ApphostError("RabbitMQ is missing.", "`make setup` installs what is needed.")
    for name in ("data", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    config = {
        "listeners.tcp.1": f"127.0.0.1:{ports.amqp}",
        "default_user": USER,
        "default_pass": password,
        "vm_memory_high_watermark.absolute": "256MiB",
        "disk_free_limit.absolute": "50MB",
        "log.console": "true",
        "log.console.level": "error",
        "log.file": "false",
    }
    (folder / "rabbitmq.conf").touch(mode=0o600)
    (folder / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in config.items()))
    (folder / "plugins").write_text("[].\n")
    (folder / "env.conf").write_text("")  # not the system's
