"""A release that words lines anew: what some templates say from a time on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import polars as pl

from offbeat.simulate.chance import Chance
from offbeat.simulate.shop import FLOWS, TEMPLATES, WEIGHTS

# What a statement says after the release, by name. Values keep their names, so each line still holds what it held.
_ANEW: Final = """
auth.token       checked session token for {user}
auth.attempt     {user} attempts to log in from {ip}
auth.accepted    user {user} logged in after {ms} ms
auth.failed      rejected login of {user} from {ip}: bad credentials
auth.reset       sent password reset to mailbox of {user}
auth.profile     read user profile ({user}, {ms} ms)
auth.admin       checking administrator right: {user}
auth.device      recognised device, owner {user}
auth.error       request failed, connection to session store refused
catalog.hit      cache hit: product {item}, {ms} ms
catalog.miss     cache miss: product {item}
catalog.read     loaded product {item} from database, took {ms} ms
catalog.absent   no such product: {item}
catalog.similar  product {item} resembles {count} other products
catalog.price    converted price of product {item}, campaign {word}
catalog.error    request failed, price of product {item} cannot be decoded
search.found     found {count} products for query {word} in {ms} ms
search.none      nothing found for query {word}
search.spelling  corrected spelling of query: {word}
search.error     request failed, no answer from index shard {count}
cart.added       put product {item} into cart of {user} ({count} now)
cart.loaded      loaded {count} products in cart of {user}, {ms} ms
cart.merged      merged anonymous cart of {count} products into cart of {user}
cart.coupon      cart of {user}: no applicable coupon
cart.conflict    concurrent change to cart of {user}, attempt {count}
cart.error       request failed, another writer holds cart of {user}
order.created    new order {order} by {user}, {count} products
order.confirmed  confirmed order {order} after {ms} ms
order.declined   payment declined, order {order} cancelled
order.short      out of stock, order {order} cancelled
order.status     read status, order {order}, {ms} ms
order.invoice    numbered invoice of order {order}
inventory.hold   order {order}: holding {count} units, {ms} ms
inventory.low    only {count} units left of product {item}
inventory.none   product {item} not in stock, order {order}
inventory.free   order {order}: released {count} units
payment.start    order {order}: authorising payment of {amount} EUR
payment.slow     order {order}: slow provider, retry {count}
payment.ok       order {order}: payment authorised after {ms} ms
payment.declined order {order}: provider declined payment
payment.risk     risk rating {count} for order {order}
shipping.booked  booked parcel of order {order} after {ms} ms
shipping.pickup  order {order}: offering {count} pickup points
notifier.queued  queued mail to {user} confirming order {order}
notifier.sent    sent mail confirming order {order} after {ms} ms
notifier.push    accepted push message on order {order}
gateway.limit    {ip} may send {count} more requests
auth.expired     dropped {count} expired sessions
search.indexed   refreshed index, {count} documents, {ms} ms
"""
# The same for what every route and every instance writes: the last part of the name, and a pattern of the old text.
_IN: Final = re.compile(r"received (\w+ \S+) from \{ip\}")
_OUT: Final = re.compile(r"answered (\w+ \S+) with (\d+) in \{ms\} ms")
_EVERYWHERE: Final = {
    "health": "healthy: {count} open connections",
    "gc": "garbage collection took {ms} ms, heap {mem} percent",
    "pool": "connection pool: {count} of 50 in use",
}


def _anew(name: str, text: str) -> str | None:
    """Return what a template says after a release, None where it always says the same."""
    own = dict(line.split(None, 1) for line in _ANEW.strip().splitlines())
    if name in own:
        return own[name]
    last = name.split(".")[1]
    if last in _EVERYWHERE:
        return _EVERYWHERE[last]
    if found := _IN.fullmatch(text):
        return f"request {found[1]} by client {{ip}}"
    if found := _OUT.fullmatch(text):
        return f"request {found[1]} completed: status {found[2]}, {{ms}} ms"
    return None


ANEW: Final[dict[int, str]] = {
    code: text for code, t in enumerate(TEMPLATES) if (text := _anew(t.name, t.text)) is not None
}


def _statements() -> list[frozenset[int]]:
    """Return the statements that requests write every day; what the gateway says of all routes is one statement."""
    usual = {int(code) for flow, weight in zip(FLOWS, WEIGHTS, strict=True) if weight for code in flow.template}
    shared = [frozenset(code for code in ANEW if kind.fullmatch(TEMPLATES[code].text)) for kind in (_IN, _OUT)]
    return [*shared, *(frozenset({code}) for code in sorted(usual) if not any(code in group for group in shared))]


#: Of which a release changes a share.
STATEMENTS: Final = _statements()


@dataclass(frozen=True)
class Reworded:
    """Which templates a release words anew, and from when on (milliseconds after the log's start)."""

    codes: frozenset[int]
    since: int

    @classmethod
    def draw(cls, share: float, since: float, chance: Chance) -> Reworded:
        """Return a share of the usual statements, at random; ``since`` in seconds after the log's start."""
        able = [group for group in STATEMENTS if group <= ANEW.keys()]
        order = chance.order(len(able))
        many = min(len(able), round(share * len(STATEMENTS)))
        return cls(frozenset(code for i in order[:many] for code in able[int(i)]), round(since * 1000))

    def of(self, rows: pl.DataFrame) -> pl.Series:
        """Return which rows are worded anew."""
        anew = pl.col("template").is_in(sorted(self.codes)) & (pl.col("time") >= self.since)
        return rows.select(anew.alias("anew"))["anew"]
