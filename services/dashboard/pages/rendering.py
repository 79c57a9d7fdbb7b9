"""Pages from templates. Everything is escaped: every text in telemetry is a stranger's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.dashboard.pages import formatting
from services.dashboard.pages.guard import FIELD
from services.defaults.assets import Assets

if TYPE_CHECKING:
    from services.dashboard.pages.site import View

TEMPLATES: Final = Path(__file__).parents[1] / "templates"


class Renderer:
    """The templates; a name that is missing in one is an error."""

    def __init__(self, assets: Assets, *, form_token: str, shop_url: str) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals.update(
            asset=assets.address, csrf_field=FIELD, csrf_token=form_token, shop_url=shop_url, link=formatting.link
        )
        self._templates.filters.update(formatting.FILTERS)

    def body(self, view: View) -> Markup:
        """What stands in the page's `<main>`."""
        html = self._templates.get_template(f"{view.template}.html").render(view.context)
        return Markup(html)  # noqa: S704 - Jinja has escaped it

    def page(self, view: View, *, path: str, live: str) -> str:
        """The whole document. `path` says where in the menu we are, `live` where the page's stream is."""
        return self._templates.get_template("frame.html").render(
            body=self.body(view), title=view.title, path=path, live=live
        )
