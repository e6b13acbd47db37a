"""What some software might write while nothing is wrong: logs made from seeds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

Event = tuple[datetime, str]
START = datetime(2026, 3, 2, 6, tzinfo=UTC)


def busy(rng: random.Random, n: int, mean: float, rhythm: bool) -> Iterator[datetime]:
    """Yield ``n`` times, ``mean`` seconds apart on average; by night a fifth as many as by day, with a rhythm."""
    now = START
    for _ in range(n):
        slow = 1.0 if not rhythm else (0.6 if 8 <= now.hour < 20 else 3.0)
        now += timedelta(seconds=rng.expovariate(1 / (mean * slow)))
        yield now


def after(rng: random.Random, now: datetime, mean: float) -> datetime:
    """Return a time some while later, log-normal about ``mean`` seconds."""
    return now + timedelta(seconds=mean * rng.lognormvariate(-0.1, 0.5))


def written(events: list[Event], n: int) -> list[str]:
    """Return the first ``n`` texts in the order of time."""
    return [text for _, text in sorted(events, key=lambda e: e[0])[:n]]


def daemons(n: int, seed: int, rhythm: bool = False) -> list[str]:
    """Syslog of a host: daemons that keep their process number, timers, cron jobs, logins by key."""
    rng = random.Random(seed)
    out: list[Event] = []

    def say(now: datetime, who: str, text: str) -> None:
        out.append((now, f"{now:%b %d %H:%M:%S} web{seed % 7} {who}: {text}"))

    pids = {who: rng.randrange(400, 1800) for who in ("ntpd", "named", "dhclient", "smartd", "postfix/qmgr")}
    jobs = (
        "/usr/lib/php/sessionclean",
        "/usr/local/bin/sync-stock",
        "run-parts /etc/cron.hourly",
        "/opt/backup/incr.sh",
    )
    for i, now in enumerate(busy(rng, max(n // 3, 40), 110, rhythm)):
        kind, pid = rng.choices(range(7), (30, 25, 8, 6, 10, 12, 9))[0], 2000 + i * 3 + rng.randrange(3)
        if kind == 0:
            job = rng.choices(jobs, (50, 30, 15, 5))[0]
            say(now, f"CRON[{pid}]", "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)")
            say(now, f"CRON[{pid + 1}]", f"(root) CMD ({job})")
            say(after(rng, now, 4), f"CRON[{pid}]", "pam_unix(cron:session): session closed for user root")
        elif kind == 1:
            address, port = f"10.0.{rng.randrange(3)}.{rng.randrange(2, 40)}", rng.randrange(30000, 60000)
            user = rng.choice(("deploy", "anna", "backup"))
            say(now, f"sshd[{pid}]", f"Accepted publickey for {user} from {address} port {port} ssh2")
            say(now, f"sshd[{pid}]", f"pam_unix(sshd:session): session opened for user {user}(uid=100{len(user)})")
            end = after(rng, now, 90)
            if rng.random() < 0.7:
                say(end, f"sshd[{pid}]", f"Received disconnect from {address} port {port}:11: disconnected by user")
            say(end, f"sshd[{pid}]", f"pam_unix(sshd:session): session closed for user {user}")
        elif kind == 2:
            say(now, f"ntpd[{pids['ntpd']}]", f"adjusting local clock by {rng.uniform(-0.02, 0.02):.6f}s")
        elif kind == 3:
            say(
                now, f"dhclient[{pids['dhclient']}]", f"DHCPREQUEST for 10.0.0.{seed % 200} on eth0 to 10.0.0.1 port 67"
            )
            say(now, f"dhclient[{pids['dhclient']}]", f"DHCPACK of 10.0.0.{seed % 200} from 10.0.0.1")
            say(
                now,
                f"dhclient[{pids['dhclient']}]",
                f"bound to 10.0.0.{seed % 200} -- renewal in {rng.randrange(1500, 1800)} seconds.",
            )
        elif kind == 4:
            unit = rng.choice(("Daily apt upgrade", "Clean php session files", "Rotate log files", "Update man pages"))
            say(now, "systemd[1]", f"Starting {unit}...")
            say(after(rng, now, 2), "systemd[1]", f"{unit.split()[0].lower()}.service: Succeeded.")
            say(after(rng, now, 3), "systemd[1]", f"Finished {unit}.")
        elif kind == 5:
            mail = f"{rng.randrange(16**8):08X}"
            say(
                now,
                f"postfix/qmgr[{pids['postfix/qmgr']}]",
                f"{mail}: from=<root@web>, size={rng.randrange(400, 900)}, nrcpt=1",
            )
            say(
                after(rng, now, 1),
                f"postfix/local[{pid}]",
                f"{mail}: to=<root@web>, delay={rng.uniform(0.01, 0.2):.2f}, status=sent",
            )
            say(after(rng, now, 2), f"postfix/qmgr[{pids['postfix/qmgr']}]", f"{mail}: removed")
        else:
            zone = rng.choice(("example.org", "shop.test", "0.10.in-addr.arpa"))
            say(
                now,
                f"named[{pids['named']}]",
                f"client 10.0.1.{rng.randrange(2, 60)}#{rng.randrange(2000, 60000)}: query: {zone} IN A",
            )
    return written(out, n)


def web(n: int, seed: int, rhythm: bool = False) -> list[str]:
    """Access log of a shop: visitors who follow links, their images, a health check, a crawler."""
    rng = random.Random(seed)
    pages = ["/", "/cart", "/checkout", "/about", *(f"/item/{i}" for i in range(80))]
    agents = [
        "Mozilla/5.0 (X11; Linux x86_64)",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)",
        "Mozilla/5.0 (Windows NT 10.0)",
    ]
    out: list[Event] = []

    def say(now: datetime, who: str, what: str, status: int, size: int, agent: str) -> None:
        out.append((now, f'{who} - - [{now:%d/%b/%Y:%H:%M:%S} +0000] "{what} HTTP/1.1" {status} {size} "-" "{agent}"'))

    for now in busy(rng, max(n // 8, 30), 25, rhythm):
        who, agent = (
            f"{rng.randrange(20, 200)}.{rng.randrange(250)}.{rng.randrange(250)}.{rng.randrange(1, 250)}",
            rng.choice(agents),
        )
        page = "/"
        for _ in range(1 + int(rng.expovariate(0.4))):
            status = rng.choices((200, 304, 404, 301), (90, 7, 2, 1))[0]
            say(now, who, f"GET {page}", status, 0 if status == 304 else int(rng.lognormvariate(8.5, 0.5)), agent)
            for _ in range(rng.randrange(3)):
                say(
                    now,
                    who,
                    f"GET /img/{rng.randrange(60)}.png",
                    rng.choices((200, 304), (3, 1))[0],
                    int(rng.lognormvariate(9, 1)),
                    agent,
                )
            now, page = after(rng, now, 12), rng.choice(pages)
        if rng.random() < 0.15:
            say(now, who, "POST /checkout", 302, 0, agent)
    last = max(now for now, _ in out)
    probe = START
    while probe < last:
        say(probe, "10.0.0.5", "GET /health", 200, 15, "kube-probe/1.27")
        probe += timedelta(seconds=60)
    return written(out, n)


def workers(n: int, seed: int, rhythm: bool = False) -> list[str]:
    """Python's logging of a queue's workers: tasks of three kinds, some retried once, a beat from the scheduler."""
    rng = random.Random(seed)
    out: list[Event] = []
    busy_until = [START] * 4

    def say(now: datetime, level: str, name: str, who: str, text: str) -> None:
        stamp = f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03}"
        out.append((now, f"{stamp} {level:<7} {name} [{who}] {text}"))

    for i, now in enumerate(busy(rng, max(n // 5, 40), 3, rhythm)):
        k = min(range(4), key=lambda w: busy_until[w])
        who, task = f"worker-{k + 1}", rng.choices(("resize", "mail", "report"), (6, 3, 1))[0]
        at = max(now, busy_until[k])
        say(at, "INFO", "queue.consumer", who, f"picked task {task}#{i} from queue default, {rng.randrange(9)} waiting")
        at = after(rng, at, {"resize": 1, "mail": 2, "report": 9}[task])
        if task == "resize":
            say(
                at,
                "DEBUG",
                "tasks.image",
                who,
                f"scaled image {rng.randrange(9999)} to {rng.choice((200, 400, 800))} px "
                f"in {rng.randrange(40, 400)} ms",
            )
        elif task == "mail":
            say(
                at, "INFO", "tasks.mail", who, f"sent mail to user {rng.randrange(4000)} via smtp-{rng.randrange(1, 3)}"
            )
        else:
            for part in range(rng.randrange(2, 5)):
                say(
                    after(rng, at, part),
                    "DEBUG",
                    "tasks.report",
                    who,
                    f"wrote part {part} with {rng.randrange(100, 9000)} rows",
                )
            at = after(rng, at, 6)
        if rng.random() < 0.03:
            say(at, "WARNING", "queue.consumer", who, f"task {task}#{i} timed out, trying again")
            at = after(rng, at, 2)
        say(at, "INFO", "queue.consumer", who, f"task {task}#{i} done in {rng.lognormvariate(0, 0.5):.2f} s")
        busy_until[k] = at
        if i % 20 == 0:
            say(now, "INFO", "scheduler", "beat", f"tick {i // 20}: {rng.randrange(1, 5)} periodic tasks due")
    return written(out, n)


def batch(n: int, seed: int, rhythm: bool = False) -> list[str]:
    """A load into a warehouse, run after run, table after table."""
    rng = random.Random(seed)
    out: list[Event] = []
    tables = ("customers", "orders", "items", "stock", "prices", "suppliers")
    now, run = START, 100
    while len(out) < n:

        def say(text: str, level: str = "INFO", pause: float = 1.0, run: int = run) -> None:
            nonlocal now
            now = after(rng, now, pause)
            out.append((now, f"{now:%Y-%m-%dT%H:%M:%SZ} {level} run={run} {text}"))

        say("etl started, config etl.yaml")
        say("connected to warehouse dw1 as loader")
        for table in tables:
            if table == "suppliers" and run % 6:
                continue
            rows = int(rng.lognormvariate(9, 0.3))
            say(f"extracting {table}", pause=2)
            for part in range(max(1, rows // 6000)):
                say(f"fetched chunk {part} of {table}: {min(rows, 6000)} rows", "DEBUG", 3)
            if rng.random() < 0.08:
                say(f"{table}: {rng.randrange(1, 9)} rows with empty keys skipped", "WARN")
            say(f"loaded {rows} rows into {table} in {rng.lognormvariate(2, 0.3):.1f} s", pause=5)
        say("analysed tables")
        say("etl finished")
        run += 1
        now += timedelta(seconds=3600 if rhythm else 300)
    return written(out, n)


def requests(n: int, seed: int, rhythm: bool = False) -> list[str]:
    """JSON lines of five services that serve requests, with a trace's number in each; a few health lines beside."""
    rng = random.Random(seed)
    out: list[Event] = []

    def say(now: datetime, service: str, text: str, trace: str | None, level: str = "info") -> None:
        values = {"time": f"{now:%Y-%m-%dT%H:%M:%S.%f}Z", "level": level, "service": service, "msg": text}
        out.append((now, json.dumps(values | ({"trace_id": trace} if trace else {}))))

    kinds = {
        "browse": [
            ("gateway", "GET /items received"),
            ("catalog", "query took {n} ms"),
            ("gateway", "200 sent in {n} ms"),
        ],
        "search": [
            ("gateway", "GET /search received"),
            ("search", "index returned {n} hits"),
            ("catalog", "query took {n} ms"),
            ("gateway", "200 sent in {n} ms"),
        ],
        "order": [
            ("gateway", "POST /orders received"),
            ("orders", "order {n} created"),
            ("stock", "reserved {n} pieces"),
            ("payment", "card charged {n} cents"),
            ("orders", "order {n} confirmed"),
            ("gateway", "201 sent in {n} ms"),
        ],
    }
    for i, now in enumerate(busy(rng, max(n // 4, 40), 2, rhythm)):
        kind = rng.choices(tuple(kinds), (6, 3, 1))[0]
        trace = f"{rng.randrange(16**16):016x}"
        for service, text in kinds[kind]:
            say(now, service, text.format(n=int(rng.lognormvariate(3.5, 0.6)) + 1), trace)
            now = after(rng, now, 0.05)
            if service == "catalog" and rng.random() < 0.2:
                say(now, "catalog", f"cache miss for page {rng.randrange(90)}, reading from replica", trace, "debug")
            if service == "payment" and rng.random() < 0.05:
                say(now, "payment", "gateway slow, waited once more", trace, "warn")
        if i % 25 == 0:
            say(now, rng.choice(("orders", "stock", "catalog")), f"health ok, heap {rng.randrange(30, 60)}%", None)
    return written(out, n)


def programs(n: int, seed: int, rhythm: bool = False) -> list[str]:
    """Jobs of a made-up program: each kind is a random walk over its own steps, kinds and branches of any frequency."""
    rng = random.Random(seed)
    words = ["buffer", "index", "lease", "token", "frame", "shard", "table", "route", "batch", "page", "store", "link"]
    verbs = ["opened", "closed", "flushed", "checked", "moved", "read", "merged", "sent", "locked", "freed"]
    steps = list(dict.fromkeys(f"{rng.choice(words)} {rng.choice(words)} {rng.choice(verbs)}" for _ in range(60)))
    kinds = []
    for _ in range(rng.randrange(3, 9)):
        walk = rng.sample(steps, rng.randrange(4, 9))
        branches = {i: (rng.choice(steps), rng.choice((0.5, 0.2, 0.05, 0.01))) for i in rng.sample(range(len(walk)), 2)}
        loops = {rng.randrange(len(walk)): rng.choice((0.5, 0.2, 0.05))}
        kinds.append((walk, branches, loops, rng.choice((10, 5, 2, 1, 0.3))))
    out: list[Event] = []
    for i, now in enumerate(busy(rng, max(n // 6, 40), 5, rhythm)):
        walk, branches, loops, _ = rng.choices(kinds, [k[-1] for k in kinds])[0]
        for at, step in enumerate(walk):
            again = 1
            while rng.random() < loops.get(at, 0):
                again += 1
            said = [step] * again + ([branches[at][0]] if at in branches and rng.random() < branches[at][1] else [])
            for text in said:
                now = after(rng, now, 0.4)
                out.append(
                    (
                        now,
                        f"[{now:%Y-%m-%d %H:%M:%S.%f}] INFO job-{7000 + i} {text} size={int(rng.lognormvariate(6, 1))}",
                    )
                )
    return written(out, n)


def sensors(n: int, seed: int, rhythm: bool = False) -> list[str]:
    """Key=value lines of a plant's controllers, in a beat, with values that follow the day."""
    rng = random.Random(seed)
    out: list[Event] = []
    for i in range(n):
        now = START + timedelta(seconds=5 * (i // 5), milliseconds=200 * (i % 5) + rng.randrange(60))
        day = 4 * abs(now.hour - 12) / 12 if rhythm else 0.0
        unit = ("boiler", "pump", "fan", "valve", "meter")[i % 5]
        text = {
            "boiler": f"temp={80 - day + rng.gauss(0, 1):.1f} pressure={2 + rng.gauss(0, 0.05):.2f}",
            "pump": f"rpm={1450 + rng.gauss(0, 12):.0f} flow={rng.gauss(30, 1):.1f}",
            "fan": f"rpm={900 + rng.gauss(0, 9):.0f}",
            "valve": f"open={rng.randrange(40, 60)}%",
            "meter": f"kwh={i * 0.01:.2f}",
        }[unit]
        what = "sample" if rng.random() > 0.01 else "recalibrated"
        out.append((now, f"ts={now:%Y-%m-%dT%H:%M:%S.%f}Z level=info unit={unit} msg={what} {text}"))
    return written(out, n)


ISO = r"\S+ "
MADE: dict[str, tuple[Callable[..., list[str]], str, str]] = {
    "daemons": (daemons, r"\w+ +\d+ [\d:]+ \S+ \S+: ", r"\[(\d+)\]:"),
    "web": (web, r'\S+ - - \[[^\]]+\] ', r"^(\S+)"),
    "workers": (workers, r"\S+ \S+ \w+ +\S+ \[\S+\] ", r"#(\d+)"),
    "batch": (batch, r"\S+ \w+ run=\d+ ", r"run=(\d+)"),
    "requests": (requests, r".*\"msg\": \"", r'"trace_id": "(\w+)'),
    "programs": (programs, r"\[[^\]]+\] INFO job-\d+ ", r"job-(\d+)"),
    "sensors": (sensors, r"ts=\S+ level=\w+ unit=\w+ msg=", ""),
}  # fmt: skip
#: Lines, with a rhythm of the day or without.
SIZES = ((200, False), (600, False), (2_000, True), (6_000, True), (20_000, True))
