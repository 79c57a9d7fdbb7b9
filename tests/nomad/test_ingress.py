"""The ingress's configuration, in a real nginx before upstreams that count what reaches them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from services.apphost.ports import free_ports
from services.apphost.process import descendants
from services.defaults.deadline import DEADLINE_HEADER
from tests.nomad.hcl import load_jobs
from tests.nomad.processes import folder_for, until

ALL = load_jobs()


class Upstream:
    """A gateway that counts what it gets, and answers with a status."""

    def __init__(self, status: int) -> None:
        self.seen: list[str] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                told = (self.command, self.path, self.headers["X-Forwarded-For"], self.headers[DEADLINE_HEADER])
                seen.append(" ".join(filter(None, told)))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = _answer  # noqa: N815  # the names that http.server looks for

            def log_message(self, *args: object) -> None:
                """Nothing: the test looks at `seen`."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@contextmanager
def upstream(status: int) -> Iterator[Upstream]:
    it = Upstream(status)
    thread = Thread(target=it.server.serve_forever)
    thread.start()
    try:
        yield it
    finally:
        it.server.shutdown()
        it.server.server_close()
        thread.join()


def nginx_conf(folder: Path, port: int, instances: Mapping[str, list[int]]) -> Path:
    """The ingress's template as consul-template renders it, with those instances of each service."""
    text = ALL["ingress"].groups[0].tasks["nginx"].script("nginx.conf")
    for service, ports in instances.items():
        pattern = rf'\{{\{{- range service "{service}" \}}\}}(.*?)\{{\{{- else \}}\}}(.*?)\{{\{{- end \}}\}}'
        found = re.search(pattern, text, re.DOTALL)
        assert found is not None
        lines = [found[1].replace("{{ .Address }}:{{ .Port }}", f"127.0.0.1:{each}") for each in ports]
        text = text.replace(found[0], "".join(lines) or found[2])
    text = text.replace('{{ env "NOMAD_TASK_DIR" }}', str(folder)).replace('{{ env "NOMAD_PORT_http" }}', str(port))
    assert "{{" not in text
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def ask(method: str, url: str) -> int:
    """The status of the answer to somebody who claims to be in a hurry, which is none of the shop's business."""
    data = b"{}" if method == "POST" else None
    request = Request(url, method=method, data=data, headers={DEADLINE_HEADER: "25"})
    try:
        with urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def nginx() -> Iterator[Callable[[Mapping[str, list[int]]], str]]:
    program_path = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program_path is None:
        pytest.fail("There is no nginx: run `make test`, which installs it.")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    # Its workers are somebody else than its master.
    with folder_for("root") as (folder, _), running_nginx(program_path, folder, port) as start:
        yield lambda instances: start(instances) or url


def _has_read(pid: int, before: set[int], log: Path, told: int) -> None:
    """Raises unless all of nginx's workers are new, or it says why it goes on with what it had."""
    assert "[emerg]" in log.read_text()[told:] or not before & set(descendants(pid))


@contextmanager
def running_nginx(program_path: str, folder: Path, port: int) -> Iterator[Callable[[Mapping[str, list[int]]], None]]:
    """Starts nginx at the first call, and makes it read its new configuration at each further one."""
    started: list[subprocess.Popen[bytes]] = []

    def start(instances: Mapping[str, list[int]]) -> None:
        conf = nginx_conf(folder, port, instances)
        if started:
            before, told = set(descendants(started[0].pid)), (folder / "log").stat().st_size
            started[0].send_signal(signal.SIGHUP)
            until(lambda: _has_read(started[0].pid, before, folder / "log", told), folder / "log")
            return
        log = (folder / "log").open("wb")
        command = [program_path, "-c", str(conf), "-e", "stderr"]
        started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        log.close()
        until(lambda: urlopen(f"http://127.0.0.1:{port}/-/alive", timeout=1).close(), folder / "log")

    try:
        yield start
    finally:
        for process in started:
            process.send_signal(signal.SIGQUIT)
            process.wait(20)


Nginx = Callable[[Mapping[str, list[int]]], str]


def test_the_ingress_repeats_a_get_and_never_a_post(nginx: Nginx) -> None:
    with upstream(503) as first, upstream(503) as second:
        url = nginx({"gateway": [first.port, second.port], "ordering": []})
        assert ask("GET", f"{url}/") == 503
        assert len(first.seen + second.seen) == 2
        first.seen.clear()
        second.seen.clear()
        assert ask("POST", f"{url}/graphql") == 503
        assert len(first.seen + second.seen) == 1


def test_the_ingress_takes_a_post_past_an_instance_that_is_gone(nginx: Nginx) -> None:
    (nobody,) = free_ports(1)
    with upstream(200) as alive:
        url = nginx({"gateway": [nobody, alive.port], "ordering": []})
        assert [ask("POST", f"{url}/graphql") for _ in range(6)] == [200] * 6


def test_the_ingress_lives_without_a_gateway_and_follows_consul(nginx: Nginx) -> None:
    with upstream(200) as gateway, upstream(204) as ordering:
        url = nginx({"gateway": [], "ordering": []})
        assert (ask("GET", f"{url}/"), ask("GET", f"{url}/-/ready"), ask("GET", f"{url}/-/alive")) == (502, 502, 200)
        nginx({"gateway": [gateway.port], "ordering": [ordering.port]})
        assert ask("GET", f"{url}/-/ready") == 200
        assert ask("POST", f"{url}/webhooks/payments") == 204
        assert gateway.seen == ["GET /health 127.0.0.1"]
        assert ordering.seen == ["POST /webhooks/payments 127.0.0.1"]
        assert ask("GET", f"{url}/webhooks/other") == 200
        assert len(ordering.seen) == 1


def test_the_ingress_goes_on_with_those_it_knew_when_consul_forgets_them(nginx: Nginx) -> None:
    with upstream(200) as gateway, upstream(201) as successor:
        url = nginx({"gateway": [gateway.port], "ordering": []})
        nginx({"gateway": [], "ordering": []})
        assert [ask("POST", f"{url}/graphql") for _ in range(3)] == [200] * 3
        nginx({"gateway": [successor.port], "ordering": []})
        assert ask("POST", f"{url}/graphql") == 201
