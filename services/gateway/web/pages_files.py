"""What pages are made of: style, script, posters, and what browsers and crawlers ask for by themselves."""

from quart import Response, request

from services.defaults.errors import NotFound
from services.gateway.web.posters import Subject, draw
from services.gateway.web.site import Site, Visitor
from services.gateway.web.views import Card

FOREVER = "public, max-age=31536000, immutable"
SHORTLY = "public, max-age=300"
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
    response = _file(drawing.encode(), "image/svg+xml", version, forever=wanted == version)
    response.headers["Content-Security-Policy"] = "default-src 'none'"
    return response


async def asset(site: Site, visitor: Visitor, etag: str, name: str) -> Response:
    found = site.assets.find(name)
    if found is None:
        raise NotFound("There is no such file.")
    return _file(found.content, found.mimetype, found.etag, forever=etag == found.etag)


async def favicon(site: Site, visitor: Visitor) -> Response:
    """For browsers that ask without being told; an SVG, which all of today's understand."""
    return await asset(site, visitor, "", "favicon.svg")


async def robots(site: Site, visitor: Visitor) -> Response:
    return _file(ROBOTS.encode(), "text/plain", "1", forever=False)


def _file(content: bytes, mimetype: str, etag: str, *, forever: bool) -> Response:
    """The whole file, or 304 for a browser that has it (RFC 9110, 13.1.2)."""
    known = etag in request.if_none_match
    response = Response(status=304) if known else Response(content, mimetype=mimetype)
    response.set_etag(etag)
    response.headers["Cache-Control"] = FOREVER if forever else SHORTLY
    return response
