"""One metric over a real store: whatever the page offers can be shown."""

from __future__ import annotations

import re

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from services.dashboard.app import Deps, create_app
from services.dashboard.store import Store
from services.dashboard.token import Access
from services.defaults.health import Health
from tests.dashboard.desk import HEADERS
from tests.dashboard.support import CUMULATIVE, NOW_NS, keep, metrics


def gauge() -> Metric:
    sent = Metric(name="m")
    sent.gauge.data_points.add(time_unix_nano=NOW_NS, as_int=1)
    return sent


def counter(*, monotonic: bool) -> Metric:
    sent = Metric(name="m")
    sent.sum.aggregation_temporality = CUMULATIVE
    sent.sum.is_monotonic = monotonic
    sent.sum.data_points.add(time_unix_nano=NOW_NS, as_int=1)
    return sent


def histogram() -> Metric:
    sent = Metric(name="m")
    sent.histogram.aggregation_temporality = CUMULATIVE
    sent.histogram.data_points.add(time_unix_nano=NOW_NS, count=1, sum=0.5, bucket_counts=[0, 1], explicit_bounds=[0.1])
    return sent


@pytest.mark.parametrize("sent", [gauge(), counter(monotonic=True), counter(monotonic=False), histogram()])
async def test_every_choice_that_is_offered_can_be_shown(store: Store, sent: Metric) -> None:
    await keep(store, metrics(sent))
    client = create_app(Deps(store=store, access=Access(""), health=Health("dashboard", "test", {}))).test_client()
    page = await (await client.get("/plots/m", headers=HEADERS)).get_data(as_text=True)
    offered = re.search(r'<select name="show">(.+?)</select>', page)
    assert offered
    choices = re.findall(r'<option value="(\w+)"', offered[1])
    assert len(choices) > 1
    shown = {choice: (await client.get(f"/plots/m?show={choice}", headers=HEADERS)).status_code for choice in choices}
    assert shown == dict.fromkeys(choices, 200)
