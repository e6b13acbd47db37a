r"""The text formats, as data. One row a format; families stand together.

The header ends where the public loghub collection lets it end (https://github.com/logpai/loghub), so that ``message``
is what template miners are usually given.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from offbeat.read import access, levels
from offbeat.read.formats_apps import APPLICATIONS, LOG4J
from offbeat.read.formats_devices import DEVICES
from offbeat.read.formats_more import PROGRAMS
from offbeat.read.formats_runtimes import RUNTIMES
from offbeat.read.formats_servers import DATABASES, LEFT, SECURITY, SERVERS
from offbeat.read.layout import TextLayout, Want, first_of

_LEVEL: Final = r"(?P<level>{LEVEL})"
_PID: Final = r"(?P<pid>[0-9]+)"
_PROGRAM: Final = r"(?P<source>[^ :\[\]]+(?: [^ :\[\]=]+)?)(?:\[(?P<pid>[0-9]+)\])?(?: ?\([^)]*\))?:(?: |$)"
_N: Final = frozenset({"pid", "tid", "node_id", "flag"})


def _exact_time(groups: pl.DataFrame, want: Want) -> pl.DataFrame:
    """BlueGene/L writes whole seconds in UTC, and the microseconds only in a stamp of local time: join the two."""
    if "timestamp" not in want:
        return groups
    return groups.with_columns(time=pl.col("time") + "." + pl.col("_micros"))


_WEB: Final = (
    *access.LAYOUTS,
    access.HAPROXY,
    access.ALB,
    access.GIN,
    TextLayout(
        "apache-error",
        r"\[(?P<time>{ctime})\] \[(?:(?P<source>[A-Za-z_][\w-]*):)?(?P<level>\w+)\]"
        r"(?: \[pid (?P<pid>[0-9]+)(?::tid (?P<tid>[0-9]+))?\])? ",
        "[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6",
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "squid",
        r"(?P<time>[0-9]{10}\.[0-9]{3}) +(?P<elapsed>[0-9]+) (?P<client>[^ ]+) "
        r"(?P<result>[A-Z_]+)/(?P<status>[0-9]{3}) (?P<bytes>[0-9]+) ",
        "1675010529.779    180 192.0.2.7 TCP_MISS/200 411 GET http://example.com/ - DIRECT/198.51.100.4 text/plain",
        stamp="epoch",
        numbers=frozenset({"elapsed", "status", "bytes"}),
        rank=7,
    ),
    TextLayout(
        "nginx-error",
        r"(?P<time>{iso}) \[(?P<level>\w+)\] (?P<pid>[0-9]+)\#(?P<tid>[0-9]+): (?:\*(?P<connection>[0-9]+) )?",
        '2023/01/29 16:42:09 [error] 4712#4712: *5 open() "/srv/x" failed (2: No such file or directory)',
        numbers=_N | {"connection"},
        rank=6,
    ),
)

_SYSLOG: Final = (
    TextLayout(
        "syslog-5424",
        r"<(?P<level>[0-9]{1,3})>1 (?P<time>[^ ]+) (?P<host>[^ ]+) (?P<source>[^ ]+) (?P<pid>[^ ]+) (?P<msgid>[^ ]+) "
        r'(?P<data>-|(?:\[(?:[^"\]]|"(?:[^"\\]|\\.)*")*\])+) ?(?:﻿)?',
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8",
        stamp="iso",
        scale=levels.PRIORITIES,
        rank=7,
    ),
    TextLayout(
        "syslog-pri",
        rf"<(?P<level>[0-9]{{1,3}})>(?P<time>{{syslog}}|{{iso}}) (?P<host>[^ ]+) (?:{_PROGRAM})?",
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        scale=levels.PRIORITIES,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "mac",
        r"(?P<time>{syslog}) (?P<host>[^ ]*[^ 0-9][^ ]*) (?P<source>[^:\[ ]+(?: [^:\[ ]+)+)"
        r"\[(?P<pid>[0-9]+)\](?: \((?P<address>[^)]*)\))?: ?",
        "Jul  1 09:20:37 calvisitor-10-105-160-95 Microsoft Word[14463]: (*/*/*) Untitled document opened",
        numbers=_N,
        rank=5,
    ),
    TextLayout(
        "syslog",
        rf"(?P<time>{{syslog-after}}|{{syslog}}|{{syslog-year}}) (?P<host>[^ ]+) +(?:-- )?{_PROGRAM}",
        "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0",
        numbers=_N,
        rank=4,
    ),
    TextLayout(
        "syslog-level",
        r"(?P<time>{syslog-after}|{syslog}|{ctime}|{iso}) (?:(?P<host>[A-Za-z0-9][\w.:-]*) )??"
        r"(?:(?P<facility>[a-z]+[0-7]?)\.)?"
        r"(?P<level>emerg|alert|crit|err|error|warning|warn|notice|info|debug) (?:[A-Za-z0-9][\w.:-]* )?"
        r"(?P<source>[A-Za-z_][^ :\[\]]*)(?:\[(?P<pid>[0-9]+)\])?:(?: |$)",
        "Jan 29 16:42:09 bigip1 err tmm[1235]: No members available for pool /Common/shop",
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "syslog-bare",
        r"(?P<time>{syslog}|{syslog-year}) (?P<host>(?:[A-Za-z]|[0-9]+[A-Za-z.-])[^ :=]*) ",
        "Jun 14 15:16:01 combo last message repeated 2 times",
        rank=3,
    ),
    TextLayout(
        "cisco",  # as the device writes it, or as a relay passes it on; ASA's and IOS's
        r"(?:<[0-9]{1,3}>)?(?:(?P<time>{syslog-year}|{year-syslog}|{syslog}|{iso}) (?:(?P<host>[^ :*.%][^ ]*?):? )?)??"
        r"(?:(?P<number>[0-9]+): )?(?:[\w.-]+: )?"
        r"(?:(?:[A-Z]+/[\w/]+:)?[*.]?(?P<_own>{syslog-year}|{syslog})(?: [A-Z]{3,4})?)?"
        r"(?: ?: ?| )?(?:[\w.-]+\[[0-9]+\]: )?(?:%\$ [^%]*%\$ )?"
        r"%(?P<source>[A-Z][A-Z0-9_]*)-(?:[A-Z0-9_]+-)?(?P<level>[0-7])-(?P<mnemonic>[A-Z0-9_]+) ?: *",
        "*Mar  1 18:46:11.123: %SYS-5-CONFIG_I: Configured from console by vty2 (192.0.2.7)",
        scale=levels.SYSLOG,
        derive=first_of("time", "time", "_own"),
        needs={"timestamp": ("time", "_own")},
        rank=7,  # over a syslog whose program would be missing
    ),
    TextLayout(
        "comware",  # Huawei's and H3C's
        r"(?:<[0-9]{1,3}>)?(?P<time>{syslog-year}|{syslog}|{iso}) (?P<host>[^ ]+) %%[0-9]{2}(?P<source>\w+)/"
        r"(?P<level>[0-7])/(?P<mnemonic>\w+)(?:\([a-z]\))?(?:\[(?P<number>[0-9]+)\])?: ?",
        "Jan 29 2023 16:42:09 core1 %%01IFNET/4/IF_STATE(l)[17]:Interface GigabitEthernet0/0/1 is down.",
        scale=levels.SYSLOG,
        rank=7,
    ),
    TextLayout(
        "syslog-klog",  # Kubernetes' programs in the journal
        r"(?P<time>{syslog}|{iso}) (?P<host>[^ ]+) (?P<source>[\w.-]+)\[(?P<pid>[0-9]+)\]: "
        r"(?P<level>[IWEF])[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} +[0-9]+ (?P<code>[\w./-]+:[0-9]+)\] ",
        "Jan 29 16:42:09 node1 kubelet[712]: E0129 16:42:09.486123     712 kubelet.go:2010] Skipping pods",
        numbers=_N,
        rank=7,
    ),
    TextLayout(
        "heroku",
        r"(?P<time>{iso}) (?P<source>heroku|app)\[(?P<dyno>[\w.-]+)\]: ",
        "2023-01-29T16:42:09.486123+00:00 heroku[router]: at=info method=GET path=/ dyno=web.1 status=200",
        rank=4,
    ),
    TextLayout(
        "syslog-iso",
        r"(?P<time>{iso}|{weekday-iso}) (?P<host>[A-Za-z0-9][\w.-]*) "
        r"(?P<source>[A-Za-z_][^ :\[\]]*)(?:\[(?P<pid>[0-9]+)\])?:(?: |$)",
        "2023-01-29T16:42:09.486123+01:00 web-1 sshd[4712]: Server listening on 0.0.0.0 port 22.",
        numbers=_N,
        rank=4,
    ),
)

_SUPERCOMPUTERS: Final = (
    TextLayout(
        "bgl",
        r"(?:(?P<label>-|[A-Z][A-Z0-9_]*) )?(?P<time>[0-9]{9,10}) (?P<date>[0-9]{4}\.[0-9]{2}\.[0-9]{2}) "
        r"(?P<node>[^ ]+) [0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9.]{8}\.(?P<_micros>[0-9]+) [^ ]+ "
        r"(?P<type>[^ ]+) (?P<source>[^ ]+) (?P<level>[^ ]+)(?: |$)",
        "- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.675872 R02-M1-N0-C:J12-U11 RAS KERNEL INFO "
        "instruction cache parity error corrected",
        stamp="epoch",
        rank=8,
        derive=_exact_time,
        needs={"timestamp": ("time", "_micros")},
    ),
    TextLayout(
        "thunderbird",
        r"(?:(?P<label>-|[A-Z][A-Z0-9_]*) )?(?P<time>[0-9]{9,10}) (?P<date>[0-9]{4}\.[0-9]{2}\.[0-9]{2}) "
        r"(?P<node>[^ ]+) [A-Z][a-z]{2} +[0-9]{1,2} [0-9:]{8} (?P<location>[^ ]+) "
        r"(?:(?P<source>[^ :\[\]]+(?: [^ :\[\]=]+)?)(?:\[(?P<pid>[0-9]+)\])?:(?: |$))?",
        "- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session closed for user root",
        stamp="epoch",
        numbers=_N,
        rank=8,
    ),
    TextLayout(
        "hpc",
        r"(?P<log_id>[0-9]+) (?P<node>[^ ]+) (?P<source>[^ ]+) (?P<state>[^ ]+) "
        r"(?P<time>[0-9]{9,10}) (?P<flag>[0-9]+) ",
        "134681 node-246 unix.hw state_change.unavailable 1077804742 1 Component State Change: Component is down",
        stamp="epoch",
        numbers=_N,
        rank=7,
    ),
)

_GENERIC: Final = (
    TextLayout(
        "time-level",
        r"\[?(?P<time>{any})\]?[ \t,:|-]*[\[(<]?(?P<level>{LEVEL})\b(?:[ \t]*[\])>])?[ \t]*:?(?:[ \t|,;-]+|$)",
        "2023-01-29 16:42:09 [ERROR] cannot reach the printer",
        multiline=True,
        rank=5,  # over a syslog whose host would have the level's name
    ),
    TextLayout(
        "time-thread-level",
        r"\[?(?P<time>{any})\]?[ \t,:|-]+[\[(](?P<thread>[^\[\]()]{1,64})[\])][ \t,:|-]*[\[(<]?(?P<level>{LEVEL})\b"
        r"(?:[ \t]*[\])>])?:?(?:[ \t|-]+|$)",
        "[2023-01-29 16:42:09 +0000] [8] [INFO] Booting worker with pid: 8",
        multiline=True,
        rank=3,
    ),
    TextLayout(
        "level-time",
        r"\[?(?P<level>{LEVEL})\b\]?[ \t,:|-]*\[?(?P<time>{any})\]?[ \t,:|-]*",
        "ERROR [2023-01-29 16:42:09] cannot reach the printer",
        multiline=True,
        rank=2,
    ),
    TextLayout(
        "time",
        r"[\[(]?(?P<time>{any})\b(?:[\])]?(?:[ \t]+->[ \t]+|[ \t,:|-]+)|[\])]|$)",
        "2023-01-29 16:42:09 status installed libc6:amd64 2.36-9",
        rank=1,
    ),
    TextLayout(
        "epoch-level",
        r"\[?(?P<time>1[0-9]{9}(?:\.[0-9]{1,9}|[0-9]{3}|[0-9]{6}|[0-9]{9})?)\]?[ \t,:|-]+"
        r"(?:(?P<source>[A-Za-z][\w./-]*)(?:\[(?P<pid>[0-9]+)(?::[0-9]+)?\]:?|:) )?"
        r"[\[(<]?(?P<level>{LEVEL})\b[\])>]?:?(?:[ \t|-]+|$)",
        "[1675010529] unbound[712:0] info: start of service (unbound 1.17.1).",
        stamp="epoch",
        multiline=True,
        numbers=_N,
        rank=2,
    ),
    TextLayout(
        "epoch",
        r"\[?(?P<time>1[0-9]{9}(?:\.[0-9]{1,9}|[0-9]{3}|[0-9]{6}|[0-9]{9})?)\]?[ \t,:|-]+",
        "1675010529.486 link up",
        stamp="epoch",
        rank=1,
    ),
    TextLayout(
        "name-time",
        r"(?P<source>[A-Za-z][\w./-]*)(?:\[(?P<pid>[0-9]+)\])?:? \[?(?P<time>{any})\]?[ \t,:|-]+",
        "update-alternatives 2023-01-29 16:42:09: run with --install /usr/bin/pager",
        numbers=_N,
        rank=1,
    ),
    TextLayout(
        "kernel",
        r"\[ *(?P<uptime>[0-9]+\.[0-9]{6})\] (?:(?P<source>[\w.-]+(?: [\w:.-]+)?): )?",
        "[    1.204833] usb 1-1: new high-speed USB device number 2 using xhci_hcd",
        rank=2,
    ),
    TextLayout(
        "level",
        r"\[?(?P<level>{LEVEL})\]?(?:: |:$| +-+ |\] )",
        "ERROR: cannot reach the printer",
        rank=0,
    ),
)

#: All text formats by name, the more particular first.
TEXT: Final = {
    layout.name: layout
    for family in (
        *(
            _SUPERCOMPUTERS,
            LOG4J,
            DATABASES,
            RUNTIMES,
            APPLICATIONS,
            PROGRAMS,
            SECURITY,
            DEVICES,
            SERVERS,
            _WEB,
            _SYSLOG,
            _GENERIC,
            LEFT,
        ),
    )
    for layout in family
}
