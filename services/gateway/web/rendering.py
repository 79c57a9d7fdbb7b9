"""Pages from templates. The body of a page and the frame around it are made apart, so that bodies can be kept."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.defaults.assets import Assets
from services.gateway.web.formatting import countdown_words, zone_name
from services.gateway.web.qr import qr_svg
from services.gateway.web.views import MAX_TICKETS


@dataclass(frozen=True)
class SharedPage:
    """A page that shows the same to everyone: its body, and the whole as strangers get it, UTF-8, with its tag."""

    title: str
    body: Markup
    html: bytes
    etag: str


class Renderer:
    """Jinja templates of `folder`: everything is escaped, and a name that is missing is an error."""

    def __init__(self, folder: Path, assets: Assets, poster_address: Callable[..., str]) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals.update(
            asset=assets.address,
            poster=poster_address,
            qr=qr_svg,
            countdown_words=countdown_words,
            zone_name=zone_name,
            MAX_TICKETS=MAX_TICKETS,
        )

    def body(self, template: str, **context: Any) -> Markup:
        """What stands in the page's `<main>`."""
        return Markup(self._templates.get_template(template).render(**context))  # noqa: S704 - Jinja has escaped it

    def frame(self, body: Markup, *, title: str, member: Any) -> str:
        """The whole document around a body, for `member`, who is logged in; for None as every stranger gets it."""
        return self._templates.get_template("frame.html").render(body=body, title=title, member=member)

    def shared(self, template: str, *, title: str, **context: Any) -> SharedPage:
        """A page of which nothing depends on who looks."""
        body = self.body(template, **context)
        html = self.frame(body, title=title, member=None).encode()
        return SharedPage(title, body, html, sha256(html).hexdigest()[:32])
