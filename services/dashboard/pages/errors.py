"""Errors as pages: what happened, and what to do next."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from quart import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from services.dashboard.pages.site import View
from services.defaults.errors import AppError, NotFound, error_class

logger = logging.getLogger(__name__)

_TITLES: Final[Mapping[int, str]] = {
    403: "This was refused",
    404: "There is nothing here",
    405: "This address only takes forms",
    409: "This cannot be done now",
    422: "This cannot be asked so",
    429: "One moment, please",
    503: "Something needed is away",
}

Render = Callable[[View], Response]


def error_view(error: AppError) -> View:
    """The page that says what is the matter; the menu around it goes on working."""
    title = _TITLES.get(error.status, "Something went wrong in the dashboard")
    message = error.message or "The address may have a typing mistake, or what it showed has been forgotten since."
    return View("error", title, {"title": title, "message": message}, error.status)


def install(blueprint: Blueprint, render: Render) -> None:
    """Makes every error of a page a page, and unknown addresses too."""

    async def on_app_error(error: AppError) -> Response:
        return render(error_view(error))

    async def on_http_error(error: HTTPException) -> Response:
        status = error.code or 500
        return render(error_view(error_class(status)("", status=status)))

    async def on_unexpected(error: Exception) -> Response:
        logger.error("unexpected error", exc_info=error, extra={"path": request.path})
        return render(error_view(AppError("It is in its log. The rest of the pages go on working.")))

    async def on_unknown_address(_error: HTTPException) -> Response:
        return render(error_view(NotFound("")))

    blueprint.register_error_handler(AppError, on_app_error)
    blueprint.register_error_handler(HTTPException, on_http_error)
    blueprint.register_error_handler(Exception, on_unexpected)
    unknown: Callable[[HTTPException], Awaitable[Response]] = on_unknown_address
    blueprint.app_errorhandler(404)(unknown)
