"""Nomad's HTTP API, played by a server of our own."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest


@pytest.fixture
def nomad_api() -> Iterator[tuple[str, dict[str, Any]]]:
    """Its address, and what it answers by path; 404 for every other."""
    answers: dict[str, Any] = {}
    with playing(answers) as address:
        yield address, answers


@contextmanager
def playing(answers: Mapping[str, Any], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that answers as Nomad does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server looks for
            path = self.path.partition("?")[0]
            self.send_response(200 if path in answers else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(path)).encode())

        def log_message(self, *args: object) -> None:
            """Nothing: the test looks at what became of the answers."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
