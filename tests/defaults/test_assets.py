"""Files of pages: an address for each content, and nothing sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from quart import Quart, Response

from services.defaults.assets import FOREVER, SHORTLY, Asset, Assets, file_response


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.css").write_text("p { color: red }")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "library.js").write_text("let a")
    (tmp_path / "library" / "LICENSE").write_text("as is")
    (tmp_path / "library" / "README.md").write_text("from there")
    return tmp_path


def test_another_content_has_another_address(folder: Path) -> None:
    before, same = (Assets("/static", folder).address("page.css") for _ in range(2))
    (folder / "page.css").write_text("p { color: blue }")
    after = Assets("/static", folder).address("page.css")
    assert before == same != after
    assert all(address.startswith("/static/") and address.endswith("/page.css") for address in (before, after))


def test_only_what_pages_are_made_of_is_served_and_only_from_the_folders_named(folder: Path) -> None:
    assert Assets("/static", folder).find("library.js") is None
    assets = Assets("/static", folder, folder / "library")
    script = assets.find("library.js")
    assert script
    assert (script.content, script.mimetype) == (b"let a", "text/javascript")
    assert [assets.find(name) for name in ("LICENSE", "README.md", "none.css")] == [None] * 3
    with pytest.raises(KeyError):
        assets.address("none.css")


async def answer(asset: Asset, *, forever: bool = False, etag: str = "") -> Response:
    async with Quart(__name__).test_request_context("/", headers={"If-None-Match": etag} if etag else {}):
        return file_response(asset, forever=forever)


@pytest.mark.parametrize(("forever", "kept"), [(True, FOREVER), (False, SHORTLY)])
async def test_a_browser_that_has_the_file_is_not_sent_it_again(forever: bool, kept: str) -> None:
    asset = Asset(b"<svg/>", "image/svg+xml", "0a1b2c")
    whole = await answer(asset, forever=forever)
    assert (whole.status_code, await whole.get_data(as_text=False)) == (200, b"<svg/>")
    again = await answer(asset, forever=forever, etag=whole.headers["ETag"])
    assert (again.status_code, await again.get_data(as_text=False)) == (304, b"")
    for response in (whole, again):  # RFC 9110, 15.4.5
        assert (response.headers["ETag"], response.headers["Cache-Control"]) == ('"0a1b2c"', kept)
    assert (await answer(asset, etag='"another"')).status_code == 200
