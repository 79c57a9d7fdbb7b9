"""The control socket: what runs, how it is, and what it shall do, as HTTP over a Unix socket.

    GET  /parts                      every part
    GET  /parts/{name}               one
    GET  /parts/{name}/log?lines=200 its last lines, the newest at the end
    POST /parts/{name}/{verb}        start, stop (?grace_s=0: at once), restart, freeze, thaw, kill: the part after it

Whoever may open the socket may do all of it: the file is its owner's alone. Errors are problem+json (RFC 9457).
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from services.apphost.errors import ApphostError
from services.apphost.keeper import PART_STOP_S, Keeper
from services.apphost.log import KEPT_LINES
from services.apphost.vitals import Vitals

SHOWN_LINES: Final = 10
LOG_LINES: Final = 200
LONGEST_STOP_S: Final = 10.0  # whoever asks waits for the answer, and not for ever

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def open_control(file: Path, keepers: Mapping[str, Keeper]) -> AsyncIterator[None]:
    """Serve while inside. The file is gone afterwards."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        vitals = Vitals(keepers, http)
        runner = web.AppRunner(_app(Control(keepers, vitals)), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            with _listener(file) as listener:
                await web.SockSite(runner, listener).start()
                yield
        finally:
            await runner.cleanup()
            await vitals.close()


@contextlib.contextmanager
def _listener(file: Path) -> Iterator[socket.socket]:
    file.unlink(missing_ok=True)  # of one that was killed
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(file))
    file.chmod(0o600)  # nobody else can look into its folder, and nobody is let in before it listens
    try:
        yield listener
    finally:
        file.unlink(missing_ok=True)


def _app(control: "Control") -> web.Application:
    app = web.Application(middlewares=[_with_problems])
    app.add_routes(
        [
            web.get("/parts", control.parts),
            web.get("/parts/{name}", control.part),
            web.get("/parts/{name}/log", control.log),
            web.post("/parts/{name}/{verb}", control.tell),
        ]
    )
    return app


class Control:
    """The handlers."""

    def __init__(self, keepers: Mapping[str, Keeper], vitals: Vitals) -> None:
        self._keepers = keepers
        self._vitals = vitals

    async def parts(self, _: web.Request) -> web.Response:
        await self._vitals.look()
        return web.json_response({"parts": [self._describe(keeper) for keeper in self._keepers.values()]})

    async def part(self, request: web.Request) -> web.Response:
        keeper = self._find(request)
        await self._vitals.look(keeper.part.name)
        return web.json_response(self._describe(keeper))

    async def log(self, request: web.Request) -> web.Response:
        keeper = self._find(request)
        lines = keeper.log.last(int(_number(request, "lines", LOG_LINES, most=KEPT_LINES)))
        return web.json_response({"name": keeper.part.name, "lines": lines})

    async def tell(self, request: web.Request) -> web.Response:
        keeper = self._find(request)
        match request.match_info["verb"]:
            case "start":
                await keeper.start()
            case "stop":
                await keeper.stop(_number(request, "grace_s", PART_STOP_S, most=LONGEST_STOP_S))
            case "restart":
                await keeper.restart()
            case "freeze":
                await keeper.freeze()
            case "thaw":
                await keeper.thaw()
            case "kill":
                await keeper.kill()
            case unknown:
                raise web.HTTPNotFound(text=f"There is nothing named {unknown} that a part could be told.")
        return web.json_response(self._describe(keeper))

    def _find(self, request: web.Request) -> Keeper:
        name = request.match_info["name"]
        if name not in self._keepers:
            raise web.HTTPNotFound(text=f"There is no part named {name}.")
        return self._keepers[name]

    def _describe(self, keeper: Keeper) -> dict[str, Any]:
        part = keeper.part
        health, usage = self._vitals.health.get(part.name), self._vitals.usage.get(part.name)
        service = part.service or part.name
        started = keeper.process.started_at.isoformat() if keeper.process is not None and keeper.pid else None
        return {
            "name": part.name,
            "kind": part.kind,
            "service": service,
            "instances": sum((other.part.service or other.part.name) == service for other in self._keepers.values()),
            "managed": part.command is not None,
            "state": keeper.state,
            "pid": keeper.pid or None,
            "address": f"127.0.0.1:{next(iter(part.ports.values()))}" if part.ports else None,
            "ports": dict(part.ports),
            "restarts": keeper.restarts,
            "startedAt": started,
            "cpuPercent": round(usage.cpu_percent, 1) if usage and keeper.pid else None,
            "memoryBytes": usage.memory_bytes if usage and keeper.pid else None,
            "version": str((health or {}).get("release", "")),
            "health": health,
            "lastLines": keeper.log.last(SHOWN_LINES),
        }


@web.middleware
async def _with_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApphostError as error:
        return _problem(HTTPStatus.CONFLICT, str(error))
    except web.HTTPException as error:
        return _problem(HTTPStatus(error.status), error.text or error.reason)


def _problem(status: HTTPStatus, detail: str) -> web.Response:
    body = {"status": status, "title": status.phrase, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")


def _number(request: web.Request, key: str, default: float, *, most: float) -> float:
    text = request.query.get(key, str(default))
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise web.HTTPBadRequest(text=f"{key} must be a number from 0 to {most:g}.")
    return number
