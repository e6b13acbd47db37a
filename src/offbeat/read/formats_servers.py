r"""The text formats of databases, servers and firewalls, as data; and what is left for lines of no format at all.

One row a format; the more particular stand first. See :mod:`offbeat.read.formats`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from offbeat.read import levels
from offbeat.read.layout import TextLayout, Want, first_of

_LEVEL: Final = r"(?P<level>{LEVEL})"
_N: Final = frozenset({"pid", "tid"})
#: ArcSight's ten severities (Common Event Format, "Header information").
_CEF: Final = {
    **dict.fromkeys(range(4), levels.INFO),
    **dict.fromkeys(range(4, 7), levels.WARN),
    **dict.fromkeys((7, 8), levels.ERROR),
    **dict.fromkeys((9, 10), levels.CRITICAL),
}
_SIGNS: Final = {".": levels.DEBUG, "-": levels.INFO, "*": levels.NOTICE, "#": levels.WARN}


def _sign(groups: pl.DataFrame, want: Want) -> pl.DataFrame:
    """Redis writes the level as a sign."""
    if "level" not in groups.columns:
        return groups
    return groups.with_columns(pl.col("level").replace_strict(_SIGNS, default=0, return_dtype=pl.UInt8))


DATABASES: Final = (
    TextLayout(
        "redis",
        r"(?P<pid>[0-9]+):(?P<role>[XCSM]) (?P<time>{day-month}) (?P<level>[.*#-]) ",
        "4712:M 29 Jan 2023 16:42:09.486 * Background saving started by pid 77",
        numbers=_N,
        derive=_sign,
    ),
    TextLayout(
        "postgresql-prefix",
        r"(?P<time>{iso})(?: [A-Z]{3,4})?[ :](?P<prefix>[^\"']{0,200}?)[ :](?P<level>LOG|ERROR|FATAL|PANIC|WARNING"
        r"|NOTICE|INFO|DEBUG[1-5]?|DETAIL|HINT|STATEMENT|CONTEXT|QUERY|LOCATION):  ",
        "2023-01-29 16:42:09 UTC [4712]: user=app,db=shop,app=psql,client=192.0.2.7 LOG:  duration: 12.3 ms",
        multiline=True,
        rank=5,
    ),
    TextLayout(
        "mysql-old",
        r"(?P<time>{mysql}) +(?:(?P<thread>[0-9]+) +)?(?:\[(?P<level>[A-Za-z]+)\] )?",
        "240305  9:15:32 [ERROR] mysqld: Table './shop/orders' is marked as crashed",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "mysql-slow",
        r"\# Time: (?P<time>{iso}|{mysql})$",
        "# Time: 2023-01-29T16:42:09.486123Z",
        multiline=True,
        rank=7,
    ),
    TextLayout(
        "clickhouse",
        rf"(?P<time>{{iso}}) \[ *(?P<tid>[0-9]+) *\] \{{(?P<query>[^}}]*)\}} <{_LEVEL}> (?P<source>[^:]+): ",
        "2023.01.29 16:42:09.486123 [ 17 ] {} <Information> Application: Ready for connections.",
        multiline=True,
        numbers=_N,
    ),
    TextLayout(
        "cockroach",
        r"(?P<level>[IWEF])(?P<time>{mysql}) (?P<tid>[0-9]+) (?:[0-9]+@)?(?P<source>[^ :\]]+):(?P<code_line>[0-9]+)"
        r"(?: +⋮)? +(?:\[(?P<tags>[^\]]*)\] +)?(?:(?P<number>[0-9]+) +)?",
        "I230129 16:42:09.486123 17 server/server.go:123 ⋮ [n1] 12  starting cockroach node",
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "tikv",
        rf"\[(?P<time>{{iso}})\] \[{_LEVEL}\] \[(?P<source>[^\]:]+):(?P<code_line>[0-9]+)\] ",
        '[2023/01/29 16:42:09.486 +00:00] [INFO] [server.rs:123] ["Welcome to TiKV"] [version=7.5]',
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "db2diag",
        r"(?P<time>{bgl}) (?P<record>[A-Z][0-9]+[A-Z][0-9]+) +LEVEL: (?P<level>\w+)(?: \([^)]*\))?$",
        "2023-01-29-16.42.09.486123+060 I22686E537            LEVEL: Error",
        multiline=True,
        rank=7,
    ),
    TextLayout(
        "gluster",
        r"\[(?P<time>{iso})\] (?P<level>[MACEWNIDT]) (?:\[MSGID: (?P<code>[0-9]+)\] )?"
        r"\[(?P<source>[\w.-]+):(?P<code_line>[0-9]+):(?P<function>\w+)\] ",
        "[2023-01-29 16:42:09.486123] I [MSGID: 100030] [glusterfsd.c:2865:main] 0-glusterfs: Started running",
        multiline=True,
    ),
)

SECURITY: Final = (
    TextLayout(
        "auditd",
        r"(?:node=(?P<host>[^ ]+) )?type=(?P<source>[A-Z][A-Z0-9_]*|UNKNOWN\[[0-9]+\]) "
        r"msg=audit\((?P<time>[0-9]{10}\.[0-9]{3}):(?P<serial>[0-9]+)\): ?",
        "type=USER_LOGIN msg=audit(1675010529.486:4713): pid=1 uid=0 res=failed",
        stamp="epoch",
        numbers=frozenset({"serial"}),
        rank=8,
    ),
    TextLayout(
        "cef",
        r"(?:<[0-9]{1,3}>)?(?:(?P<time>{syslog-year}|{syslog}|{iso}) (?:(?P<host>[^ |]+) )?(?:[^ |]+: )?)?CEF: ?[0-9.]+"
        r"\|(?P<vendor>[^|]*)\|(?P<source>[^|]*)\|(?P<version>[^|]*)\|(?P<signature>[^|]*)\|",
        "Jan 29 16:42:09 fw1 CEF:0|Security|threatmanager|1.0|100|worm stopped|10|rt=1675010529486 src=192.0.2.7",
        scale=_CEF,
        tail=r"(?P<message>(?:[^|\\]|\\.)*\|(?:(?P<level>[0-9]+)|[A-Za-z-]*)\|(?:(?:.* )?rt=(?P<_rt>[0-9]{13})\b)?.*)",
        derive=first_of("time", "_rt", "time"),  # its own (rt) is exact and in UTC; the relay's may be missing
        needs={"timestamp": ("time", "_rt")},
        rank=8,
    ),
    TextLayout(
        "leef",
        r"(?:<[0-9]{1,3}>)?(?:(?P<time>{syslog-year}|{syslog}|{iso}) (?:(?P<host>[^ |]+) )?)?LEEF: ?[0-9.]+"
        r"\|(?P<vendor>[^|]*)\|(?P<source>[^|]*)\|(?P<version>[^|]*)\|",
        "Jan 29 16:42:09 192.0.2.7 LEEF:1.0|QRadar|QRM|1.0|NEW_PORT_DISCOVERD|src=192.0.2.9 sev=5",
        rank=8,
    ),
)

SERVERS: Final = (
    TextLayout(
        "envoy",
        rf"\[(?P<time>{{iso}})\]\[(?P<tid>[0-9]+)\]\[{_LEVEL}\]\[(?P<source>[^\]]*)\] (?:\[(?P<code>[^\]]*)\] )?",
        "[2023-01-29 16:42:09.486][1][info][main] [source/server/server.cc:249] initializing epoch 0",
        numbers=_N,
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "ros",
        rf"(?:\[(?P<process>[\w.-]+)\] )?\[ *{_LEVEL}\] \[(?P<time>1[0-9]{{9}}\.[0-9]{{1,9}})(?:, [0-9.]+)?\]"
        r"(?: \[(?P<source>[^\]]+)\])?: ",
        "[INFO] [1675010529.486123456] [camera_node]: dropped frame 17",
        stamp="epoch",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "tensorflow",
        r"(?P<time>{iso}): (?P<level>[IWEF]) (?P<source>[\w./-]+):(?P<code_line>[0-9]+)\] ",
        "2023-01-29 16:42:09.486123: W tensorflow/core/framework/op_kernel.cc:1827] failed to allocate memory",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "icinga",
        rf"\[(?P<time>{{iso}})\] {_LEVEL}/(?P<source>\w+): ",
        "[2023-01-29 16:42:09 +0100] information/ConfigItem: Committing config item(s).",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "zabbix",
        r" *(?P<pid>[0-9]+):(?P<time>{compact}) ",
        "  4712:20230129:164209.486 Starting Zabbix Server. Zabbix 6.0.1",
        numbers=_N,
        multiline=True,
        rank=5,
    ),
    TextLayout(
        "telegraf",
        r"(?P<time>{iso}) (?P<level>[EWIDT])! (?:\[(?P<source>[^\]]*)\] )?",
        "2023-01-29T16:42:09Z E! [outputs.influxdb] Failed to write metric",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "asterisk",
        rf"\[(?P<time>{{syslog}}|{{iso}})\] {_LEVEL}\[(?P<pid>[0-9]+)\](?:\[(?P<call>[\w-]+)\])? "
        r"(?P<source>[\w.-]+)(?: [^:]*)?: ",
        "[Jan 29 16:42:09] NOTICE[1234][C-00000017] chan_sip.c: Registration failed - Wrong password",
        numbers=_N,
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "samba",
        r"\[(?P<time>{iso}), +(?P<debug>[0-9]+)[^\]]*\] (?P<source>[^ (]+)\((?P<function>\w+)\)$",
        "[2023/01/29 16:42:09.486123,  0, pid=4712] ../source3/smbd/server.c:1782(main)",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "cups",
        r"(?P<level>[EWNIDXACd]) \[(?P<time>{clf})\] ",
        "E [29/Jan/2023:16:42:09 +0100] [Job 17] Stopping job because the filter could not be run.",
        rank=6,
    ),
    TextLayout(
        "esxi",
        rf"(?P<time>{{iso}}) {_LEVEL} (?P<source>[A-Za-z][\w.-]*)\[(?P<pid>[0-9A-F]+)\] "
        r"(?:\[Originator@[0-9]+ (?P<originator>[^\]]*)\] )?",
        "2023-01-29T16:42:09.486Z info hostd[12345] [Originator@6876 sub=Vimsvc.TaskManager opID=x] Task Created",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "websphere",
        r"\[(?P<time>{us-short})\] (?P<tid>[0-9a-f]{8}) (?P<source>[^ ]+) +(?:(?P<level>[FEWID])|[ACOR<>0-9]) +",
        "[1/29/23 16:42:09:486 CET] 00000018 webapp        E   SRVE0293E: [Servlet Error]-[shop]",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "weblogic",
        rf"<(?P<time>{{java}})> <{_LEVEL}> <(?P<source>[^>]*)> <(?P<code>BEA-[0-9]+)> <",
        "<Jan 29, 2023 4:42:09 PM CET> <Error> <HTTP> <BEA-101020> <Servlet failed with an Exception>",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "weblogic-server",
        rf"\#\#\#\#<(?P<time>{{java}})> <{_LEVEL}> <(?P<source>[^>]*)> ",
        "####<Jan 29, 2023 4:42:09,486 PM CET> <Info> <Security> <host1> <AdminServer> <BEA-090065> <Getting identity>",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "xorg",
        r"\[ *(?P<uptime>[0-9]+\.[0-9]{3})\] (?:\((?:(?P<level>II|WW|EE)|[^()]{2})\) )?",
        '[    12.345] (EE) Failed to load module "fbdev" (module does not exist, 0)',
        rank=3,
    ),
    TextLayout(
        "php",
        r"\[(?P<time>{day-month})(?: (?P<zone>[A-Z][a-z]+/[\w/+-]+))?\] (?:PHP )?(?P<level>Fatal|Parse|Warning|Notice"
        r"|Deprecated|NOTICE|WARNING|ERROR|ALERT|DEBUG)(?: error)?: +",
        "[29-Jan-2023 16:42:09 Europe/Berlin] PHP Warning:  Undefined variable $x in /srv/shop.php on line 3",
        multiline=True,
        rank=6,
    ),
)

#: What is left: a name before the level, a time within the line.
LEFT: Final = (
    TextLayout(
        "name-level",
        rf"(?P<time>{{any}}) (?P<source>[A-Za-z][\w./-]*)(?:\[(?P<pid>[0-9]+)\])?(?:\([^)]*\)(?:<[^>]*>)*)?(?:: | \()"
        rf"{_LEVEL}(?:: |\): )",
        "Jan 29 16:42:09 imap-login: Info: Login: user=<bob>, method=PLAIN, rip=192.0.2.7",
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "pid-time-level",
        rf"\[?(?P<pid>[0-9]+)\]?:? +\[?(?P<time>{{any}})\]?[ \t,:|-]+[\[(<]?{_LEVEL}\b(?:[ \t]*[\])>])?"
        r":?(?:[ \t|-]+|$)",
        "[4712] 2023/01/29 16:42:09.486123 [INF] Starting nats-server",
        numbers=_N,
        rank=3,
    ),
    TextLayout(
        "name-time-level",
        rf"\[?(?P<source>[A-Za-z][\w./-]*)(?:\[(?P<pid>[0-9]+)\])?\]?:? +(?:\| +)?\[?(?P<time>{{any}})\]?[ \t,:|-]+"
        rf"[\[(<]?{_LEVEL}\b(?:[ \t]*[\])>])?:?(?:[ \t|-]+|$)",
        "web_1    | 2023-01-29 16:42:09 ERROR cannot reach the printer",
        numbers=_N,
        rank=3,
    ),
    TextLayout(
        "inside",
        r"(?P<message>(?:.{0,200}?[^0-9A-Za-z])??(?P<time>{dated}).*)",
        "[pid: 4712|app: 0|req: 17/34] 192.0.2.7 () {42 vars} [Sun Jan 29 16:42:09 2023] GET / => generated 12 bytes",
        rank=-1,
    ),
    TextLayout(
        "inside-epoch",
        r"(?P<message>.{0,300}?[^0-9A-Za-z_.-](?P<time>1[0-9]{9}(?:\.[0-9]{1,9}|[0-9]{3}|[0-9]{6}|[0-9]{9})?)"
        r"(?:[^0-9A-Za-z_.].*)?)$",
        "2 123456789010 eni-1235b8ca 192.0.2.7 198.51.100.4 20641 22 6 20 4249 1675010529 1675010589 ACCEPT OK",
        stamp="epoch",
        rank=-2,
    ),
)
