"""As much of a browser as the pages need: it keeps cookies, and sends forms as they stand on the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from quart import Quart, Response
from quart.typing import TestClientProtocol


@dataclass
class FormOnPage:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[FormOnPage] = []
        self._open: FormOnPage | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = FormOnPage(attributes.get("action", ""), attributes.get("method", "get"))
            self.forms.append(self._open)
        elif tag == "input" and self._open and "name" in attributes:
            self._open.fields[attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


@dataclass(frozen=True)
class Page:
    response: Response
    text: str

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def location(self) -> str:
        return self.response.headers.get("Location", "")

    def form(self, action: str) -> FormOnPage:
        parser = _Forms()
        parser.feed(self.text)
        return next(form for form in parser.forms if form.action == action)


class Browser:
    """Follows no redirect by itself, so that tests see each."""

    def __init__(self, app: Quart) -> None:
        self.client: TestClientProtocol = app.test_client()

    def log_in(self, token: str) -> None:
        self.client.set_cookie("localhost", "tf_access", token)

    def cookie(self, name: str) -> str | None:
        jar = self.client.cookie_jar
        return next((cookie.value for cookie in jar or () if cookie.name == name), None)

    async def get(self, path: str, **headers: str) -> Page:
        response = await self.client.get(path, headers={"Accept": "text/html", **headers})
        return Page(response, await response.get_data(as_text=True))

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> Page:
        response = await self.client.post(path, form=fields, headers={"Accept": "text/html", **headers})
        return Page(response, await response.get_data(as_text=True))

    async def submit(self, page: Page, action: str, **changes: str) -> Page:
        """Sends the form of `page` that goes to `action`, with some fields filled in."""
        form = page.form(action)
        assert form.method == "post"
        return await self.post(action, {**form.fields, **changes})
