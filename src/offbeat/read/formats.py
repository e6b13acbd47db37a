r"""The text formats, as data. One row a format; families stand together.

The header ends where the public loghub collection lets it end (https://github.com/logpai/loghub), so that ``message``
is what template miners are usually given.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from offbeat.read import access, levels
from offbeat.read.layout import TextLayout, Want

_LEVEL: Final = r"(?P<level>{LEVEL})"
_PID: Final = r"(?P<pid>[0-9]+)"
_PROGRAM: Final = r"(?P<source>[^ :\[\]]+(?: [^ :\[\]=]+)?)(?:\[(?P<pid>[0-9]+)\])?(?: \([^)]*\))?:(?: |$)"
_N: Final = frozenset({"pid", "tid", "node_id", "flag"})


def _exact_time(groups: pl.DataFrame, want: Want) -> pl.DataFrame:
    """BlueGene/L writes whole seconds in UTC, and the microseconds only in a stamp of local time: join the two."""
    if "timestamp" not in want:
        return groups
    return groups.with_columns(time=pl.col("time") + "." + pl.col("_micros"))


def _origin(groups: pl.DataFrame, want: Want) -> pl.DataFrame:
    """Zookeeper joins thread, addresses and class by colons, and all of them may hold more."""
    if "_origin" not in groups.columns:
        return groups
    distinct = groups["_origin"].drop_nulls().unique()
    parts = distinct.str.extract_groups(r"^(?:(?P<thread>.*):)?(?P<source>[^:]*)$").struct.unnest()
    found = pl.col("_origin").replace_strict
    return groups.with_columns(
        found(distinct, parts[name], default=None, return_dtype=pl.String).alias(name) for name in parts.columns
    )


_LOG4J: Final = (
    TextLayout(
        "hdfs",
        rf"(?P<time>{{hdfs}}) {_PID} (?P<level>[A-Z]+) (?P<source>[^ :]+): ?",
        "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_388 terminating",
        multiline=True,
        numbers=_N,
    ),
    TextLayout(
        "hadoop",
        rf"(?P<time>{{iso}}) +{_LEVEL} +\[(?P<thread>(?:[^\[\]]|\[[^\]]*\])*)\] +(?P<source>[\w.$/-]+): ?",
        "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.MRAppMaster: Created MRAppMaster for application 1",
        multiline=True,
    ),
    TextLayout(
        "spark",
        r"(?P<time>{spark}) (?P<level>[A-Z]+) +(?P<source>[^ :]+): ?",
        "17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Registered signal handlers for [TERM, HUP]",
        multiline=True,
    ),
    TextLayout(
        "zookeeper",
        rf"(?P<time>{{iso}}) - {_LEVEL} +\[(?P<_origin>[^@]*)@(?P<code_line>-?[0-9]+)\] - ?",
        "2015-07-29 17:41:44,747 - INFO  [QuorumPeer[myid=1]/0:0:0:0:0:0:0:0:2181:FastLeaderElection@774] - Time out",
        multiline=True,
        derive=_origin,
        needs={"source": ("_origin",), "thread": ("_origin",)},
        derived=("thread",),
    ),
    TextLayout(
        "spring",
        rf"(?P<time>{{iso}}) +{_LEVEL} +(?:\[[^\]]*\] +)?{_PID} +--- +(?:\[[^\]]*\] +)?\[ *(?P<thread>[^\]]*)\]"
        r" +(?P<source>[^ ]+) *: ?",
        "2023-01-29 16:42:09.486  INFO 4712 --- [nio-8080-exec-1] o.s.web.DispatcherServlet : Completed in 3 ms",
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "logback",
        rf"(?P<time>{{iso}}|{{clock}}) +\[(?P<thread>[^\]]*)\] +{_LEVEL} +(?P<source>[\w.$/\[\]-]+)"
        r"(?:\#[0-9]+)?(?: +\[[^\]]*\])? (?:-|:|--) ?",
        "16:42:09.486 [main] INFO  c.e.shop.OrderController - order 17 accepted",
        multiline=True,
    ),
    TextLayout(
        "service-trace",
        rf"(?P<time>{{clock}}|{{iso}}) +{_LEVEL} +(?P<source>[^ #]+)#(?P<code_line>[0-9]+)"
        r" +TraceID: (?P<trace_id>[^ ]*) +SpanID: (?P<span_id>[^ ]*) ?",
        "16:42:09.486 INFO  t.c.Travel2Controller#115 TraceID: 9f SpanID: 7a [query][Query for travels]",
        multiline=True,
        rank=7,
    ),
    TextLayout(
        "log4j",
        rf"(?P<time>{{iso}}) +(?:\[[^\]]*\] +)?\[?{_LEVEL}\]? +(?:\[(?P<thread>[^\]]*)\] +)?"
        r"(?P<source>[A-Za-z_][\w$]*(?:[./][\w$-]+)+)(?::[0-9]+)?(?: -|:) ",
        "2023-01-29 16:42:09,486 INFO org.example.Store - flushed 12 rows",
        multiline=True,
    ),
    TextLayout(
        "elasticsearch",
        rf"\[(?P<time>{{iso}})\]\[{_LEVEL} *\]\[(?P<source>[^\]]*?) *\] (?:\[(?P<node>[^\]]*)\] ?)?",
        "[2023-01-29T16:42:09,486][INFO ][o.e.n.Node               ] [es-1] started",
        multiline=True,
    ),
    TextLayout(
        "kafka",
        rf"\[(?P<time>{{iso}})\] {_LEVEL} ",
        "[2023-01-29 16:42:09,486] INFO Loaded 12 logs in 31 ms (kafka.log.LogManager)",
        multiline=True,
        tail=r"(?P<message>.*?)(?: \((?P<source>[\w.$]+)\))?$",
    ),
    TextLayout(
        "cassandra",
        rf"{_LEVEL} +\[(?P<thread>[^\]]*)\] +(?P<time>{{iso}}) (?P<source>\w+)\.java:(?P<code_line>[0-9]+) - ?",
        "INFO  [main] 2023-01-29 16:42:09,486 StorageService.java:617 - CQL version 3.4.4",
        multiline=True,
    ),
    TextLayout(
        "tomcat",
        rf"(?P<time>{{day-month}}) {_LEVEL} \[(?P<thread>[^\]]*)\] (?P<source>[\w.$]+) ",
        "29-Jan-2023 16:42:09.486 INFO [main] org.apache.catalina.startup.Catalina.start Server startup in 812 ms",
        multiline=True,
    ),
)

_APPLICATIONS: Final = (
    TextLayout(
        "python",
        rf"(?P<time>{{iso}}) (?:-|\|) (?P<source>[\w.$ /-]+?) +(?:-|\|) (?:\[?{_LEVEL}\]?) +(?:-|\|) ",
        "2023-01-29 16:42:09,486 - shop.orders - INFO - order 17 accepted",
        multiline=True,
    ),
    TextLayout(
        "python-basic",
        rf"{_LEVEL}:(?P<source>[\w.-]+):",
        "WARNING:root:disk 91 % full",
        multiline=True,
        rank=3,
    ),
    TextLayout(
        "openstack",
        rf"(?:(?P<log_file>[^ ]+\.log[^ ]*) )?(?P<time>{{iso}}) {_PID} {_LEVEL} (?P<source>[\w.-]+) "
        r"\[(?P<request>[^\]]*)\] ?",
        "nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server "
        '[req-38101a0b 113d3a99 - - -] 10.11.10.1 "GET /v2/servers HTTP/1.1" status: 200',
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "klog",
        r"(?P<level>[IWEF])(?P<time>{klog}) +(?P<pid>[0-9]+) (?P<source>[^ :\]]+):(?P<code_line>[0-9]+)\] ",
        "I0129 16:42:09.486123       1 controller.go:115] Starting workers",
        multiline=True,
        numbers=_N,
    ),
    TextLayout(
        "ruby",
        r"[DIWEFA], \[(?P<time>{iso}) \#(?P<pid>[0-9]+)\] +(?P<level>[A-Z]+) -- (?P<source>[^:]*): ",
        "I, [2023-01-29T16:42:09.486123 #4712]  INFO -- : Started GET /",
        multiline=True,
        numbers=_N,
    ),
    TextLayout(
        "postgresql",
        r"(?P<time>{iso})(?: [A-Z]{3,4})? \[(?P<pid>[0-9]+)(?:-[0-9]+)?\] (?:(?P<user>[^ @]*)@(?P<database>[^ ]*) )?"
        r"(?P<level>[A-Z]+[0-9]?): +",
        "2023-01-29 16:42:09.486 CET [4712] app@shop ERROR:  duplicate key value violates unique constraint",
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "mysql",
        r"(?P<time>{iso}) (?P<thread>[0-9]+) \[(?P<level>[A-Za-z]+)\] "
        r"(?:\[(?P<code>MY-[0-9]+)\] )?(?:\[(?P<source>\w+)\] )?",
        "2023-01-29T16:42:09.486123Z 0 [Warning] [MY-010068] [Server] CA certificate ca.pem is self signed.",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "redis",
        r"(?P<pid>[0-9]+):(?P<role>[XCSM]) (?P<time>{day-month}) [.*#-] ",
        "4712:M 29 Jan 2023 16:42:09.486 * Background saving started by pid 77",
        numbers=_N,
    ),
    TextLayout(
        "android",
        r"(?P<time>{logcat}) +(?P<pid>[0-9]+) +(?P<tid>[0-9]+) (?P<level>[VDIWEFA]) (?P<source>[^:]*?) *: ?",
        "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezingDisplayLogsopening app wtoken = 12",
        numbers=_N,
    ),
    TextLayout(
        "windows-cbs",
        rf"(?P<time>{{iso}}), {_LEVEL} +(?P<source>[A-Z][A-Za-z0-9]{{2,11}})(?: {{2,}}| *$)",
        "2016-09-28 04:30:30, Info                  CBS    Loaded Servicing Stack v6.1.7601.23505",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "proxifier",
        r"\[(?P<time>{proxifier})\] (?P<source>[^ ]+(?: \*64)?) - ",
        "[10.30 16:49:06] chrome.exe - proxy.example.com:5070 open through proxy proxy.example.com:5070 HTTPS",
    ),
    TextLayout(
        "healthapp",
        r"(?P<time>{healthapp})\|(?P<source>[^|]*)\|(?P<pid>[^|]*)\|",
        "20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579",
    ),
)

_WEB: Final = (
    *access.LAYOUTS,
    TextLayout(
        "apache-error",
        r"\[(?P<time>{ctime})\] \[(?:(?P<source>[\w-]+):)?(?P<level>\w+)\]"
        r"(?: \[pid (?P<pid>[0-9]+)(?::tid (?P<tid>[0-9]+))?\])? ",
        "[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6",
        numbers=_N,
        rank=6,
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
        scale={n: levels.SYSLOG[n % 8] for n in range(192)},
        rank=7,
    ),
    TextLayout(
        "syslog-pri",
        rf"<(?P<level>[0-9]{{1,3}})>(?P<time>{{syslog}}|{{iso}}) (?P<host>[^ ]+) (?:{_PROGRAM})?",
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        scale={n: levels.SYSLOG[n % 8] for n in range(192)},
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "mac",
        r"(?P<time>{syslog}) (?P<host>[^ ]+) (?P<source>[^:\[ ]+(?: [^:\[ ]+)+)"
        r"\[(?P<pid>[0-9]+)\](?: \((?P<address>[^)]*)\))?: ?",
        "Jul  1 09:20:37 calvisitor-10-105-160-95 Microsoft Word[14463]: (*/*/*) Untitled document opened",
        numbers=_N,
        rank=5,
    ),
    TextLayout(
        "syslog",
        rf"(?P<time>{{syslog}}|{{syslog-year}}) (?P<host>[^ ]+) +(?:-- )?{_PROGRAM}",
        "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0",
        numbers=_N,
        rank=4,
    ),
    TextLayout(
        "syslog-bare",
        r"(?P<time>{syslog}|{syslog-year}) (?P<host>[A-Za-z0-9][^ :=]*) ",
        "Jun 14 15:16:01 combo last message repeated 2 times",
        rank=3,
    ),
    TextLayout(
        "syslog-iso",
        r"(?P<time>{iso}) (?P<host>[A-Za-z0-9][\w.-]*) "
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
        r"\[?(?P<time>{any})\]?[ \t,:|-]*[\[(<]?(?P<level>{LEVEL})\b[\])>]?:?(?:[ \t|-]+|$)",
        "2023-01-29 16:42:09 [ERROR] cannot reach the printer",
        multiline=True,
        rank=2,
    ),
    TextLayout(
        "level-time",
        r"\[?(?P<level>{LEVEL})\b\]?[ \t,:|-]+\[?(?P<time>{any})\]?[ \t,:|-]*",
        "ERROR [2023-01-29 16:42:09] cannot reach the printer",
        multiline=True,
        rank=2,
    ),
    TextLayout(
        "time",
        r"[\[(]?(?P<time>{any})\b[\])]?(?:[ \t,:|-]+|$)",
        "2023-01-29 16:42:09 status installed libc6:amd64 2.36-9",
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
    layout.name: layout for layout in (*_SUPERCOMPUTERS, *_LOG4J, *_APPLICATIONS, *_WEB, *_SYSLOG, *_GENERIC)
}
