"""GraphiQL, the page to try queries on, at `GET /graphql` outside production. All of it comes from here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from quart import Blueprint, Response, request, send_from_directory
from quart_rate_limiter import rate_exempt
from quart_schema import hide
from werkzeug.exceptions import MethodNotAllowed

from services.defaults.http import public

ASSETS: Final = Path(__file__).parents[2] / "web" / "static" / "vendor" / "graphiql"
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TicketFlow GraphQL</title>
<link rel="stylesheet" href="/graphql/assets/graphiql.min.css">
<link rel="stylesheet" href="/graphql/assets/start.css">
</head>
<body>
<div id="graphiql">GraphiQL needs JavaScript. Queries are taken by POST at this address.</div>
<script src="/graphql/assets/react.production.min.js"></script>
<script src="/graphql/assets/react-dom.production.min.js"></script>
<script src="/graphql/assets/graphiql.min.js"></script>
<script src="/graphql/assets/start.js"></script>
</body>
</html>
"""


def create_graphiql_blueprint() -> Blueprint:
    routes = Blueprint("graphiql", __name__)

    @routes.get("/graphql")
    @rate_exempt
    @hide
    @public
    async def page() -> Response:
        if "query" in request.args:  # a query in an address ends up in logs and caches
            raise MethodNotAllowed(valid_methods=["POST"])
        return Response(PAGE, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": CSP})

    @routes.get("/graphql/assets/<path:name>")
    @rate_exempt
    @hide
    @public
    async def asset(name: str) -> Response:
        return await send_from_directory(ASSETS, name)

    return routes
