"""Looking around: home, the list of concerts, one concert."""

from quart import Response, request

from services.defaults.errors import Invalid
from services.gateway.web.forms import QUANTITY_PREFIX, Form, kept_quantities, new_key
from services.gateway.web.listing import SORTS, Search, chips, kept, parse_search, pick_rows
from services.gateway.web.rendering import SharedPage
from services.gateway.web.site import Site, Visitor, page, shared_page
from services.gateway.web.views import Concert, ConcertPage, Facets

PAGE_SIZE = 24
HOME_HORIZON = 100  # concerts that the home page picks from


async def home(site: Site, visitor: Visitor) -> Response:
    async def make() -> SharedPage:
        found = await site.shop.concerts(visitor.caller, filter_by={}, sort="DATE", first=HOME_HORIZON)
        now = site.now()
        return site.renderer.shared(
            "home.html",
            title="Concert tickets at the price you see",
            rows=pick_rows(found.nodes, now),
            total=found.total_count,
            reader=visitor.reader,
            now=now,
        )

    return shared_page(site, visitor, await site.shared.get(("home", visitor.reader.lang), make))


async def concerts(site: Site, visitor: Visitor) -> Response:
    try:
        search = parse_search(request.args) if request.query_string else Search()
    except Invalid as error:
        return await _mend_search(site, visitor, error)

    async def make() -> SharedPage:
        found = await site.shop.concerts(
            visitor.caller,
            filter_by=search.filter(),
            sort=search.sort.upper(),
            first=PAGE_SIZE,
            after=search.after,
        )
        return _list(site, visitor, search, found, await site.shop.facets(visitor.caller))

    try:
        kept = await site.shared.get((search.address(), visitor.reader.lang), make)
    except Invalid as error:
        return await _mend_search(site, visitor, error)
    return shared_page(site, visitor, kept)


def _list(site: Site, visitor: Visitor, search: Search, found: ConcertPage, facets: Facets) -> SharedPage:
    preceding = search.preceding()
    cursor = found.page_info.end_cursor if found.page_info.has_next_page else None
    return site.renderer.shared(
        "concerts.html",
        title=_list_title(search),
        search=search,
        form=Form(values=search.form_values()),
        chips=chips(search, visitor.reader),
        found=found,
        facets=facets,
        sorts=SORTS,
        before=preceding.address() if preceding else None,
        after=search.following(cursor).address() if cursor else None,
        reader=visitor.reader,
        now=site.now(),
    )


async def _mend_search(site: Site, visitor: Visitor, error: Invalid) -> Response:
    """The filters as they were typed, with what is wrong beside them, and no list."""
    facets = await site.shop.facets(visitor.caller)
    form = Form(values=kept(request.args), errors=error.fields, message=error.message)
    return page(
        site,
        visitor,
        "concerts.html",
        title="Concerts",
        status=422,
        search=Search(available_only="available" in request.args),
        form=form,
        chips=[],
        found=None,
        facets=facets,
        sorts=SORTS,
        before=None,
        after=None,
    )


def _list_title(search: Search) -> str:
    words = ["Concerts"]
    if search.genre:
        words = [f"{search.genre} concerts"]
    if search.city:
        words.append(f"in {search.city}")
    return " ".join(words)


async def concert(site: Site, visitor: Visitor, slug: str) -> Response:
    found = await site.shop.concert(visitor.caller, slug=slug)
    chosen = kept_quantities(request.args, found)
    return concert_page(site, visitor, found, Form(values=_quantities(chosen), key=new_key()))


def concert_page(site: Site, visitor: Visitor, found: Concert, form: Form, status: int = 200) -> Response:
    """The concert, with the choice of tickets as it stands in `form`."""
    return page(site, visitor, "concert.html", title=found.title, status=status, concert=found, form=form)


def _quantities(chosen: dict[str, int]) -> dict[str, str]:
    return {QUANTITY_PREFIX + tier: str(quantity) for tier, quantity in chosen.items()}
