# ruff: noqa: E501 - log lines are as long as they are
"""Every format: found by itself, and split where it should be."""

from __future__ import annotations

import re

import orjson
import polars as pl
import pytest
from read_helpers import adds_up, read, stamps, write

from offbeat.errors import OptionError
from offbeat.read import FORMATS, open_logs, sniff
from offbeat.read.formats import TEXT
from offbeat.read.layout import Context, Want
from offbeat.read.layouts import BY_LINE
from offbeat.read.sniff import MAY_HAVE_INNER

EVERYTHING = Want(frozenset({"timestamp", "level", "source", "message", "fields"}))


@pytest.mark.parametrize("layout", TEXT.values(), ids=lambda layout: layout.name)
def test_example_is_read_by_its_layout(layout):
    """Each layout reads the example that it shows, and nothing of a line that is no such thing."""
    frame = layout.parse(pl.Series([layout.example, "nothing like it"]), EVERYTHING, Context())
    assert frame["placed"].to_list() == [True, False]
    assert not layout.timed or frame["timestamp"][0] is not None
    assert frame["message"][0] or layout.alone


@pytest.mark.parametrize("layout", TEXT.values(), ids=lambda layout: layout.name)
def test_example_is_sniffed_as_its_layout(layout, tmp_path):
    """A file of examples is found to be of the example's format."""
    assert sniff(write(tmp_path, (layout.example + "\n") * 3)).layout == layout.name


@pytest.mark.parametrize("layout", TEXT.values(), ids=lambda layout: layout.name)
def test_asking_for_less_changes_nothing(layout):
    """A column is the same whether it is asked for alone or with all others."""
    lines = pl.Series([layout.example, "nothing like it", layout.example])
    whole = layout.parse(lines, EVERYTHING, Context())
    for column in EVERYTHING.columns:
        alone = layout.parse(lines, Want(frozenset({column})), Context())
        assert alone.select("placed", column).equals(whole.select("placed", column)), column
    for name in layout.field_names:
        one = layout.parse(lines, Want(frozenset(), (name,)), Context())[f"fields.{name}"][0]
        value = orjson.loads(whole["fields"][0])[name]
        assert one == (None if value is None else str(value)) or not str(one).isdigit(), name


# line, format, time, level, source, message
CASES = [
    (
        "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezingDisplayLogsopening app wtoken = AppWindowToken{9f4ef63",
        "android", "-03-17T16:13:38.811000", 5, "WindowManager",
        "printFreezingDisplayLogsopening app wtoken = AppWindowToken{9f4ef63",
    ),
    (
        "03-17 16:16:09.141  1795  1825 I PowerManager_screenOn: DisplayPowerStatesetColorFadeLevel: level=1.0",
        "android", "-03-17T16:16:09.141000", 9, "PowerManager_screenOn", "DisplayPowerStatesetColorFadeLevel: level=1.0",
    ),
    (
        "Jul  1 09:00:55 calvisitor-10-105-160-95 kernel[0]: IOThunderboltSwitch<0>(0x0)::listenerCallback - Thunderbolt HPD",
        "syslog", "-07-01T09:00:55.000000", 0, "kernel", "IOThunderboltSwitch<0>(0x0)::listenerCallback - Thunderbolt HPD",
    ),
    (
        "Jul  1 09:01:05 calvisitor-10-105-160-95 com.apple.CDScheduler[43]: Thermal pressure state: 1 Memory pressure state: 0",
        "syslog", "-07-01T09:01:05.000000", 0, "com.apple.CDScheduler", "Thermal pressure state: 1 Memory pressure state: 0",
    ),
    (
        "Jul  2 10:52:51 authorMacBook-Pro com.apple.xpc.launchd[1] (com.apple.xpc.launchd.domain.pid.WebContent.46233): Path not allowed",
        "syslog", "-07-02T10:52:51.000000", 0, "com.apple.xpc.launchd", "Path not allowed",
    ),
    (
        "nova-compute.log.1.2017-05-16_13:55:31 2017-05-16 00:00:04.500 2931 INFO nova.compute.manager "
        "[req-3ea4052c-895d-4b64-9e2d-04d64c4d94ab - - - - -] [instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started",
        "openstack", "2017-05-16T00:00:04.500000", 9, "nova.compute.manager",
        "[instance: b9000564-fe1a-409b-b8cc-1e88b294cd1d] VM Started",
    ),
    (
        "2017-05-16 00:00:04.500 2931 WARNING nova.virt.libvirt.imagecache [-] Unknown base file: /var/lib/nova/base/a4",
        "openstack", "2017-05-16T00:00:04.500000", 13, "nova.virt.libvirt.imagecache", "Unknown base file: /var/lib/nova/base/a4",
    ),
    (
        "460848 node-18 unix.hw net.niff.down 1097194780 1 NIFF: node node-18 detected a failed network connection on eth0",
        "hpc", "2004-10-08T00:19:40.000000", 13, "unix.hw", "NIFF: node node-18 detected a failed network connection on eth0",
    ),
    (
        "- 1131566479 2005.11.09 eadmin1 Nov 9 12:01:19 src@eadmin1 syslog-ng[24982]: STATS: dropped 0",
        "thunderbird", "2005-11-09T20:01:19.000000", 0, "syslog-ng", "STATS: dropped 0",
    ),
    (
        "VAPI 1131566461 2005.11.09 tbird-admin1 Nov 9 12:01:01 local@tbird-admin1 /apps/x86_64/system/ganglia[1682]: data_thread() got no answer",
        "thunderbird", "2005-11-09T20:01:01.000000", 0, "/apps/x86_64/system/ganglia", "data_thread() got no answer",
    ),
    (
        "1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session closed for user root",
        "thunderbird", "2005-11-09T20:01:01.000000", 0, "crond(pam_unix)", "session closed for user root",
    ),
    (
        "20171224-0:7:20:444|HiH_|30002312|getTodayTotalDetailSteps = 1514038440000##6993##548365",
        "healthapp", "2017-12-24T00:07:20.444000", 0, "HiH_", "getTodayTotalDetailSteps = 1514038440000##6993##548365",
    ),
    (
        "APPREAD 1117869872 2005.06.04 R04-M1-N4-I:J18-U11 2005-06-04-00.24.32.432192 R04-M1-N4-I:J18-U11 RAS APP FATAL "
        "ciod: failed to read message prefix on control stream",
        "bgl", "2005-06-04T07:24:32.432192", 21, "APP", "ciod: failed to read message prefix on control stream",
    ),
    (
        "1117869872 2005.06.04 R04-M1-N4-I:J18-U11 2005-06-04-00.24.32.432192 R04-M1-N4-I:J18-U11 RAS APP FATAL ciod: failed",
        "bgl", "2005-06-04T07:24:32.432192", 21, "APP", "ciod: failed",
    ),
    (
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
        "syslog-5424", "2003-08-24T12:14:15.000003", 10, "myproc", "%% It's time to make the do-nuts.",
    ),
    (
        '<165>1 2003-10-11T22:14:15.003Z host.example.com evntslog - ID47 [ex@32473 iut="3" t="a]b"][y@1 p="h"] An event',
        "syslog-5424", "2003-10-11T22:14:15.003000", 10, "evntslog", "An event",
    ),
    (
        "2023-01-29T16:42:09.486123+01:00 web-1 sshd[4712]: Server listening on 0.0.0.0 port 22.",
        "syslog-iso", "2023-01-29T15:42:09.486123", 0, "sshd", "Server listening on 0.0.0.0 port 22.",
    ),
    (
        "2026-10-02 06:12:01 status installed libc6:amd64 2.36-9", "time", "2026-10-02T06:12:01.000000", 0, None,
        "status installed libc6:amd64 2.36-9",
    ),
    (
        "[2023-01-29T16:42:09Z] <warning> disk nearly full", "time-level", "2023-01-29T16:42:09.000000", 13, None,
        "disk nearly full",
    ),
    (
        '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326', "access",
        "2000-10-10T20:55:36.000000", 9, None, "GET /apache_pb.gif 200",
    ),
    (
        'www.example.com:443 ::1 - - [10/Oct/2000:13:55:36 +0000] "OPTIONS * HTTP/1.0" 503 -', "access-odd",
        "2000-10-10T13:55:36.000000", 17, "www.example.com:443", "OPTIONS * 503",
    ),
    (
        "[Fri Sep 09 10:42:29.902022 2011] [core:error] [pid 35708:tid 43286] [client 72.15.99.187:1] File does not exist: /x",
        "apache-error", "2011-09-09T10:42:29.902022", 17, "core", "[client 72.15.99.187:1] File does not exist: /x",
    ),
    (
        "2023-01-29T16:42:09.486123456+01:00 stdout F order 17 accepted", "cri", "2023-01-29T15:42:09.486123", 0, None,
        "order 17 accepted",
    ),
    (
        'time="2023-01-29T16:42:09Z" level=warning msg="order 17 \\"late\\"" service=orders id=17', "logfmt",
        "2023-01-29T16:42:09.000000", 13, "orders", 'order 17 "late"',
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}-{case[5][:20]}")
def test_line_of_a_known_system(case, tmp_path):
    """Time, level, source and message of real lines of many systems are where people would say they are."""
    line, layout, time, level, source, message = case
    logs, frame = read(write(tmp_path, f"{line}\n{line}\n"))
    assert logs.sniffed[0].layout == layout
    assert (stamps(frame)[0] or "").endswith(time)
    assert frame.select("level", "source", "message").row(0) == (level, source, message)
    assert adds_up(logs, frame)


def test_label_is_a_field_and_may_be_cut_off(tmp_path):
    """The alert tag of BlueGene/L is a field; without the column everything else is the same."""
    line = TEXT["bgl"].example
    _, tagged = read(write(tmp_path, "APPREAD " + line[2:] + "\n"))
    _, bare = read(write(tmp_path, line[2:] + "\n", "b.log"))
    assert orjson.loads(tagged["fields"][0])["label"] == "APPREAD"
    assert orjson.loads(bare["fields"][0])["label"] is None
    assert tagged.drop("fields").equals(bare.drop("fields"))


def test_several_formats_in_one_file(tmp_path):
    """Lines that the file's format cannot place go to the other formats, line by line."""
    lines = [TEXT[name].example for name in ("hdfs", "hdfs", "hdfs", "access", "syslog", "spark")]
    lines.insert(3, '{"time":"2023-01-29T09:49:07Z","level":"error","message":"disk full","service":"store"}')
    logs, frame = read(write(tmp_path, "\n".join(lines)))
    assert logs.sniffed[0].layout == "hdfs"
    assert frame["message"].to_list()[3:] == [
        "disk full",
        "GET /images/kibana.png 200",
        "authentication failure; logname= uid=0 euid=0",
        "Registered signal handlers for [TERM, HUP]",
    ]
    assert frame["source"][3] == "store"
    assert not logs.summary.unplaced


def test_unplaced_lines_stay_and_are_counted(tmp_path):
    """A line of no format is an event of plain text, and the summary says how many there were."""
    example = TEXT["access"].example
    logs, frame = read(write(tmp_path, f"{example}\nwhat is this\n{example}\n"))
    assert frame["message"][1] == "what is this"
    assert dict(logs.summary.unplaced) == {"no known format": 1}


def test_plain_text(tmp_path):
    """Without any time each line is an event; words give the level."""
    logs, frame = read(write(tmp_path, "starting\nERROR: no disk\n\nall is well, 0 errors\nstopping\n"))
    assert frame["message"].to_list() == ["starting", "ERROR: no disk", "all is well, 0 errors", "stopping"]
    assert frame["level"].to_list() == [0, 17, 0, 0]
    assert frame["timestamp"].null_count() == 4
    assert dict(logs.summary.skipped) == {"blank lines": 1}
    assert adds_up(logs, frame)


def test_named_format_and_did_you_mean(tmp_path):
    """A format can be named; a misspelt name brings a suggestion."""
    path = write(tmp_path, TEXT["hdfs"].example + "\n")
    assert read(path, format="plain")[1]["message"][0].startswith("081109")
    assert read(path, format="hdfs")[1]["level"][0] == 9
    with pytest.raises(OptionError, match=r"^--format: .*shows\. A pattern looks like"):
        open_logs(path, format="foo")
    with pytest.raises(OptionError, match=re.escape("did you mean syslog")):
        open_logs(path, format="sislog")


def test_formats_are_names(tmp_path):
    """Every listed format can be asked for."""
    path = write(tmp_path, "some text\n")
    for name in FORMATS:
        assert open_logs(path, format=name).files


def test_line_layouts_have_distinct_names():
    """No two layouts share a name."""
    names = [layout.name for layout in BY_LINE]
    assert len(names) == len(set(names))


def test_user_pattern(tmp_path):
    """A pattern in the user's own words splits lines, fields included."""
    text = "29.01.2023 16:42:09 WARN [worker 3] disk: 91 % full\n29.01.2023 16:42:10 INFO [main] fine\n  and more\n"
    logs, frame = read(write(tmp_path, text), format="<time> <level> [<thread>] <message>")
    assert frame["message"].to_list() == ["disk: 91 % full", "fine\n  and more"]
    assert frame["level"].to_list() == [13, 9]
    assert orjson.loads(frame["fields"][0])["thread"] == "worker 3"
    assert stamps(frame)[0] == "2023-01-29T16:42:09.000000"
    assert adds_up(logs, frame)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("<time> <level>", "no <message>"),
        ("<time> <time> <message>", "twice"),
        ("<a b> <message>", "no name"),
    ],
)
def test_bad_user_pattern(pattern, says, tmp_path):
    """A pattern that cannot work is refused with the reason."""
    with pytest.raises(OptionError, match=says):
        open_logs(write(tmp_path, "x\n"), format=pattern)


def test_all_records_on_one_long_line(tmp_path):
    """A file of one line, longer than what is looked at first, behind a short one is known by what that line holds."""
    event = "<Event><System><Provider Name='P'/><EventID>1</EventID><TimeCreated SystemTime='2023-01-29T16:42:09Z'/></System></Event>"
    text = '<?xml version="1.0"?>\n<Events>' + event * 4000 + "</Events>\n"
    logs, frame = read(write(tmp_path, text))
    assert (logs.sniffed[0].layout, frame.height, frame["timestamp"].null_count()) == ("xml", 4000, 0)


@pytest.mark.parametrize("layout", TEXT.values(), ids=lambda layout: layout.name)
def test_what_may_have_a_header_misses_none(layout):
    """The search that saves trying all formats on messages lets every header pass that is looked for there."""
    assert re.search(MAY_HAVE_INNER, layout.example) is not None
