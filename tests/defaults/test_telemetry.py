"""What leaves a process by OTLP/HTTP, and how the standard variables steer it; against a real collector."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from services.defaults.settings import CommonSettings, SettingsError, load
from tests.otlp import Collector, running_collector

PROGRAM = """
import logging, os, sys, time
from dataclasses import dataclass
from services.defaults.errors import Unavailable
from services.defaults.settings import CommonSettings, load, setting
from services.defaults.telemetry import (
    annotate, consumer_span, inject_trace, observe, producer_span, query_span, setup_telemetry, untraced, work_span,
)
from services.defaults.telemetry.metering import metrics_page

@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    port: int = setting("Port", default=1)

def work():
    with work_span("work"):
        annotate(order_id="o-1")
        with producer_span("events", "order.x", {}, {}):
            headers = inject_trace()
            logging.getLogger("sample").info("sent to jane@example.com", extra={"password": "hunter2"})
        with untraced(), query_span("SELECT 1", {}), observe("invisible"):
            pass
    try:
        with consumer_span("queue", "order.x", headers, {}):
            raise Unavailable("away")
    except Unavailable:
        logging.getLogger("sample").exception("not handled")

with setup_telemetry("sample", load(Settings, os.environ)):
    for _ in range(int(os.environ.get("TIMES", "1"))):
        work()
    if "SHOW" in os.environ:
        time.sleep(float(os.environ["SHOW"]))
        print(metrics_page("")[0].decode())
    ended = time.monotonic()
print("SHUTDOWN", time.monotonic() - ended)
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


def run_program(**env: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=inherited | {"LOG_FORMAT": "json"} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def shutdown_s(finished: subprocess.CompletedProcess[str]) -> float:
    return float(finished.stdout.rpartition("SHUTDOWN ")[2])


def test_all_three_signals_arrive_and_belong_together(collector: Collector) -> None:
    line = json.loads(run_program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url).stderr.splitlines()[0])
    spans = {span.name: span for span in collector.spans()}
    work, sent, processed = spans["work"], spans["send order.x"], spans["process order.x"]
    assert len(spans) == 3
    assert (sent.parent_id, processed.parent_id) == (work.span_id, sent.span_id)
    assert (processed.attributes["error.type"], processed.failed) == ("UNAVAILABLE", True)
    assert (work.attributes["ticketflow.order.id"], sent.attributes["ticketflow.order.id"]) == ("o-1", "o-1")
    log, _ = collector.logs()
    assert (log.trace_id, log.span_id) == (sent.trace_id, sent.span_id) == (line["trace_id"], line["span_id"])
    assert log.body == line["message"] == "sent to j…@example.com"
    assert log.attributes == {"password": "[redacted]", "order_id": "o-1"}
    (counted,) = collector.points("messaging.client.sent.messages")
    assert counted.exemplars == (sent.trace_id,)


def test_an_exception_is_told_in_full_and_only_once_rendered(collector: Collector) -> None:
    run_program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    _, failed = collector.logs()
    assert (failed.level, failed.attributes["exception.type"]) == ("ERROR", "Unavailable")
    assert re.search(r"in work\n.*Unavailable: away$", failed.attributes["exception.stacktrace"], re.DOTALL)


def test_the_resource_says_who_it_was(collector: Collector) -> None:
    run_program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, RELEASE="1.2", OTEL_RESOURCE_ATTRIBUTES="team=shop")
    text = b"".join(collector.bodies("traces"))
    for part in (b"sample", b"service.instance.id", b"service.version", b"1.2", b"team", b"shop"):
        assert part in text


def test_without_an_endpoint_lines_still_carry_a_trace_id() -> None:
    line = json.loads(run_program().stderr.splitlines()[0])
    assert len(line["trace_id"]) == 32


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({}, {"sample"}),
        ({"OTEL_SERVICE_NAME": "other"}, {"other"}),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=third"}, {"third"}),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, set()),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, set()),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}, {"sample"}),
        ({"OTEL_TRACES_EXPORTER": "none"}, set()),
        ({"OTEL_SDK_DISABLED": "true"}, set()),
    ],
)
def test_names_and_sampling_follow_the_standard_variables(
    collector: Collector, env: dict[str, str], names: set[str]
) -> None:
    run_program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **env)
    assert {span.service for span in collector.spans()} == names


def test_a_ratio_keeps_about_that_share_of_traces(collector: Collector) -> None:
    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    run_program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TIMES="400", LOG_LEVEL="error", **sampler)
    kept = {span.trace_id for span in collector.spans()}
    assert 120 < len(kept) < 280  # 200 expected; eight standard deviations
    assert all(len([s for s in collector.spans() if s.trace_id == trace_id]) == 3 for trace_id in list(kept)[:20])


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_each_signal_may_go_elsewhere_or_nowhere(collector: Collector, signal: str) -> None:
    key = signal.upper()
    with running_collector() as elsewhere:
        address = {f"OTEL_EXPORTER_OTLP_{key}_ENDPOINT": f"{elsewhere.url}/own/path"}
        run_program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **address)
        assert {sent.path for sent in elsewhere.sent} == {"/own/path"}
    assert {sent.path for sent in collector.sent} == {"/v1/traces", "/v1/metrics", "/v1/logs"} - {f"/v1/{signal}"}
    collector.sent.clear()
    run_program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **{f"OTEL_{key}_EXPORTER": "none"})
    assert {sent.path for sent in collector.sent} == {"/v1/traces", "/v1/metrics", "/v1/logs"} - {f"/v1/{signal}"}


def test_headers_and_compression_are_as_asked(collector: Collector) -> None:
    asked = {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=one", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-key=two"}
    run_program(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_COMPRESSION="gzip", **asked)
    assert {sent.headers["content-encoding"] for sent in collector.sent} == {"gzip"}
    keys = {sent.path: sent.headers["x-key"] for sent in collector.sent}
    assert keys == {"/v1/traces": "two", "/v1/metrics": "one", "/v1/logs": "one"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_METRICS_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ],
)
def test_what_cannot_be_done_stops_the_start_and_says_why(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{key}: must be"):
        load(CommonSettings, {"PORT": "1", key: value})


def test_times_are_in_milliseconds_and_a_signals_own_comes_first() -> None:
    env = {"PORT": "1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1500", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "200"}
    settings = load(CommonSettings, env)
    assert (settings.export_timeout_s("traces"), settings.export_timeout_s("logs")) == (1.5, 0.2)


def test_a_collector_that_is_away_is_news_once_and_what_is_lost_is_counted() -> None:
    finished = run_program(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_TIMEOUT="300",
        OTEL_BSP_SCHEDULE_DELAY="100",
        OTEL_BLRP_SCHEDULE_DELAY="100",
        OTEL_METRIC_EXPORT_INTERVAL="100",
        TIMES="300",
        LOG_LEVEL="error",
        SHOW="2",
    )
    complaints = [line for line in finished.stderr.splitlines() if "opentelemetry" in line]
    assert 1 <= len(complaints) <= 6  # two of each signal: that it tries again, and that it gave up
    lost = re.findall(r'^otel_sdk_exporter_span_exported_total\{.*error_type="(\w+)".*\} (\d+)', finished.stdout, re.M)
    assert lost
    assert all(int(count) > 0 for _, count in lost)
    assert shutdown_s(finished) < 4


def test_a_collector_that_hangs_delays_neither_the_work_nor_the_end() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        finished = run_program(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_TIMEOUT="60000",
            OTEL_BSP_MAX_QUEUE_SIZE="64",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="32",
            TIMES="100",
            LOG_LEVEL="error",
            SHOW="0",
        )
    dropped = r'^otel_sdk_processor_span_processed_total\{.*error_type="queue_full".*\} (\d+)'
    counts = [int(count) for count in re.findall(dropped, finished.stdout, re.MULTILINE)]
    assert sum(counts) > 100  # of 300 spans, 64 wait and 32 are on their way
    assert shutdown_s(finished) < 4  # two seconds, and a busy machine
