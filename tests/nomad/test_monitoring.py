"""Collector, Jaeger, Prometheus and Grafana: the jobs run what is pinned, and every query asks for what there is."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession

from services.apphost.system import System
from tests.integration.shop import eventually, open_shop
from tests.nomad.hcl import JOBS, ROOT, Job, labelled, one, parse

MONITORING = JOBS / "monitoring"
ALL = {path.name.removesuffix(".nomad.hcl"): Job(path.read_text()) for path in sorted(MONITORING.glob("*.nomad.hcl"))}
OTHERS_BRACES = re.compile(r"\{\{.*?\}\}")  # what Consul's templates fill in
FILE = re.compile(r'file\("\$\{var\.folder\}/([^"]+)"\)')

# PromQL, as far as the names in it go.
STRING = re.compile(r'"(?:\\.|[^"\\])*"')
SELECTOR = re.compile(r"\{[^{}]*\}")
RANGE = re.compile(r"\[[^\]]*\]")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
NAME = re.compile(r"(?<![\w.:])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])")
WORDS = {"and", "or", "unless", "bool"}
SUFFIX = re.compile(r"_(?:bucket|count|sum|total|seconds|bytes)$")
COMMON_LABELS = {"job", "instance", "le"}

DATA_PATH = ("catalog", "gateway", "identity", "notifications", "ordering")  # who is asked when somebody buys

# What the first purchase of a shop does not bring about: refusals, retries, and what goes wrong.
RARE = {
    "accounts_opened",
    "circuit_breakers_open",
    "messages_dead_lettered",
    "messages_retried",
    "notifications_duplicates",
    "notifications_failures",
    "orders_cancelled",
    "orders_refused",
    "refresh_tokens_reused",
    "requests_limited",
    "logins_refused",
    "logins_succeeded",
}


def filled_in(name: str) -> Any:
    """The file as YAML, with a word wherever a template puts something."""
    return yaml.safe_load(OTHERS_BRACES.sub("x", (MONITORING / name).read_text()))


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        yield from group["rules"]


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((MONITORING / "dashboards").glob("*.json"))}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, dashboard in dashboards().items():
        yield from ((f"{name}: {panel['title']}", panel) for panel in dashboard["panels"])


def queries() -> dict[str, str]:
    """Every expression that Prometheus is asked, by where it stands."""
    found = {rule.get("alert") or rule["record"]: str(rule["expr"]) for rule in rules()}
    for place, panel in panels():
        found |= {f"{place} {target['refId']}": target["expr"] for target in panel["targets"]}
    return found


def metrics_in(expression: str) -> set[str]:
    """Names of metrics; labels, functions and words of PromQL are none."""
    text = GROUPING.sub(" ", RANGE.sub(" ", SELECTOR.sub(" ", STRING.sub('""', expression))))
    return set(NAME.findall(text)) - WORDS


def labels_in(expression: str) -> set[str]:
    expression = STRING.sub('""', expression)
    selected = {name for inside in SELECTOR.findall(expression) for name in re.findall(r"(\w+)\s*[=!]~?", inside)}
    grouped = {name.strip() for inside in GROUPING.findall(expression) for name in inside.split(",")}
    return selected | grouped


def instruments(metric: str) -> set[str]:
    """What the instrument may be called: `paid_seconds_bucket` comes from `paid_seconds` or from `paid`."""
    found = {metric}
    while (shorter := SUFFIX.sub("", metric)) != metric:
        metric = shorter
        found.add(metric)
    return found


def asked_for() -> dict[str, set[str]]:
    """Metrics that the services must have, by where they are asked for."""
    return {
        place: {name for name in metrics_in(text) if not name.startswith("slo:")} for place, text in queries().items()
    }


def test_a_query_is_read_rightly() -> None:
    text = (
        'sum by (job, le) (rate(a_bucket{x=~"b{2}", le="1"}[5m])) / on (job) max(c_total) > 14.4 * 0.5 and slo:d > 1e3'
    )
    assert metrics_in(text) == {"a_bucket", "c_total", "slo:d"}
    assert labels_in(text) == {"job", "le", "x"}
    assert instruments("a_seconds_bucket") == {"a_seconds_bucket", "a_seconds", "a"}


@pytest.mark.parametrize("place", sorted(queries()))
def test_a_query_s_brackets_close(place: str) -> None:
    text = STRING.sub("", queries()[place])
    waiting = []
    for character in re.sub(r"[^()\[\]{}]", "", text):
        if character in "([{":
            waiting.append(character)
        else:
            assert waiting.pop() + character in ("()", "[]", "{}")
    assert not waiting
    assert metrics_in(queries()[place])


def documented() -> set[str]:
    """The metrics of docs/observability.md as Prometheus writes them, but for what it puts behind them."""
    text = (ROOT / "docs/observability.md").read_text()
    return {name.replace(".", "_") for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", text)}


@pytest.mark.parametrize("place", sorted(queries()))
def test_a_query_asks_for_what_is_documented(place: str) -> None:
    known = documented()
    assert [name for name in asked_for()[place] if not instruments(name) & known] == []
    assert labels_in(queries()[place]) - COMMON_LABELS <= known | {
        "reason",
        "outcome",
        "result",
        "role",
        "type",
        "act",
        "peer",
    }


@pytest.mark.integration
async def test_a_query_asks_for_what_a_shop_shows_after_a_purchase(system: System) -> None:
    async with open_shop(system.urls["gateway"]) as shop, ClientSession() as http:
        await shop.register()
        order = await shop.place(await shop.concert_on_sale())
        await shop.pay(order["id"])

        async def shown() -> set[str]:
            found: set[str] = set()
            for name in DATA_PATH:
                port = system.ports["catalog_admin" if name == "catalog" else name]
                async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
                    assert answer.status == 200, name
                    found |= set(re.findall(r"(?m)^(\w+)[{ ]", await answer.text()))
            return found

        wanted = {name for names in asked_for().values() for name in names if not instruments(name) & RARE}

        missing = wanted

        async def all_are_shown() -> bool:
            nonlocal missing
            missing = wanted - await shown()
            return not missing

        with contextlib.suppress(TimeoutError):  # what is missing says more
            await eventually(all_are_shown, within_s=90)
        assert not missing


def test_recorded_series_are_asked_for_as_they_are_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for text in queries().values() for name in metrics_in(text) if name.startswith("slo:")}
    assert used == recorded


@pytest.mark.parametrize("rule", [rule for rule in rules() if "alert" in rule], ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_where_it_is_told_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    document, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"(?m)^#+ (.*)$", (ROOT / document).read_text())
    assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_objective_has_an_alert() -> None:
    groups = {
        group["name"]: group["rules"] for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    }
    for objective in ("purchase-success", "place-order-latency", "outbox-lag", "dead-letters"):
        assert any("alert" in rule for rule in groups[objective])


def test_prometheus_takes_the_alerts_and_they_go_off() -> None:
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
        run = ["promtool", *command]
        result = subprocess.run(run, cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tried() -> None:
    tried = {
        case["alertname"]
        for test in yaml.safe_load((MONITORING / "alerts.test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    }
    assert tried == {rule["alert"] for rule in rules() if "alert" in rule} - {"PurchasesFailSlowly"}  # it takes days


def test_dashboards_are_grafana_s_and_say_what_they_show() -> None:
    found = dashboards()
    assert set(found) == {"business", "messaging", "signals", "stores"}
    assert len({dashboard["uid"] for dashboard in found.values()}) == len(found)
    sources = {source["uid"] for source in filled_in("datasources.yaml")["datasources"]}
    for place, panel in panels():
        assert panel["description"], place
        assert {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])} <= sources
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, place
    for dashboard in found.values():
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        variables = {variable["name"] for variable in dashboard["templating"]["list"]}
        asked = set(re.findall(r"\$(\w+)", json.dumps(dashboard["panels"]))) - {"__rate_interval"}
        assert asked == variables


def test_the_collector_s_pipelines_use_what_it_has() -> None:
    config = filled_in("collector.yaml")
    for signal in ("traces", "metrics", "logs"):
        pipeline = config["service"]["pipelines"][signal]
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(config[kind])
        assert pipeline["processors"][0] == "memory_limiter"  # refuses before it has worked on anything
        assert "otlphttp/dashboard" in pipeline["exporters"]
    assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_prometheus_loads_the_alerts_that_the_job_gives_it() -> None:
    destinations = {Path(template.destination).name for template in next(ALL["prometheus"].tasks).templates}
    assert set(filled_in("prometheus.yml")["rule_files"]) <= destinations


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_job_runs_what_is_pinned_within_bounds_and_is_checked(name: str) -> None:
    job = ALL[name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", job.variables["image"]["default"])
    (group,) = job.groups
    (task,) = job.tasks
    assert (task.body["driver"], task.config["image"]) == ("docker", "${var.image}")
    assert {"cpu", "memory"} <= set(one(task.body["resources"]))
    assert {"max_files", "max_file_size"} <= set(one(task.body["logs"]))
    assert set(task.config["ports"]) == set(group.ports)
    assert job.update["auto_revert"] is True
    for service in group.body["service"]:
        assert service["check"], service["name"]
        assert {service["port"], *(check.get("port", service["port"]) for check in service["check"])} <= set(
            group.ports
        )


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_job_s_files_are_there_and_its_secrets_are_hidden(name: str) -> None:
    job = ALL[name]
    texts = {path: (MONITORING / path).read_text() for path in FILE.findall(job.text) if "${" not in path}
    for path in texts:
        assert path in ("collector.yaml", "prometheus.yml", "alerts.yml", "datasources.yaml", "dashboards.yaml")
    for template in next(job.tasks).templates:
        if "ticketflow/secrets/" in template.text:
            assert template.destination.startswith("secrets/")
            assert template.perms == "0600"
    assert not [path for path, text in texts.items() if "ticketflow/secrets/" in text]


def test_foreign_braces_are_left_alone() -> None:
    """Prometheus's and Grafana's own {{ }} pass through Consul's templates only under other marks."""
    bodies = [
        (str(body["data"]), body)
        for job in ALL.values()
        for task in job.tasks
        for body in [*task.body.get("template", []), *(each["content"][0] for each in dynamic_templates(task.body))]
    ]
    foreign = [body for data, body in bodies if "alerts.yml" in data or "dashboards/" in data]
    assert len(foreign) == 2
    for body in foreign:
        assert (body["left_delimiter"], body["right_delimiter"]) == ("<%", "%>")
    assert not [
        path for path in MONITORING.rglob("*") if path.is_file() and "<%" in path.read_text() and path.suffix != ".hcl"
    ]


def dynamic_templates(task: Any) -> list[Any]:
    return [body for label, body in labelled(task.get("dynamic")).items() if label == "template"]


def test_whom_the_jobs_look_for_is_there() -> None:
    there = {service["name"] for job in ALL.values() for service in job.groups[0].body["service"]} | {
        "otel",
        "alertmanager",
    }
    text = "".join(path.read_text() for path in MONITORING.glob("*.y*ml"))
    wanted = set(re.findall(r'\bservice "([\w-]+)"', text)) | set(re.findall(r"services: \[([\w-]+)\]", text))
    assert wanted <= there
    dashboard = parse((JOBS / "dashboard.nomad.hcl").read_text())
    assert "otel" in json.dumps(dashboard)


@pytest.mark.skipif(shutil.which("nomad") is None, reason="there is no `nomad` on PATH to read the jobs")
@pytest.mark.parametrize("name", sorted(ALL))
def test_nomad_reads_the_job(name: str) -> None:
    command = ["nomad", "job", "run", "-output", f"nomad/monitoring/{name}.nomad.hcl"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
