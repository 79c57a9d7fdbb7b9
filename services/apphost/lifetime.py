"""Starting one part and seeing it to health."""

import asyncio
import time

from services.apphost.errors import ApphostError
from services.apphost.parts import Check, Part
from services.apphost.ports import is_taken, who_listens
from services.apphost.process import Process, WriteLine, how_it_ended, start

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 0.5


async def start_part(part: Part, write: WriteLine) -> Process | None:
    """Prepare a part, start it, and return when it is healthy (a step: when it has ended well).

    The answer is None for what is not ours to run. Raises ApphostError when a port is taken, the program is missing
    or ends early, or the part does not become healthy in time; the process is gone then.
    """
    if part.command is None:
        await _until_well(part, None)
        return None
    require_free_ports(part)
    if part.prepare is not None:
        await asyncio.to_thread(part.prepare)
    process = start(part.command, write)
    try:
        await _until_well(part, process)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process


def require_free_ports(part: Part) -> None:
    """Raises ApphostError that names the part, the port, and who holds it, for a part that is ours to run."""
    for port in part.ports.values() if part.command else ():
        if is_taken(port):
            holder = who_listens(port) or "another program"
            raise ApphostError(
                f"Port {port}, which {part.name} needs, is taken by {holder}.",
                "Stop that program, then try again.",
            )


async def _until_well(part: Part, process: Process | None) -> None:
    if part.check is not None:
        await _until_healthy(part, part.check, process)
    elif process is not None:
        await _until_done(part, process)
    if part.provision is not None:
        await part.provision()


async def _until_done(part: Part, process: Process) -> None:
    try:
        code = await asyncio.wait_for(process.wait(), part.patience_s)
    except TimeoutError:
        raise _too_slow(part, "it still runs") from None
    if code != 0:
        raise _ended_early(part, code)


async def _until_healthy(part: Part, check: Check, process: Process | None) -> None:
    deadline, wait_s, reason = time.monotonic() + part.patience_s, FIRST_WAIT_S, ""
    while time.monotonic() < deadline:
        reason = await _trouble(check)
        if process is not None and (code := process.exit_code) is not None:
            raise _ended_early(part, code)
        if not reason:
            return
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 1.5, LONGEST_WAIT_S)
    raise _too_slow(part, reason)


async def _trouble(check: Check) -> str:
    """Why a check failed, in words; empty when it passed. Whatever a client library raises, the part is not well."""
    try:
        await check()
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


def _too_slow(part: Part, reason: str) -> ApphostError:
    remedy = "Its lines above say more." if part.command else "Does the server that the environment names run?"
    return ApphostError(f"{part.name} was not ready after {part.patience_s:.0f} s: {reason}.", remedy)


def _ended_early(part: Part, code: int) -> ApphostError:
    return ApphostError(f"{part.name} {how_it_ended(code)} before it was ready.", "Its lines above say why.")
