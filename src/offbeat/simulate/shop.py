"""The simulated shop: its services, what each of them logs, and which lines a request leaves behind.

A request is a *flow*: lines of several services in an order that is fixed but for optional and asynchronous steps.
Everything here is data; nothing here is drawn.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np

#: Services and how many instances each runs. ``deployer`` writes about releases only.
SERVICES: Final[dict[str, int]] = {
    "gateway": 3,
    "auth": 2,
    "catalog": 3,
    "search": 2,
    "cart": 2,
    "order": 2,
    "inventory": 2,
    "payment": 2,
    "shipping": 1,
    "notifier": 1,
    "deployer": 1,
}
NAMES: Final = tuple(SERVICES)
NODES: Final = 7  # machines the instances are spread over
GATEWAY: Final = 0
DEPLOYER: Final = NAMES.index("deployer")

_WORDS: Final = (
    "lamp kettle jacket notebook backpack tent charger guitar blender carpet sandals helmet pillow camera "
    "teapot umbrella drill monitor scarf puzzle"
)
_FIRST_NAMES: Final = (
    "maria jonas aisha pedro yuki elena omar ingrid ravi chloe tomas fatima lukas mei sofia david nadia erik "
    "laura hugo amira paul irene viktor"
)
WORDS: Final = tuple(_WORDS.split())
FIRST_NAMES: Final = tuple(_FIRST_NAMES.split())


@dataclass(frozen=True)
class Template:
    """One log statement of a service.

    Attributes:
        service: index into NAMES.
        level: as written into the log.
        text: the message; ``{user} {ip} {item} {order} {count} {amount} {word} {ms} {mem} {version} {target}`` vary.
        work: typical milliseconds of work before the line is written.
        status: the HTTP status, or 0 where the line has none.
        count: the range of ``{count}``, both ends included.
    """

    name: str
    service: int
    level: str
    text: str
    work: float
    status: int = 0
    count: tuple[int, int] = (1, 9)

    @property
    def timed(self) -> bool:
        """Whether the line carries ``duration_ms``."""
        return "{ms}" in self.text


# name | level | typical work in ms | range of count | text
_STATEMENTS: Final = """
auth.token       INFO  3   1-9      session of {user} checked
auth.attempt     INFO  6   1-9      login attempt for {user} from {ip}
auth.accepted    INFO  60  1-9      login accepted for {user} in {ms} ms
auth.failed      WARN  70  1-9      login failed for {user} from {ip}: wrong password
auth.locked      WARN  4   5-30     account of {user} locked for {count} minutes
auth.reset       INFO  25  1-9      password reset mail requested for {user}
auth.profile     INFO  18  1-9      profile of {user} read in {ms} ms
auth.admin       INFO  9   1-9      administrator right of {user} checked
auth.device      INFO  5   1-9      device of {user} recognised
auth.error       ERROR 40  1-9      handler failed: session store refused the connection
catalog.hit      INFO  8   1-9      product {item} served from cache in {ms} ms
catalog.miss     INFO  3   1-9      product {item} not in cache
catalog.read     INFO  45  1-9      product {item} read from database in {ms} ms
catalog.absent   WARN  12  1-9      product {item} does not exist
catalog.similar  INFO  22  2-12     {count} similar products found for product {item}
catalog.price    INFO  4   1-9      price of product {item} converted for {word} campaign
catalog.stale    WARN  6   5-90     product {item} is {count} minutes stale, refresh queued
catalog.error    ERROR 30  1-9      handler failed: cannot decode price of product {item}
search.found     INFO  55  1-240    query {word} returned {count} products in {ms} ms
search.none      INFO  50  1-9      query {word} matches nothing
search.spelling  INFO  9   1-9      spelling of query corrected to {word}
search.error     ERROR 80  0-15     handler failed: index shard {count} did not answer
cart.added       INFO  14  1-12     product {item} added to cart of {user}, {count} in cart
cart.loaded      INFO  20  1-12     cart of {user} with {count} products loaded in {ms} ms
cart.merged      INFO  11  1-5      {count} products of anonymous cart merged for {user}
cart.coupon      INFO  7   1-9      no coupon applies to cart of {user}
cart.conflict    WARN  15  2-3      cart of {user} changed meanwhile, attempt {count}
cart.error       ERROR 35  1-9      handler failed: cart of {user} is held by another writer
order.created    INFO  25  1-12     order {order} created for {user} with {count} products
order.confirmed  INFO  16  1-9      order {order} confirmed in {ms} ms
order.declined   WARN  12  1-9      order {order} cancelled: payment declined
order.short      WARN  12  1-9      order {order} cancelled: out of stock
order.status     INFO  21  1-9      status of order {order} read in {ms} ms
order.report     INFO  900 200-9000 report over {count} orders written in {ms} ms
order.invoice    INFO  9   1-9      invoice for order {order} numbered
order.error      ERROR 45  1-9      handler failed: order {order} violates a constraint
inventory.hold   INFO  28  1-12     {count} units held for order {order} in {ms} ms
inventory.low    WARN  11  1-3      product {item} is low, {count} units left
inventory.none   WARN  24  1-9      no stock of product {item} for order {order}
inventory.free   INFO  13  1-12     {count} units of order {order} released
inventory.error  ERROR 60  1-9      handler failed: stock table is locked
payment.start    INFO  10  900-42000 authorising {amount} EUR for order {order}
payment.slow     WARN  400 1-2      provider slow for order {order}, retry {count}
payment.ok       INFO  240 1-9      payment of order {order} authorised in {ms} ms
payment.declined WARN  210 1-9      payment of order {order} declined by provider
payment.risk     INFO  30  1-99     risk of order {order} rated {count}
payment.error    ERROR 90  1-9      handler failed: provider answered with an unknown code
shipping.booked  INFO  180 1-9      parcel for order {order} booked in {ms} ms
shipping.pickup  INFO  30  2-9      {count} pickup points offered for order {order}
notifier.queued  INFO  40  1-9      confirmation of order {order} queued for {user}
notifier.sent    INFO  700 1-9      confirmation of order {order} sent in {ms} ms
notifier.push    INFO  90  1-9      push message for order {order} accepted
gateway.limit    INFO  1   1-90     {count} requests left for {ip}
gateway.opened   WARN  1   20-40    maintenance window opened for {count} minutes
gateway.closed   INFO  1   1-9      maintenance window closed
gateway.switched WARN  1   1-3      database switched to replica {count}
deployer.start   INFO  1   1-9      rollout of {target} {version} started
deployer.done    INFO  1   1-9      rollout of {target} {version} finished
deployer.back    WARN  1   1-9      rollout of {target} {version} reverted
auth.expired     INFO  1   5-300    {count} sessions expired
search.indexed   INFO  9000 900-2500 index of {count} documents refreshed in {ms} ms
inventory.begin  INFO  1   1-9      nightly stock check started
inventory.finish INFO  1   0-40     nightly stock check finished with {count} differences
"""

# route, method, path, name in the log, statuses its completion may carry
_ROUTES: Final = """
browse   GET  /products/{item}
search   GET  /search?q={word}
login    POST /login
add      POST /cart/items
view     GET  /cart
checkout POST /checkout
track    GET  /orders/{order}
account  GET  /account
report   POST /admin/report
"""

# What every instance of every service writes from time to time, by name.
_EVERYWHERE: Final = """
health   INFO 1   4-60  health check passed, {count} connections open
gc       INFO 25  1-9   garbage collected in {ms} ms, heap at {mem} percent
pool     INFO 1   2-34  {count} of 50 pooled connections in use
stopping INFO 1   1-9   instance stopping
started  INFO 1   1-9   instance started, version {version}
killed   ERROR 1  1-9   instance killed: out of memory
"""

# Weight, route and steps of a request. A step is a template with, optionally: ``?p`` present with probability p,
# ``&`` asynchronous (its line may come before or after the next ones), ``+k`` present since release k added it.
# Lines that begin with a blank go on.
_FLOWS: Final = """
300 browse   browse.in auth.token?.5 gateway.limit+7 catalog.hit catalog.price?.6+4 catalog.stale?.03
    catalog.similar?.8+0 browse.200
75  browse   browse.in auth.token?.5 catalog.miss catalog.read catalog.price?.6+4 browse.200
16  browse   browse.in catalog.miss catalog.absent browse.404
150 search   search.in gateway.limit+7 search.spelling?.2+1 search.found search.200
14  search   search.in search.none search.200
75  login    login.in auth.attempt auth.accepted auth.device?.7+3 cart.merged?.2 login.200
9   login    login.in auth.attempt auth.failed login.401
2   login    login.in auth.attempt auth.failed auth.reset login.401
100 add      add.in auth.token catalog.hit cart.conflict?.02 cart.added cart.coupon?.5+2 add.200
60  view     view.in auth.token cart.loaded view.200
90  checkout checkout.in auth.token cart.loaded order.created inventory.hold inventory.low?.05 payment.start
    payment.risk+5 payment.slow?.03 payment.ok order.confirmed order.invoice+6 shipping.booked?.97&
    shipping.pickup?.5&+8 notifier.queued?.98& notifier.push?.4&+9 notifier.sent?.96& checkout.201
6   checkout checkout.in auth.token cart.loaded order.created inventory.hold payment.start payment.risk+5
    payment.slow?.1 payment.declined order.declined inventory.free checkout.402
2   checkout checkout.in auth.token cart.loaded order.created inventory.none order.short checkout.409
60  track    track.in auth.token order.status track.200
35  account  account.in auth.token auth.profile account.200
2   report   report.in auth.token auth.admin order.report report.200
0   checkout checkout.in auth.token cart.loaded order.created inventory.hold order.confirmed
    shipping.booked?.97& notifier.queued?.98& notifier.sent?.96& checkout.201
"""
FEATURES: Final = 10  # releases 0 … 9 each add the statement marked +k above


def _templates() -> tuple[Template, ...]:
    found = []
    for line in _STATEMENTS.strip().splitlines():
        name, level, work, count, text = line.split(None, 4)
        low, high = (int(end) for end in count.split("-"))
        found.append(Template(name, NAMES.index(name.split(".")[0]), level, text, float(work), 0, (low, high)))
    for line in _ROUTES.strip().splitlines():
        route, method, path = line.split()
        found.append(Template(f"{route}.in", GATEWAY, "INFO", f"received {method} {path} from {{ip}}", 2.0))
        for status in (200, 201, 401, 402, 404, 409, 500):
            level = "WARN" if status == 500 else "INFO"
            text = f"answered {method} {path} with {status} in {{ms}} ms"
            found.append(Template(f"{route}.{status}", GATEWAY, level, text, 3.0, status))
    for line in _EVERYWHERE.strip().splitlines():
        name, level, work, count, text = line.split(None, 4)
        low, high = (int(end) for end in count.split("-"))
        found += [
            Template(f"{service}.{name}", index, level, text, float(work), 0, (low, high))
            for index, service in enumerate(NAMES)
        ]
    return tuple(found)


TEMPLATES: Final = _templates()
CODE: Final[dict[str, int]] = {template.name: code for code, template in enumerate(TEMPLATES)}


@dataclass(frozen=True)
class Flow:
    """The lines one kind of request writes, one array entry a step.

    Attributes:
        weight: how often it comes, against the others; 0 for what only faults bring about.
        chance: probability of each step; ``later`` marks the asynchronous ones; ``feature`` is the release that
            brought the step, or -1.
        done: position of the gateway's answer.
    """

    route: str
    weight: float
    template: np.ndarray
    service: np.ndarray
    chance: np.ndarray
    later: np.ndarray
    feature: np.ndarray

    @property
    def done(self) -> int:
        """Position of the gateway's answer, which is always the last step."""
        return len(self.template) - 1

    @property
    def lines(self) -> float:
        """Expected number of lines before any release."""
        return math.fsum(self.chance[self.feature < 0])


def _flow(route: str, weight: float, steps: list[str]) -> Flow:
    parts = [re.fullmatch(r"([a-z]+\.[a-z0-9]+)(?:\?([.\d]+))?(&?)(?:\+(\d+))?", step) for step in steps]
    groups = [part.groups() for part in parts if part is not None]
    template = np.array([CODE[name] for name, *_ in groups])
    return Flow(
        route,
        weight,
        template,
        np.array([TEMPLATES[code].service for code in template]),
        np.array([float(chance or 1) for _, chance, *_ in groups]),
        np.array([bool(later) for *_, later, _ in groups]),
        np.array([int(feature) if feature else -1 for *_, feature in groups]),
    )


def _flows() -> tuple[tuple[Flow, ...], np.ndarray]:
    flows: list[Flow] = []
    steps: list[list[str]] = []
    for line in _FLOWS.strip().replace("\n  ", " ").splitlines():
        weight, route, *names = line.split()
        steps.append(names)
        flows.append(_flow(route, float(weight), names))
    failing = np.full((len(flows), len(NAMES)), -1)
    for index, names in enumerate(steps):
        for service in dict.fromkeys(flows[index].service[1:-1]):
            # up to where the service would have logged, then its failure and the gateway's answer
            first = int(np.argmax(flows[index].service == service))
            if service == GATEWAY or f"{NAMES[service]}.error" not in CODE or flows[index].later[first]:
                continue
            failing[index, service] = len(flows)
            route = flows[index].route
            flows.append(_flow(route, 0.0, [*names[:first], f"{NAMES[service]}.error", f"{route}.500"]))
    return tuple(flows), failing


FLOWS, FAILING = _flows()  # FAILING[flow, service] is the flow as it ends when that service fails, or -1
BASE_FLOWS: Final = FAILING.shape[0]
WEIGHTS: Final = np.array([flow.weight for flow in FLOWS])
USES: Final = np.array([[service in flow.service for service in range(len(NAMES))] for flow in FLOWS])
LINES_A_FLOW: Final = math.fsum(flow.weight * flow.lines for flow in FLOWS) / math.fsum(WEIGHTS)
UNPAID: Final = BASE_FLOWS - 1  # the checkout that skips the payment


def flow_of(route: str, last: str) -> int:
    """The first flow of a route that ends with the given answer, as ``flow_of("login", "401")``."""
    return next(i for i, flow in enumerate(FLOWS) if flow.template[flow.done] == CODE[f"{route}.{last}"])
