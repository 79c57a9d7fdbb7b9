"""What pages are made of: style, script, posters, and what browsers and crawlers ask for by themselves."""

from quart import Response, request

from services.defaults.assets import Asset, file_response
from services.defaults.errors import NotFound
from services.gateway.web.posters import Subject, draw
from services.gateway.web.site import Site, Visitor
from services.gateway.web.views import Card

ROBOTS = "User-agent: *\nDisallow: /orders\nDisallow: /login\nDisallow: /register\n"


def subject_of(concert: Card) -> Subject:
    """What a concert's poster shows; its date is the day at the venue, as digits that need no language."""
    day = concert.starts_at.astimezone(concert.zone)
    return Subject(concert.id, concert.artist, concert.genre, f"{day:%d.%m.%Y}", concert.venue.city)


def poster_address(concert: Card) -> str:
    """Where a concert's poster is; another picture has another address."""
    return f"/posters/{concert.id}.svg?v={subject_of(concert).version}"


async def poster(site: Site, visitor: Visitor, concert_id: str) -> Response:
    wanted = request.args.get("v", "")

    async def make() -> tuple[str, str]:
        subject = subject_of(await site.shop.concert(visitor.caller, concert_id=concert_id))
        return subject.version, draw(subject)

    version, drawing = await site.posters.get((concert_id, wanted), make)
    response = file_response(Asset(drawing.encode(), "image/svg+xml", version), forever=wanted == version)
    response.headers["Content-Security-Policy"] = "default-src 'none'"
    return response


async def asset(site: Site, visitor: Visitor, etag: str, name: str) -> Response:
    found = site.assets.find(name)
    if found is None:
        raise NotFound("There is no such file.")
    return file_response(found, forever=etag == found.etag)


async def favicon(site: Site, visitor: Visitor) -> Response:
    """For browsers that ask without being told; an SVG, which all of today's understand."""
    return await asset(site, visitor, "", "favicon.svg")


async def robots(site: Site, visitor: Visitor) -> Response:
    return file_response(Asset(ROBOTS.encode(), "text/plain", "1"), forever=False)
