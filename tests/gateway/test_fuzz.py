"""Whatever fits the schema or not, nothing makes the gateway fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from graphql.language import ast
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema
from hypothesis_graphql.nodes import String
from quart import Quart

from services.gateway.app import create_app
from tests.gateway.conftest import MakeDeps

SCHEMA = (Path(__file__).parents[2] / "services/gateway/schema.graphql").read_text("utf-8")
SCALARS: dict[str, st.SearchStrategy[ast.ValueNode]] = {
    "Date": st.one_of(st.dates().map(str), st.text(max_size=5)).map(String),
    "DateTime": st.datetimes().map(str).map(String),
}
FEW = settings(max_examples=60, suppress_health_check=list(HealthCheck))

anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
names = st.sampled_from(["filter", "sort", "first", "after", "id", "slug", "input", "email", "lines"])
inputs = st.dictionaries(names, st.one_of(anything, st.dictionaries(names, anything, max_size=3)))


@pytest.fixture
def app(make_deps: MakeDeps) -> Quart:
    return create_app(make_deps(requests_per_minute=1_000_000))


async def codes(app: Quart, body: Any, token: str) -> set[str]:
    """The error codes of an answer that is well formed and has a status of the contract."""
    response = await app.test_client().post(
        "/graphql",
        data=json.dumps(body),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    assert response.status_code in {200, 400, 413}
    answer = json.loads(await response.get_data())
    return {error["extensions"]["code"] for error in answer.get("errors", [])}


@FEW
@given(query=from_schema(SCHEMA, custom_scalars=SCALARS))
async def test_queries_that_fit_the_schema(app: Quart, token: str, query: str) -> None:
    assert await codes(app, {"query": query}, token) <= {"INVALID", "NOT_FOUND", "QUERY_TOO_COMPLEX",
                                                         "UNAUTHENTICATED", "CONFLICT"}  # fmt: skip


@FEW
@given(variables=inputs)
@pytest.mark.parametrize(
    "query",
    [
        """query ($filter: ConcertFilter, $sort: ConcertSort, $first: Int, $after: String) {
          concerts(filter: $filter, sort: $sort, first: $first, after: $after) { totalCount } }""",
        "query ($id: ID, $slug: String) { concert(id: $id, slug: $slug) { title } }",
        "query ($id: ID!) { order(id: $id) { number } }",
        "mutation ($input: LoginInput!) { login(input: $input) { expiresIn } }",
        "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { number } }",
        "mutation ($input: PayOrderInput!) { payOrder(input: $input) { number } }",
    ],
)
async def test_variables_of_every_shape(app: Quart, token: str, query: str, variables: Any) -> None:
    assert await codes(app, {"query": query, "variables": variables}, token) <= {
        "INVALID", "QUERY_TOO_COMPLEX", "UNAUTHENTICATED", "NOT_FOUND",
    }  # fmt: skip


@FEW
@given(body=st.one_of(anything, st.fixed_dictionaries({"query": anything, "variables": anything})))
async def test_bodies_of_every_shape(app: Quart, token: str, body: Any) -> None:
    assert await codes(app, body, token) <= {"INVALID", "QUERY_TOO_COMPLEX"}
