"""What telemetry tells of a GraphQL operation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from quart import Quart

from services.defaults.telemetry import spans
from services.gateway.engine import execute
from services.gateway.guard import QueryLimits
from services.gateway.operation import about
from tests.gateway.conftest import MakeDeps

LOGIN = 'mutation { mine: login(input: {email: "a@b.test", password: "hunter2"}) { expiresIn } }'


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


async def spans_of(
    query: str, exporter: InMemorySpanExporter, make_deps: MakeDeps, **fields: object
) -> list[ReadableSpan]:
    """What a request with this query told, less the request itself."""
    tracer: Tracer = spans.tracer  # type: ignore[assignment] # the fixture's
    async with Quart("test").app_context():  # where writes are tracked
        context = make_deps(**fields).context(principal=None, token=None, client_address="192.0.2.1")
        with tracer.start_as_current_span("request"):
            await execute(query, None, context)
    return list(exporter.get_finished_spans()[:-1])


async def test_an_operation_is_a_span_that_tells_no_secret(exporter: InMemorySpanExporter, make_deps: MakeDeps) -> None:
    (span,) = await spans_of(LOGIN, exporter, make_deps)
    assert span.name == "mutation login"
    assert dict(span.attributes or {}) == {
        "graphql.operation.type": "mutation",
        "ticketflow.graphql.field": "login",
        "error.type": "UNAUTHENTICATED",
    }


async def test_resolvers_are_spans_where_that_is_asked_for(exporter: InMemorySpanExporter, make_deps: MakeDeps) -> None:
    query = "{ concerts(first: 2) { nodes { saleState } } }"
    told = await spans_of(query, exporter, make_deps, trace_resolvers=True)
    assert [span.name for span in told] == [
        "resolve Query.concerts",
        "resolve Concert.saleState",
        "resolve Concert.saleState",
        "query concerts",
    ]


@pytest.mark.parametrize(
    ("query", "name", "expected"),
    [
        ("{ concerts { totalCount } me { id } }", None, "query concerts"),
        ("query A { me { id } } query B { concert(id: 1) { id } }", "B", "query concert"),
        ("query A { me { id } }", "C", "query other"),
        ("{ card4242424242424242 }", None, "query other"),
        ("{", None, "query other"),
    ],
)
def test_an_operation_is_called_by_a_field_of_the_schema(query: str, name: str | None, expected: str) -> None:
    assert " ".join(about(query, name, QueryLimits())) == expected
