r"""The text formats of applications, as data: log4j and its kin, Python, Go, .NET, databases, telephones.

One row a format; the more particular stand first. See :mod:`offbeat.read.formats`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from offbeat.read.layout import TextLayout, Want

_LEVEL: Final = r"(?P<level>{LEVEL})"
_PID: Final = r"(?P<pid>[0-9]+)"
_N: Final = frozenset({"pid", "tid"})


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


LOG4J: Final = (
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
        r"(?:\#[0-9]+)?(?: +\[[^\]]*\]| \([^()]*\))? (?:-|:|--) ?",
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
        r"(?P<source>[A-Za-z_][\w$]*(?:[./][\w$-]+)+)(?::[0-9]+)?(?: +\[[^\]]*\])?(?: +-|:) ",
        "2023-01-29 16:42:09,486 INFO org.example.Store - flushed 12 rows",
        multiline=True,
    ),
    TextLayout(
        "wildfly",
        rf"(?P<time>{{iso}}|{{clock}}) +{_LEVEL} +\[(?P<source>[\w.$-]+)\] \((?P<thread>[^)]*)\) ?",
        "16:42:09,486 INFO  [org.jboss.as] (Controller Boot Thread) WFLYSRV0025: started in 8120ms",
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
        tail=r"(?P<message>.*?)(?: \((?P<source>[\w.$]+)(?::[0-9]+)?\))?$",
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

APPLICATIONS: Final = (
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
        "airflow",
        rf"\[(?P<time>{{iso}})\] \{{(?P<source>[^:\}}]+):(?P<code_line>[0-9]+)\}} +{_LEVEL} +- ",
        "[2023-01-29 16:42:09,486] {taskinstance.py:1087} INFO - Dependencies all met",
        multiline=True,
    ),
    TextLayout(
        "celery",
        rf"\[(?P<time>{{iso}}): {_LEVEL}/(?P<thread>[^\]]+)\] ?",
        "[2023-01-29 16:42:09,486: INFO/MainProcess] celery@web-1 ready.",
        multiline=True,
    ),
    TextLayout(
        "fail2ban",
        rf"(?P<time>{{iso}}) (?P<source>[A-Za-z_][\w.]*) +\[{_PID}\]: +{_LEVEL} +",
        "2023-01-29 16:42:09,486 fail2ban.actions        [712]: NOTICE  [sshd] Ban 192.0.2.7",
        multiline=True,
        numbers=_N,
    ),
    TextLayout(
        "dotnet",
        r"(?P<level>trce|dbug|info|warn|fail|crit): (?P<source>[A-Za-z_][\w.`+]*)\[(?P<event_id>-?[0-9]+)\](?: |$)",
        "info: Microsoft.Hosting.Lifetime[14] Now listening on: http://localhost:5000",
        multiline=True,
        numbers=frozenset({"event_id"}),
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
        r"(?P<level>[IWEF])(?P<time>{klog}|{compact}) +(?P<pid>[0-9]+) (?P<source>[^ :\]]+):(?P<code_line>[0-9]+)\] ",
        "I0129 16:42:09.486123       1 controller.go:115] Starting workers",
        multiline=True,
        numbers=_N,
    ),
    TextLayout(
        "capnslog",
        r"(?P<time>{iso}) (?P<level>[CEWNIDT]) \| (?P<source>[\w./-]+): ?",
        "2023-01-29 16:42:09.486123 I | etcdmain: Git SHA: 9a1b2c3",
        multiline=True,
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
        "mongodb",
        r"(?P<time>{iso}) (?P<level>[FEWID])[1-5]? +(?P<source>[A-Z][A-Z-]*|-) +\[(?P<thread>[^\]]*)\] ?",
        "2023-01-29T16:42:09.486+0000 I NETWORK  [conn1] end connection 127.0.0.1:50100 (3 connections now open)",
        multiline=True,
    ),
    TextLayout(
        "android",
        r"(?P<time>{logcat}|{iso}) +(?P<pid>[0-9]+) +(?P<tid>[0-9]+) (?P<level>[VDIWEFA]) (?P<source>[^:]*?) *: ?",
        "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezingDisplayLogsopening app wtoken = 12",
        numbers=_N,
    ),
    TextLayout(
        "android-time",
        r"(?P<time>{logcat}|{iso}) +(?P<level>[VDIWEFA])/(?P<source>[^(:]*?) *\( *(?P<pid>[0-9]+)\): ?",
        "03-17 16:13:38.811 D/WindowManager( 1702): printFreezingDisplayLogsopening app wtoken = 12",
        numbers=_N,
    ),
    TextLayout(
        "android-brief",
        r"(?P<level>[VDIWEFA])/(?P<source>[^(:]*?) *\( *(?P<pid>[0-9]+)\): ?",
        "D/WindowManager( 1702): printFreezingDisplayLogsopening app wtoken = 12",
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
