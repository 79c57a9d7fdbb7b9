"""A sale in whose middle RabbitMQ, Redis and an instance of ordering are killed, as `make rush CHAOS=1` runs it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from services.apphost.builders import CHECKOUT

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(600)]  # it starts a shop of its own


async def test_every_ticket_is_sold_once_and_the_books_close(tmp_path: Path) -> None:
    crowd = ("--buyers", "80", "--tickets", "24", "--seed", "7")
    command = [sys.executable, "-m", "services.apphost", "--state", str(tmp_path), "rush", "--chaos", *crowd]
    rush = await asyncio.to_thread(
        subprocess.run, command, cwd=CHECKOUT, capture_output=True, text=True, timeout=580, check=False
    )
    assert rush.returncode == 0, rush.stdout + rush.stderr
    assert "24 sold of 24; 0 held, 0 left" in rush.stdout
    for part in ("rabbitmq", "redis", "ordering-2"):
        assert f"{part} was away for" in rush.stdout
    assert "The books close." in rush.stdout
    assert "no ordering-2" in (tmp_path / "rush.svg").read_text()
