"""The rules of tickets, orders and money: from what was read to what does not add up.

Each rule is a function of the books alone, so that each can be shown to fire on books that break it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from services.apphost.audit.records import Books, Charge, Finding, Hold, Order, Payment

Rule = Callable[[Books], Iterable[Finding]]

OPEN_PAYMENTS: Final = frozenset({"started", "unclear"})
EXPIRY_PATIENCE_S: Final = 30.0  # how long after its hold an unpaid order may wait to be cancelled
LAPSE_MARGIN_S: Final = 2.0  # two clocks say when a hold ends: the catalog's, and that of the order made from it
MAX_KEY_LEASE_S: Final = 120.0  # a key taken for longer is no request at work

# What the provider must say of an attempt in each state. An open one may be anything, also unknown there.
AGREEMENT: Final = {
    "succeeded": {"succeeded"},
    "declined": {"declined"},
    "void": {"voided", "refunded"},
    "refunded": {"refunded", "voided"},
}


def tickets_add_up(books: Books) -> Iterator[Finding]:
    """For each concert, tickets = free + held + sold."""
    for stock in books.catalog.stocks:
        counted = stock.free + stock.held + stock.sold
        if counted != stock.capacity:
            yield Finding(
                f"concert {stock.slug} ({stock.concert_id})",
                f"has {stock.capacity} tickets, but {stock.free} are free, {stock.held} held and {stock.sold} sold",
            )


def holds_have_their_tickets(books: Books) -> Iterator[Finding]:
    """All of a hold's tickets, or none, as its state says."""
    for hold in books.catalog.holds:
        if (hold.held, hold.sold) != _tickets_of(hold):
            what = f"hold of order {hold.order_id}"
            yield Finding(
                what, f"is {hold.state} for {hold.quantity} tickets, but {hold.held} are held and {hold.sold} sold"
            )


def sold_tickets_have_orders(books: Books) -> Iterator[Finding]:
    """No ticket is sold without a confirmed order that names it with the same code."""
    orders, open_ids = _orders(books), _open_orders(books)
    for seat in books.catalog.seats:
        order = orders.get(seat.order_id)
        if seat.code is None or (order and order.status == "CONFIRMED" and order.tickets.get(seat.id) == seat.code):
            continue
        owner = f"{order.name}, which is {order.status}" if order else f"order {seat.order_id}, which does not exist"
        owing = order is not None and (order.id in open_ids or order.release_due)
        yield Finding(f"ticket {seat.id}", f"is sold to {owner} or has it otherwise", passing=owing)


def confirmed_orders_have_their_tickets(books: Books) -> Iterator[Finding]:
    """Exactly the tickets, with the codes, that the catalog has sold to the order."""
    sold: dict[str, dict[str, str | None]] = defaultdict(dict)
    for seat in books.catalog.seats:
        if seat.code:
            sold[seat.order_id][seat.id] = seat.code
    for order in _with_status(books, "CONFIRMED"):
        if dict(order.tickets) != sold[order.id]:
            wrong = sorted(set(order.tickets.items()) ^ set(sold[order.id].items()), key=str)
            tickets = ", ".join(sorted({id_ for id_, _ in wrong}))
            yield Finding(order.name, f"is CONFIRMED, and the catalog does not agree about its tickets {tickets}")


def pending_orders_hold_their_tickets(books: Books) -> Iterator[Finding]:
    """Until the lease ends; after that the tickets may be anybody's, and the order is soon cancelled."""
    held: dict[str, set[str]] = defaultdict(set)
    for seat in books.catalog.seats:
        held[seat.order_id].add(seat.id)
    open_ids = _open_orders(books)
    for order in _with_status(books, "PENDING"):
        paying = order.id in open_ids
        if order.overdue_s < -LAPSE_MARGIN_S and set(order.tickets) != held[order.id]:
            yield Finding(order.name, "is PENDING, and the catalog does not hold its tickets", passing=paying)
        if order.overdue_s > EXPIRY_PATIENCE_S:
            what = f"is still PENDING {order.overdue_s:.0f} s after its hold ended"
            yield Finding(order.name, what, passing=True)


def cancelled_orders_hold_nothing(books: Books) -> Iterator[Finding]:
    holding = {seat.order_id for seat in books.catalog.seats}
    for order in _with_status(books, "CANCELLED"):
        if order.id in holding:
            yield Finding(order.name, "is CANCELLED, and has tickets in the catalog", passing=order.release_due)
        elif order.release_due:
            yield Finding(order.name, "is CANCELLED, and its tickets are still to be freed", passing=True)
        if any(order.tickets.values()):
            yield Finding(order.name, "is CANCELLED, and its tickets still have codes")


def no_ticket_is_in_two_live_orders(books: Books) -> Iterator[Finding]:
    owners: dict[str, list[Order]] = defaultdict(list)
    for order in books.ordering.orders:
        if order.status == "CONFIRMED" or (order.status == "PENDING" and order.overdue_s < -LAPSE_MARGIN_S):
            for ticket_id in order.tickets:
                owners[ticket_id].append(order)
    for ticket_id, orders in owners.items():
        if len(orders) > 1:
            names = " and ".join(sorted(order.name for order in orders))
            yield Finding(f"ticket {ticket_id}", f"is in several live orders: {names}")


def orders_are_whole(books: Books) -> Iterator[Finding]:
    """So many tickets as the lines say, at their prices, of a person with an account."""
    for order in books.ordering.orders:
        if len(order.tickets) != order.quantity:
            yield Finding(order.name, f"is for {order.quantity} tickets, and has {len(order.tickets)}")
        if order.lines_minor != order.total_minor:
            yield Finding(order.name, f"adds up to {order.lines_minor}, and its total is {order.total_minor}")
        if order.user_id not in books.identity.user_ids:
            yield Finding(order.name, f"belongs to user {order.user_id}, who has no account")


def payments_have_an_outcome(books: Books) -> Iterator[Finding]:
    """Every attempt has ended, every refund is done, and the provider says the same."""
    charges = {charge.payment_id: charge for charge in books.charges}
    for payment in books.ordering.payments:
        what = f"payment {payment.id} of order {payment.order_id}"
        if payment.state not in AGREEMENT:
            yield Finding(what, f"has no outcome yet: it is {payment.state}", passing=True)
            continue
        charge = charges.get(payment.id)
        if charge is None or charge.status not in AGREEMENT[payment.state]:
            told = f"has it as {charge.status}" if charge else "does not know it"
            yield Finding(what, f"is {payment.state}, and the provider {told}")
        elif payment.state == "succeeded" and _amount(charge) != _amount(payment):
            yield Finding(what, f"is of {_amount(payment)}, and the provider charged {_amount(charge)}")


def charges_belong_to_confirmed_orders(books: Books) -> Iterator[Finding]:
    """Money that was taken and not given back has bought tickets, and once."""
    orders = _orders(books)
    payments = {payment.id: payment for payment in books.ordering.payments}
    paid: Counter[str] = Counter()
    for charge in _kept(books):
        payment = payments.get(charge.payment_id)
        if payment is None:
            yield Finding(f"charge {charge.payment_id}", "was taken, and no order knows of it")
            continue
        paid[payment.order_id] += 1
        order = orders.get(payment.order_id)
        if payment.state in AGREEMENT and (order is None or order.status != "CONFIRMED"):
            what = f"was taken for order {payment.order_id}, which is {order.status if order else 'unknown'}"
            yield Finding(f"charge {charge.payment_id}", what)
    for order_id, times in paid.items():
        if times > 1:
            yield Finding(f"order {order_id}", f"was charged {times} times")


def confirmed_orders_are_paid(books: Books) -> Iterator[Finding]:
    """By one payment, of their total."""
    paid: dict[str, list[Payment]] = defaultdict(list)
    for payment in books.ordering.payments:
        if payment.state == "succeeded":
            paid[payment.order_id].append(payment)
    for order in _with_status(books, "CONFIRMED"):
        amounts = [_amount(payment) for payment in paid[order.id]]
        if amounts != [f"{order.total_minor} {order.currency}"]:
            found = ", ".join(amounts) or "nothing"
            yield Finding(order.name, f"costs {order.total_minor} {order.currency}, and was paid {found}")


def money_adds_up(books: Books) -> Iterator[Finding]:
    """What the provider charged and did not refund is the total of the confirmed orders, in each currency."""
    balance: Counter[str] = Counter()
    for charge in _kept(books):
        balance[charge.currency] += charge.amount_minor
    for order in _with_status(books, "CONFIRMED"):
        balance[order.currency] -= order.total_minor
    in_flight = any(payment.state not in AGREEMENT for payment in books.ordering.payments)
    for currency, difference in balance.items():
        if difference:
            what = f"the provider has kept {difference:+} (minor units) against the confirmed orders"
            yield Finding(f"money in {currency}", what, passing=in_flight)


def answers_are_true(books: Books) -> Iterator[Finding]:
    """What a buyer was told about an order, by ordering's own record of its answers or by the buyer's, is so."""
    told = [(f"answer to {key.name}", key.order_id, key.order_status) for key in books.ordering.keys if key.order_id]
    told += [("the buyer", order_id, status) for order_id, status in books.acknowledged.items()]
    orders = _orders(books)
    for who, order_id, status in told:
        order = orders.get(order_id or "")
        if order is None:
            yield Finding(f"order {order_id}", f"was acknowledged ({who}), and does not exist")
        elif status == "CONFIRMED" and order.confirmed_at is None:
            yield Finding(order.name, f"was acknowledged as confirmed ({who}), and never was")


def keys_are_free(books: Books) -> Iterator[Finding]:
    """A request without an answer can be repeated soon."""
    for key in books.ordering.keys:
        if key.status is None and key.leased_s > MAX_KEY_LEASE_S:
            yield Finding(f"idempotency key {key.name}", "is stuck: it is taken, and will be for long")


def logins_can_go_on(books: Books) -> Iterator[Finding]:
    """A refresh token is not spent without a successor."""
    for family in books.identity.broken_families:
        yield Finding(f"login {family}", "has no live refresh token, and was not ended")


RULES: Final[tuple[Rule, ...]] = (
    tickets_add_up,
    holds_have_their_tickets,
    sold_tickets_have_orders,
    confirmed_orders_have_their_tickets,
    pending_orders_hold_their_tickets,
    cancelled_orders_hold_nothing,
    no_ticket_is_in_two_live_orders,
    orders_are_whole,
    payments_have_an_outcome,
    charges_belong_to_confirmed_orders,
    confirmed_orders_are_paid,
    money_adds_up,
    answers_are_true,
    keys_are_free,
    logins_can_go_on,
)


def _tickets_of(hold: Hold) -> tuple[int, int]:
    """How many tickets of a hold should be held, and how many sold."""
    if hold.state == "CONFIRMED":
        return 0, hold.quantity
    return (hold.quantity if hold.state == "HELD" and hold.running else 0), 0


def _orders(books: Books) -> dict[str, Order]:
    return {order.id: order for order in books.ordering.orders}


def _with_status(books: Books, status: str) -> Iterator[Order]:
    return (order for order in books.ordering.orders if order.status == status)


def _open_orders(books: Books) -> set[str]:
    """Orders that somebody is paying: what happens to their tickets is not written down yet."""
    return {payment.order_id for payment in books.ordering.payments if payment.state in OPEN_PAYMENTS}


def _kept(books: Books) -> Iterator[Charge]:
    return (charge for charge in books.charges if charge.status == "succeeded")


def _amount(money: Payment | Charge) -> str:
    return f"{money.amount_minor} {money.currency}"
