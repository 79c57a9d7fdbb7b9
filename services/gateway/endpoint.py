"""`/graphql`: from HTTP to the engine and back.

200 with `data` and `errors` for a request that was carried out; 400 for one that cannot be parsed, does not
fit the schema or breaks a limit; 413, 415 and 429 where they apply. Those have GraphQL's shape; what never became
a GraphQL request (405, 408) is answered with a problem document, as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from quart import Blueprint, Response, request
from quart_rate_limiter import RateLimitExceeded, rate_limit
from quart_schema import hide
from werkzeug.exceptions import RequestEntityTooLarge

from services.defaults.auth import Principal, bearer_token
from services.defaults.errors import AppError, Invalid, RateLimited, Unauthorized
from services.defaults.http import client_address, public
from services.defaults.telemetry import note_error
from services.gateway.answers import Answer
from services.gateway.deps import MINUTE, Deps
from services.gateway.engine import answer, prepare
from services.gateway.faults import RequestError, to_graphql
from services.gateway.graphiql import create_graphiql_blueprint
from services.gateway.guard import is_public, judge
from services.gateway.literals import write_out
from services.gateway.outline import TooComplex

JSON: Final = "application/json"


@dataclass(frozen=True)
class GraphQLRequest:
    """The body of a request (https://graphql.github.io/graphql-over-http/draft/#sec-JSON-Encoding)."""

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None


def create_graphql_blueprint(deps: Deps) -> Blueprint:
    routes = Blueprint("graphql", __name__)
    routes.before_app_serving(prepare)
    routes.register_error_handler(RateLimitExceeded, _refuse_flood)

    @routes.post("/graphql")
    @rate_limit(deps.requests_per_minute, MINUTE)
    @hide
    @public
    async def graphql() -> Response:
        try:
            return _respond(await _carry_out(deps))
        except AppError as error:
            return refusal(error)

    if not deps.production:
        routes.register_blueprint(create_graphiql_blueprint())
    return routes


async def _carry_out(deps: Deps) -> Answer:
    asked = read_request(await _body())
    outline = judge(asked.query, asked.variables, deps.query_limits())
    principal, token = _caller(deps)
    context = deps.context(principal=principal, token=token, client_address=client_address())
    return await answer(asked.query, asked.variables, context, asked.operation_name, public=is_public(outline))


async def _body() -> bytes:
    if request.mimetype != JSON:
        raise Invalid(f"The body must be {JSON}.", status=415)
    try:
        return await request.get_data(True, False, False)
    except RequestEntityTooLarge:
        raise TooComplex("The request's body is too large.", status=413) from None


def read_request(body: bytes) -> GraphQLRequest:
    """The request in `body`. Raises `Invalid`, or `TooComplex` for a batch; the status of both is 400."""
    try:
        asked = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Invalid("The body is not JSON.", status=400) from None
    if isinstance(asked, list):
        raise TooComplex("Send one request at a time; batches are not taken.")
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
        raise Invalid("The body must be an object with `query` as text.", status=400)
    variables = asked.get("variables")
    if not isinstance(variables, dict | None):
        raise Invalid("`variables` must be an object.", status=400)
    name = asked.get("operationName")
    if not isinstance(name, str | None):
        raise Invalid("`operationName` must be text.", status=400)
    return GraphQLRequest(write_out(asked["query"]), variables or {}, name or None)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")  # RFC 8259, 6; Python reads NaN and Infinity all the same


def _caller(deps: Deps) -> tuple[Principal | None, str | None]:
    header = request.headers.get("Authorization")
    if header is None:
        return None, None
    try:
        token = bearer_token(header)
        return deps.verifier.verify(token), token
    except Unauthorized:
        return None, None  # a stranger: what is public stays so, and the rest asks to log in


def _respond(outcome: Answer) -> Response:
    if _was_refused(outcome.result):  # what was not carried out has no data (GraphQL, 7.1)
        outcome = Answer({"errors": outcome.result["errors"]})
    response = Response(outcome.encoded, status=_status(outcome.result), content_type=JSON)
    waits = [error["extensions"].get("retryAfter", 0) for error in outcome.result.get("errors", ())]
    if any(waits):
        response.headers["Retry-After"] = str(max(waits))
    return response


def _status(result: Mapping[str, Any]) -> int:
    errors = result.get("errors", ())
    if any(error["extensions"]["code"] == "RATE_LIMITED" for error in errors):
        return 429
    return 400 if _was_refused(result) else 200


def _was_refused(result: Mapping[str, Any]) -> bool:
    errors = result.get("errors", ())
    return result.get("data") is None and any(isinstance(error, RequestError) for error in errors)


def refusal(error: AppError) -> Response:
    """The answer to a request that is not carried out."""
    note_error(error.code, is_fault=error.status >= 500)
    response = _respond(Answer({"errors": [to_graphql(error)]}))
    response.status_code = error.status
    return response


async def _refuse_flood(error: RateLimitExceeded) -> Response:
    wait_s = float(error.retry_after)  # type: ignore[arg-type] # werkzeug's base allows more than the limiter sets
    return refusal(RateLimited("Too many requests. Try again in a moment.", retry_after_s=wait_s))
