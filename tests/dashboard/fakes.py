"""Neighbours of the pages, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.dashboard.mails import Attachment, Mail, MailLine
from services.dashboard.parts import Part
from services.dashboard.queues import DeadLetter, Queue
from services.dashboard.store import Store
from services.dashboard.store.changes import Changes
from services.dashboard.store.rows import (
    LogPage,
    LogQuery,
    Metric,
    OperationStats,
    OrderStory,
    Plot,
    PlotQuery,
    ServiceMap,
    StoreStats,
    Trace,
    TracePage,
    TraceQuery,
)
from services.dashboard.upstream import File
from services.defaults.errors import NotFound, Unavailable
from tests.dashboard import samples


class FakeStore(Store):
    """What the store would answer; `full` says whether anything has come, `text` what stands in every field."""

    def __init__(self, *, full: bool = True, text: str = "") -> None:
        self.full = full
        self.text = text
        self.changes = Changes()
        self.asked: list[TraceQuery | LogQuery | PlotQuery] = []
        self.log_lines = [samples.log_line(text)] if full else []

    async def services(self) -> Sequence[str]:
        return [self.text or "gateway"] if self.full else []

    async def operations(self, service: str = "") -> Sequence[str]:
        return [self.text or f"GET / of {service}"] if self.full else []

    async def find_traces(self, query: TraceQuery) -> TracePage:
        self.asked.append(query)
        found = [samples.summary(self.text, errors=1)] if self.full else []
        return TracePage(traces=found, next="further" if self.full else "")

    async def trace(self, trace_id: str) -> Trace:
        if not self.full or trace_id != samples.TRACE_ID:
            raise NotFound("There is no such trace.")
        return samples.trace(self.text)

    async def service_map(self, since_ns: int, until_ns: int) -> ServiceMap:
        if self.full:
            return samples.service_map(self.text)
        return ServiceMap(nodes=[], edges=[], since_ns=since_ns)

    async def operation_stats(self, since_ns: int, until_ns: int) -> Sequence[OperationStats]:
        return samples.operations(self.text) if self.full else []

    async def find_logs(self, query: LogQuery) -> LogPage:
        self.asked.append(query)
        return LogPage(lines=self.log_lines, next="further" if self.full else "")

    async def metrics(self) -> Sequence[Metric]:
        if not self.full:
            return []
        return [samples.metric(self.text), samples.metric(self.text, "http.server.request.duration", "histogram")]

    async def label_values(self, name: str) -> dict[str, Sequence[str]]:
        return {self.text or "reason": [self.text or "BUYER", "EXPIRED"]}

    async def plot(self, query: PlotQuery) -> Plot:
        self.asked.append(query)
        if not self.full:
            raise NotFound("No such metric has come.")
        return replace(samples.plot(self.text), aggregate=query.aggregate or "rate")

    async def stats(self) -> StoreStats:
        return samples.stats()

    async def order_story(self, number_or_id: str) -> OrderStory:
        if not self.full or number_or_id != "K7QF-2M9X":
            raise NotFound("Nothing carries that order.")
        return samples.story(self.text)


@dataclass
class FakeControl:
    """The app host; `away` as when nobody listens any more."""

    found: list[Part] = field(default_factory=lambda: [samples.part()])
    done: list[tuple[str, str]] = field(default_factory=list)
    away: bool = False

    async def parts(self) -> Sequence[Part]:
        if self.away:
            raise Unavailable("The app host does not answer.")
        return self.found

    async def log(self, name: str, lines: int) -> Sequence[str]:
        return [f"line of {name}"] * min(lines, 2)

    async def act(self, name: str, verb: str) -> Part:
        self.done.append((name, verb))
        return self.found[0]


@dataclass
class FakeRegistry:
    found: list[Part] = field(default_factory=lambda: [samples.part(managed=False, restarts=None, pid=None)])

    async def parts(self) -> Sequence[Part]:
        return self.found


@dataclass
class FakeQueues:
    """The broker; replayed letters go."""

    letters: list[DeadLetter] = field(default_factory=lambda: [samples.letter(), samples.letter(message_id="m-2")])
    away: bool = False

    async def state(self) -> Sequence[Queue]:
        if self.away:
            raise Unavailable("The message broker cannot be reached.")
        return [samples.queue(consumers=0), samples.queue("notifications.orders.dead", depth=2, dead=True)]

    async def dead_letters(self) -> Sequence[DeadLetter]:
        return self.letters

    async def replay(self, message_id: str | None = None) -> int:
        gone = [letter for letter in self.letters if message_id in {None, letter.message_id}]
        self.letters = [letter for letter in self.letters if letter not in gone]
        return len(gone)


@dataclass
class FakeMails:
    """The mailbox with one mail."""

    text: str = ""
    away: bool = False

    async def newest_first(self) -> Sequence[MailLine]:
        if self.away:
            raise Unavailable("The mailbox does not answer.")
        return [self._line()]

    async def mail(self, mail_id: str) -> Mail:
        if mail_id != "one":
            raise NotFound("There is no such mail.")
        headers = [(self.text or "From", self.text or "shop@example.com")]
        files = [Attachment(2, self.text or "tickets.pdf", "application/pdf", 1234)]
        return Mail(self._line(), headers, self.text or "the text", has_html=True, attachments=files)

    async def html(self, mail_id: str) -> File:
        return File(b"<p>the mail<script>alert(1)</script>", "text/html", "")

    async def attachment(self, mail_id: str, number: int) -> File:
        return File(b"%PDF-1", "text/html", "attachment; filename=tickets.pdf")

    def _line(self) -> MailLine:
        return MailLine(
            id="one",
            sender=self.text or "shop@example.com",
            to=self.text or "ada@example.com",
            subject=self.text or "Your tickets",
            received_at=datetime(2026, 11, 24, 17, 0, tzinfo=UTC),
        )
