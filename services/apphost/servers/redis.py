"""Redis, with an append-only file, so that what it holds survives a restart."""

import os
from pathlib import Path

from services.apphost.checks import check_redis
from services.apphost.parts import Part
from services.apphost.process import FOLDER, Command


def redis_url(port: int, password: str) -> str:
    return f"redis://default:{password}@127.0.0.1:{port}/0"


def redis(folder: Path, port: int, password: str) -> Part:
    """The server as a part. Its password stands in a file, not in the arguments, which every account can read."""
    url = redis_url(port, password)
    config = "\n".join(
        (
            f"port {port}",
            "bind 127.0.0.1",
            f"requirepass {password}",
            f"dir {_quoted(str(folder))}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',  # the append-only file is enough
            "maxmemory 64mb",
            "maxmemory-policy volatile-lru",  # all that the shop keeps here expires, and can be done without
            "loglevel warning",
            "",
        )
    )

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "redis.conf").touch(mode=0o600)
        (folder / "redis.conf").write_text(config)

    return Part(
        name="redis",
        command=Command(
            argv=["redis-server", f"{FOLDER}/redis.conf"],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            folder=folder,
        ),
        ports={"redis": port},
        check=lambda: check_redis(url),
        prepare=prepare,
        quiet=True,
    )


def _quoted(text: str) -> str:
    """One argument of a line in redis.conf, whatever is in it."""
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
