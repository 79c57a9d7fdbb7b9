"""Buying: hold tickets, pay, cancel; then the tickets themselves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote, urlencode

from quart import Response, request

from services.defaults.errors import AppError, Conflict, Invalid, NotFound, Unavailable
from services.gateway.web.addresses import login_address
from services.gateway.web.calendar_file import calendar_file
from services.gateway.web.forms import (
    QUANTITY_PREFIX,
    Form,
    key_of,
    new_key,
    read_card,
    read_quantities,
    typed_quantities,
)
from services.gateway.web.listing import MAX_CURSOR, MAX_TRAIL
from services.gateway.web.order_state import Phase, about_money, phase_of, story, why_cancelled
from services.gateway.web.pages_browse import concert_page
from services.gateway.web.site import Site, Visitor, is_answerable, page, see_other
from services.gateway.web.views import Concert, Order

PAGE_SIZE = 10
CHECK_AGAIN_S = 3  # how often the page looks whether a payment came through
MAX_HELD_UNTIL = 60
TWICE_TRIES = 4
TWICE_MAX_WAIT_S = 2.0

T = TypeVar("T")


async def place_order(site: Site, visitor: Visitor, slug: str) -> Response:
    """Holds the tickets that were chosen on the concert's page."""
    concert = await site.shop.concert(visitor.caller, slug=slug)
    try:
        key, chosen = key_of(visitor.fields), read_quantities(visitor.fields, concert)
        if visitor.stranger:
            return see_other(login_address(_with_choice(concert, chosen)))
        visitor.require_login()
        order = await _once_more(lambda: site.shop.place_order(visitor.caller, concert.id, chosen, key))
    except AppError as error:
        return await _choose_again(site, visitor, concert, error)
    return see_other(f"/orders/{order.id}")


async def _choose_again(site: Site, visitor: Visitor, concert: Concert, error: AppError) -> Response:
    if not is_answerable(error):
        raise error
    # What is left has changed, or the answer would be another: look again before asking again.
    current = await site.shop.concert(visitor.caller, slug=concert.slug)
    values = typed_quantities(visitor.fields, current)
    form = Form(values=values, errors=error.fields, message=error.message, key=new_key())
    return concert_page(site, visitor, current, form, status=error.status)


async def order(site: Site, visitor: Visitor, order_id: str) -> Response:
    visitor.require_login()
    found = await site.shop.order(visitor.caller, order_id)
    return _order_page(site, visitor, found, Form(key=new_key()))


def _order_page(site: Site, visitor: Visitor, found: Order, form: Form, status: int = 200) -> Response:
    phase = phase_of(found, site.now())
    title = _TITLES[phase]
    return page(
        site,
        visitor,
        f"order_{phase}.html",
        title=f"{title} · order {found.number}",
        status=status,
        look_again=(CHECK_AGAIN_S, f"/orders/{found.id}") if phase is Phase.CHECKING else None,
        order=found,
        form=form,
        steps=story(found),
        why=why_cancelled(found),
        money=about_money(found, visitor.reader.money(found.total)),
        sandbox=site.sandbox,
    )


async def _was_sent(site: Site, visitor: Visitor, order_id: str) -> bool:
    """Whether a payment is on its way, as far as that can be told."""
    try:
        found = await site.shop.order(visitor.caller, order_id)
    except AppError:
        return False
    return phase_of(found, site.now()) in {Phase.CHECKING, Phase.CONFIRMED}


_TITLES = {
    Phase.CHECKOUT: "Pay for your tickets",
    Phase.CHECKING: "Checking your payment",
    Phase.LAPSED: "Your hold has ended",
    Phase.CONFIRMED: "Your tickets",
    Phase.CANCELLED: "Cancelled",
}


async def pay_order(site: Site, visitor: Visitor, order_id: str) -> Response:
    visitor.require_login()
    try:
        key, card = key_of(visitor.fields), read_card(visitor.fields)
        await _once_more(lambda: site.shop.pay_order(visitor.caller, order_id, card, key))
    except NotFound:
        raise
    except Unavailable as error:
        if await _was_sent(site, visitor, order_id):
            return see_other(f"/orders/{order_id}")  # which looks again by itself until the bank has answered
        held = f" Your tickets stay held until {until}." if (until := _held_until(visitor)) else ""
        raise Unavailable(_UNKNOWN_PAYMENT + held, retry_after_s=error.retry_after_s) from error
    except AppError as error:
        return await _pay_again(site, visitor, order_id, error)
    return see_other(f"/orders/{order_id}")


_UNKNOWN_PAYMENT = (
    "We could not finish your payment just now. If your card was charged, the tickets are yours and the "
    "order will say so in a moment; you are never charged twice."
)


def _held_until(visitor: Visitor) -> str:
    """As the checkout said it: when the part that knows is away, the form still does."""
    words = visitor.fields.get("held_until", "")
    return words if len(words) <= MAX_HELD_UNTIL and words.isprintable() else ""


async def _pay_again(site: Site, visitor: Visitor, order_id: str, error: AppError) -> Response:
    """The checkout once more, with what to do. The card is never given back."""
    if not is_answerable(error):
        raise error
    found = await site.shop.order(visitor.caller, order_id)
    form = Form(errors=error.fields, message=error.message, key=new_key())
    return _order_page(site, visitor, found, form, status=error.status)


async def cancel_order(site: Site, visitor: Visitor, order_id: str) -> Response:
    visitor.require_login()
    try:
        await _once_more(lambda: site.shop.cancel_order(visitor.caller, order_id))
    except Conflict as error:
        found = await site.shop.order(visitor.caller, order_id)
        form = Form(message=error.message, key=new_key())
        return _order_page(site, visitor, found, form, status=error.status)
    return see_other(f"/orders/{order_id}")


async def back_to_order(site: Site, visitor: Visitor, order_id: str) -> Response:
    """For a reload of an address that only takes forms. Nothing is known of the id: it may hold anything."""
    return see_other(f"/orders/{quote(order_id, safe='')}")


async def my_orders(site: Site, visitor: Visitor) -> Response:
    visitor.require_login()
    after, trail = request.args.get("after", ""), request.args.getlist("back")[-MAX_TRAIL:]
    if any(len(cursor) > MAX_CURSOR or not cursor.isascii() for cursor in (after, *trail)):
        raise Invalid("This page of your orders does not exist.")
    found = await site.shop.my_orders(visitor.caller, first=PAGE_SIZE, after=after)
    cursor = found.page_info.end_cursor if found.page_info.has_next_page else None
    *earlier, before = trail or [""]
    return page(
        site,
        visitor,
        "orders.html",
        title="My orders",
        orders=found.nodes,
        before=_orders_address(before, earlier) if after else None,
        after=_orders_address(cursor, [*trail, after]) if cursor else None,
    )


def _orders_address(after: str, trail: list[str]) -> str:
    pairs = [("after", after)] if after else []
    pairs += [("back", cursor) for cursor in trail]
    return f"/orders?{urlencode(pairs)}" if pairs else "/orders"


async def order_calendar(site: Site, visitor: Visitor, order_id: str) -> Response:
    """The concert for the buyer's calendar."""
    visitor.require_login()
    found = await site.shop.order(visitor.caller, order_id)
    if found.concert is None or found.status != "CONFIRMED":
        raise NotFound("This order has no calendar entry.")
    address = f"{site.public_url}/orders/{found.id}"
    content = calendar_file(found, found.concert, address, site.now())
    response = Response(content, mimetype="text/calendar")
    response.headers["Content-Disposition"] = f'attachment; filename="ticketflow-{found.number}.ics"'
    return response


async def _once_more(act: Callable[[], Awaitable[T]]) -> T:
    """Waits for an answer that is still being made, when a form was sent twice: both get the same."""
    for _ in range(TWICE_TRIES - 1):
        try:
            return await act()
        except Conflict as error:
            if error.retry_after_s is None:
                raise
            await asyncio.sleep(min(error.retry_after_s, TWICE_MAX_WAIT_S))
    return await act()


def _with_choice(concert: Concert, chosen: dict[str, int]) -> str:
    """The concert's page with this choice filled in."""
    pairs = {QUANTITY_PREFIX + tier: quantity for tier, quantity in chosen.items()}
    return f"/concerts/{concert.slug}?{urlencode(pairs)}"
