"""The dashboard's composition root: `python -m services.dashboard [serve]`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from services.dashboard.app import Deps, create_app
from services.dashboard.control import open_control
from services.dashboard.ingest.grpc import grpc_receiver
from services.dashboard.ingest.http import create_otlp_app
from services.dashboard.ingest.intake import Intake
from services.dashboard.mails import open_mails
from services.dashboard.queues import open_queues
from services.dashboard.registry import open_registry
from services.dashboard.settings import Settings
from services.dashboard.store import open_store
from services.dashboard.store.pruning import Limits
from services.dashboard.token import open_access
from services.defaults.health import Health
from services.defaults.run import main, serve_http
from services.defaults.telemetry import setup_telemetry
from services.defaults.tunables import follow

NAME = "dashboard"


async def serve() -> None:
    s = follow(Settings, os.environ).current
    access = open_access(s.dashboard_token, host=s.host, secure=s.production)
    async with AsyncExitStack() as stack:
        # It sends nothing about itself: each request that took some telemetry would make more.
        silent = replace(s, otel_traces_exporter="none", otel_metrics_exporter="none", otel_logs_exporter="none")
        stack.enter_context(setup_telemetry(NAME, silent))
        limits = Limits(s.dashboard_max_bytes, s.dashboard_max_age_h * 3600)
        store = await stack.enter_async_context(open_store(Path(s.dashboard_db), limits))
        health = Health(NAME, s.release, {"store": store.check})
        intake = Intake(
            store.writer,
            stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="otlp")),
            max_body_bytes=s.otlp_max_body_bytes,
            max_inflated_bytes=s.otlp_max_inflated_bytes,
        )
        otlp_grpc = grpc_receiver(intake, access, health, host=s.host, port=s.otlp_grpc_port, grace_s=s.grace_s)
        deps = Deps(
            store=store,
            access=access,
            health=health,
            control=await stack.enter_async_context(open_control(s.apphost_socket)),
            registry=await stack.enter_async_context(open_registry(s)),
            queues=await stack.enter_async_context(
                open_queues(s.rabbitmq_url, [float(delay) for delay in s.retry_delays_s])
            ),
            mails=await stack.enter_async_context(open_mails(s.mailbox_url)),
            shop_url=s.shop_url,
        )
        await serve_http(
            create_app(deps),
            s,
            health,
            background=[store.writer.run, otlp_grpc],
            also=[(create_otlp_app(intake, access, health), s.otlp_port)],
        )


if __name__ == "__main__":
    main(NAME, {"serve": serve})
