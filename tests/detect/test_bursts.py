"""Bursts: one value behind far more events of a template than the other values, named with its lines."""

import gzip
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from offbeat.detect.bursts import BURSTS, PAUSES, Bursts, _merged, _runs, address_field, addresses
from offbeat.mine import Miner
from offbeat.read import Lines, open_logs

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
START = datetime(2025, 6, 1, tzinfo=UTC)
ATTACK = START + timedelta(hours=9)


def events(rows):
    """Return events of (seconds after the start, template, value), numbered by time."""
    rows = sorted(rows, key=lambda row: row[0])
    return pl.DataFrame(
        {
            "timestamp": [START + timedelta(seconds=s) for s, _, _ in rows],
            "template": [t for _, t, _ in rows],
            "value": [v for _, _, v in rows],
            "file": [0] * len(rows),
            "line": range(1, len(rows) + 1),
        },
        schema={
            "timestamp": pl.Datetime("us", "UTC"),
            "template": pl.UInt32,
            "value": pl.String,
            "file": pl.UInt16,
            "line": pl.UInt32,
        },
    )


def background(seed=0, values=80):
    """Return a day in which every value fails one to four times in a minute, now and then, and succeeds often."""
    rng = random.Random(seed)
    rows = []
    for value in range(values):
        for _ in range(3):
            at = rng.uniform(0, 86400)
            rows += [(at + 10 * k, 1, f"10.0.0.{value}") for k in range(rng.choice([1, 1, 1, 2, 2, 3, 4]))]
        rows += [(rng.uniform(0, 86400), 2, f"10.0.0.{value}") for _ in range(20)]
    return rows


def brute_force(times=120, template=1):
    """Return an attack of ten minutes from one address."""
    return [(9 * 3600 + 5 * k, template, "1.2.3.4") for k in range(times)]


def found(rows, cut=None, least=0.0):
    """Return the bursts among rows, given as a whole or in parts."""
    bursts = Bursts()
    for part in events(rows).iter_slices(cut or 10**6):
        bursts.add(part)
    return bursts.alarms(least)


def test_brute_force_is_found_with_its_lines():
    """The attacker comes first, with how often, when, what is usual, and lines of its own."""
    rows = background() + brute_force()
    first = found(rows).row(0, named=True)
    assert (first["value"], first["template"], first["events"]) == ("1.2.3.4", 1, 120)
    assert (first["start"], first["end"]) == (ATTACK, ATTACK + timedelta(seconds=5 * 119))
    assert first["usual"] <= 4
    assert first["most"] <= 8
    lines = events(rows).with_row_index("i")
    mine = lines.filter(value="1.2.3.4")["line"].to_list()
    assert first["places"] == [*mine[:5], mine[-1]]


def test_an_ordinary_day_is_quiet():
    """Without an attack hardly anything is a burst, over several seeds."""
    assert sum(found(background(seed)).height for seed in range(5)) <= 2


def test_busy_values_of_a_busy_template_are_usual():
    """A hundred events in a row are nothing where every value has as many."""
    rng = random.Random(1)
    rows = [(rng.uniform(0, 3600), 5, f"10.0.0.{v}") for v in range(40) for _ in range(rng.randrange(60, 160))]
    assert found(rows).is_empty()


def test_how_events_are_cut_and_ordered_does_not_matter():
    """Batches of any size, and events out of order, give the same bursts."""
    rows = background() + brute_force()
    whole = found(rows)
    assert found(rows, cut=7).equals(whole)
    assert found(rows, cut=100).equals(whole)
    bursts = Bursts()
    for part in reversed(list(events(rows).iter_slices(90))):
        bursts.add(part)
    assert bursts.alarms().drop("places").equals(whole.drop("places"))


def test_several_templates_of_one_attack_are_one_burst():
    """Failures and disconnects of the attacker join; the templates are all named."""
    attack = brute_force() + [(s + 1, 3, v) for s, _, v in brute_force()]
    others = [(random.Random(v).uniform(0, 86400), 3, f"10.0.0.{v}") for v in range(80)]
    bursts = found(background() + attack + others)
    mine = bursts.filter(value="1.2.3.4")
    assert mine.height == 1
    assert sorted(mine["templates"][0]) == [1, 3]


def test_a_patient_attacker_is_found_too():
    """One failure every half hour for a day never makes a run of minutes, but one of hours."""
    slow = [(1800 * k, 1, "6.6.6.6") for k in range(48)]
    first = found(background() + slow).row(0, named=True)
    assert (first["value"], first["events"]) == ("6.6.6.6", 48)


def test_what_goes_on_all_through_a_long_log_says_so():
    """A health check asks every minute for days, an attack is over in minutes."""
    probes = [(60 * k, 2, "9.9.9.9") for k in range(3 * 1440)]
    rows = [(86400 * day + at, *rest) for day in range(3) for at, *rest in background(seed=day)]
    told = {row["value"]: row["throughout"] for row in found(rows + probes + brute_force()).iter_rows(named=True)}
    assert told == {"9.9.9.9": True, "1.2.3.4": False}


def test_a_probe_goes_on_throughout_a_log_of_hours_too():
    """In three hours of a log a probe is there all the time; who is there for one hour of them comes and goes."""
    probes = [(60 * k, 1, "9.9.9.9") for k in range(180)]
    guest = [(3600 + 30 * k, 1, "8.8.8.8") for k in range(120)]
    rows = [row for row in background() if row[0] < 3 * 3600]
    told = {row["value"]: row["throughout"] for row in found(rows + probes + guest).iter_rows(named=True)}
    assert told == {"9.9.9.9": True, "8.8.8.8": False}


def test_one_address_that_is_there_all_along_is_no_burst():
    """A server whose clock asks one address for the time has no burst of it, however the pauses fall."""
    rng = random.Random(5)
    clock = [(at, 5, "185.125.190.57") for at in sorted(rng.uniform(0, 7 * 86400) for _ in range(120))]
    rows = [(86400 * day + at, *rest) for day in range(7) for at, *rest in background(seed=day)]
    assert found(rows + clock).is_empty()
    once = [(3 * 86400 + 3 * k, 5, "185.125.190.57") for k in range(40)]
    assert found(rows + once)["value"].to_list() == ["185.125.190.57"]


def test_templates_that_become_one_are_judged_as_one():
    """Runs of shapes that turn out to be the same template join when they are renamed."""
    rows = background() + [(s, 1 if s % 2 else 9, v) for s, _, v in brute_force()]
    bursts = Bursts()
    bursts.add(events(rows))
    bursts.rename(lambda codes: codes.replace({9: 1}))
    first = bursts.alarms().row(0, named=True)
    assert (first["value"], first["events"]) == ("1.2.3.4", 120)


def test_memory_is_bounded_and_what_is_forgotten_counted():
    """With room for 200 runs the attack is still found, and the shortest runs are given up."""
    bursts = Bursts(most=200)
    for part in events(background() + brute_force()).iter_slices(100):
        bursts.add(part)
    assert bursts.forgotten > 0
    assert bursts.alarms()["value"][0] == "1.2.3.4"


@pytest.mark.parametrize("rows", [[], [(0, 1, None)], [(0, 1, "a")], brute_force()])
def test_little_gives_an_answer(rows):
    """Nothing, one event, and one value alone are judged without failing, in the declared columns."""
    assert found(rows).schema == BURSTS
    assert Bursts().alarms().schema == BURSTS


def test_addresses_are_taken_whole():
    """The first IPv4 address counts, with a port or slash beside it; versions and longer numbers are none."""
    texts = {
        "from 1.2.3.4 port 22": "1.2.3.4",
        "src: /10.0.0.7:5000 dest: /10.0.0.8:1": "10.0.0.7",
        "rhost=9.8.7.6": "9.8.7.6",
        "closed by 5.6.7.8.": "5.6.7.8",
        "kernel 2.6.32.5.1 booted": None,
        "v1.2.3.4 released": None,
        "nothing": None,
    }
    assert addresses(pl.Series(list(texts))).to_list() == list(texts.values())


def test_fields_that_say_who_it_was():
    """Names of fields that hold the other side's address are known; others are not."""
    for name in ("client", "client_ip", "remote_addr", "src_ip", "id.orig_h", "rhost", "source.ip", "client.address"):
        assert address_field(["level", name]) == name, name
    assert address_field(["clients", "source", "zip", "dest", "description"]) is None


def test_a_steady_client_is_no_burst_but_one_that_was_not_there_before_is():
    """Who alone asks for something all day is left in peace, unless another day shows that nobody used to."""
    steady = [(60 * k, 7, "9.9.9.9") for k in range(1440)]
    assert "9.9.9.9" not in found(background() + steady)["value"].to_list()
    before, now = Bursts(), Bursts()
    before.add(events(background(seed=3)))
    now.add(events(background() + steady))
    assert now.alarms(before=before)["value"][0] == "9.9.9.9"
    assert "9.9.9.9" not in now.alarms(before=now)["value"].to_list()


def test_history_survives_a_frame():
    """What was usual can be saved and taken up again."""
    before, now = Bursts(), Bursts()
    before.add(events(background(seed=3)))
    now.add(events(background() + brute_force()))
    assert now.alarms(before=Bursts.restore(before.to_frame())).equals(now.alarms(before=before))
    assert now.alarms(before=Bursts.restore(Bursts().to_frame())).equals(now.alarms(before=Bursts()))


def real(*logs, field=None):
    """Return the bursts of the last of some logs, judged with those before it."""
    miner, each = Miner(), []
    columns = ["file", "line", "timestamp", "message"]
    for log in logs:
        each.append(Bursts())
        for frame in open_logs(log).batches(columns, [field] if field else []):
            value = frame[f"fields.{field}"] if field else addresses(frame["message"])
            each[-1].add(frame.with_columns(template=miner.encode(Miner.shapes(frame["message"])), value=value))
    miner.learn()
    for one in each:
        one.rename(miner.templates)
    return each[-1].alarms(before=each[0] if len(each) > 1 else None)


def test_the_longest_runs_of_failed_logins_are_named():
    """On a real log of an exposed host the three addresses with the longest runs of failures are in the first five."""
    log = DATA / "ssh" / "auth.log.gz"
    if not log.exists():
        pytest.skip("the SSH log is not at ../shared/data")
    first = real(str(log)).head(5)["value"].to_list()
    assert {"24.151.103.17", "34.204.227.175", "49.4.143.105"} <= set(first)


def test_a_scanner_among_a_web_server_s_visitors_is_named():
    """300 requests of a scanner, spread over two days of real traffic, are among the first three; few others are."""
    if not (DATA / "web").exists():
        pytest.skip("the access logs are not at ../shared/data")
    with gzip.open(DATA / "web" / "apache_access.log.gz", "rt", errors="replace") as log:
        usual = log.read().splitlines()
    with gzip.open(DATA / "web" / "scan_acunetix.log.gz", "rt", errors="replace") as log:
        scan = [line.removeprefix('"').removesuffix('"') for line in log.read().splitlines()]
    stamp = re.compile(r"\[[^]]*\]")
    scan = sorted(scan, key=lambda line: stamp.search(line).group() if stamp.search(line) else "")[::21][:300]
    mixed = []
    for i, line in enumerate(usual[5000:]):
        mixed.append(line)
        if i % 16 == 8 and i // 16 < len(scan):
            mixed.append(stamp.sub(lambda _, line=line: stamp.search(line).group(), scan[i // 16], count=1))
    bursts = real(Lines(usual[:5000]), Lines(mixed), field="client")
    assert "192.168.4.25" in bursts.head(3)["value"].to_list()
    assert bursts.height <= 6


def test_runs_of_one_batch_are_those_of_its_events_merged_one_by_one():
    """Counting runs in arrays gives what joining single events gives, at equal times and across files, too."""
    rng = random.Random(5)
    for case in range(40):
        n = rng.randint(1, 200)
        rows = events(
            [
                (rng.randrange(20) * rng.choice([1, 300]), rng.randrange(4), f"10.0.0.{rng.randrange(9)}")
                for _ in range(n)
            ]
        )
        rows = rows.with_columns(file=pl.Series([rng.randrange(2) for _ in range(n)], dtype=pl.UInt16))
        rows = rows if case % 2 else rows.sample(fraction=1.0, shuffle=True, seed=case)
        at, place = pl.col("timestamp").dt.epoch("us"), pl.col("file").cast(pl.UInt64) * 2**40 + pl.col("line")
        single = rows.select("template", "value", start=at, end=at, events=pl.lit(1, pl.UInt32), last=place)
        single = single.sort("template", "value", "start", "last").with_columns(places=pl.concat_list("last"))
        runs = _runs(rows, PAUSES[0]).sort("template", "value", "start")
        assert runs.equals(_merged(single, PAUSES[0]))
