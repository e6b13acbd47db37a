r"""The text formats that languages' runtimes and their logging libraries write by themselves, as data.

One row a format; the more particular stand first. See :mod:`offbeat.read.formats`.
"""

from __future__ import annotations

from typing import Final

from offbeat.read.layout import TextLayout

_LEVEL: Final = r"(?P<level>{LEVEL})"
_N: Final = frozenset({"pid", "tid"})

RUNTIMES: Final = (
    TextLayout(
        "jul",
        r"(?P<time>{java}) (?P<source>[A-Za-z_][\w$]*(?:\.[\w$]+)+) (?P<method>[\w$<>]+)$",
        "Jan 29, 2023 4:42:09 PM org.example.Main start",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "jvm",
        rf"(?:\[(?P<time>{{iso}})\](?:\[(?P<uptime>[0-9.,]+m?s)\])?|\[[0-9.,]+m?s\])"
        rf"\[{_LEVEL} *\]\[(?P<source>[a-z,+]+) *\] ?",
        "[2023-01-29T16:42:09.486+0100][1.234s][info][gc] GC(17) Pause Young (Normal) 24M->4M(256M) 3.234ms",
        rank=6,
    ),
    TextLayout(
        "rust",
        rf"\[?(?P<time>{{iso}}) +{_LEVEL} +(?:ThreadId\((?P<tid>[0-9]+)\) +)?(?P<span>(?:\w+(?:\{{[^}}]*\}}:?)+)+ )?"
        r"(?P<source>[a-z_]\w*(?:::\w+)+)(?:\]|:) ",
        "2023-01-29T16:42:09.486123Z  INFO shop::server: listening addr=0.0.0.0:8080",
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "rust-crate",
        rf"(?:\[(?P<time>{{iso}}) +{_LEVEL} +(?P<source>[a-z_][\w-]*)\]) ",
        "[2023-01-29T16:42:09Z ERROR shop] broken pipe",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "tracing",
        rf"(?P<time>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:]{{8}}\.[0-9]{{6}}Z) +{_LEVEL} "
        rf"(?P<span>(?:\w+(?:\{{[^}}]*\}}:?)+)+ )?(?P<source>[a-z_]\w*): ",
        "2023-01-29T16:42:09.486123Z ERROR shop: broken pipe",
        stamp="iso",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "pipes",
        rf"(?P<time>{{iso}}) *\| *{_LEVEL} *\| *(?P<source>[A-Za-z_][\w.$<>-]*)(?::[\w<>.-]+:[0-9]+)? *(?:\||-) *",
        "2023-01-29 16:42:09.4861|INFO|Shop.Program|Started",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "tabs",
        rf"(?P<time>{{iso}})\t{_LEVEL}\t(?:(?P<thread>[\w.-]+)\t)?(?P<source>[A-Za-z_][\w.$/-]*)(?::[0-9]+)?\t"
        r"(?P<message>[^{].*)",
        "2023-01-29T16:42:09.486Z\tINFO\tserver/main.go:17\tlistening",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "jenkins",
        rf"(?P<time>{{iso}}) \[id=(?P<tid>[0-9]+)\][ \t]+{_LEVEL}[ \t]+(?P<source>[\w.$]+)\#(?P<method>[^:]+): ",
        "2023-01-29 16:42:09.486+0000 [id=1]\tINFO\thudson.lifecycle.Lifecycle#onReady: Jenkins is fully up",
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "bracketed-name",
        rf"(?P<time>{{iso}}) \[(?P<source>[A-Za-z_][\w.-]*)\] {_LEVEL}: ",
        "2023-01-29 16:42:09 [scrapy.core.engine] INFO: Spider opened",
        multiline=True,
        rank=4,
    ),
    TextLayout(
        "salt",
        rf"(?P<time>{{iso}}) \[(?P<source>[\w.-]+) *(?::(?P<code_line>[0-9]+))?\]\[{_LEVEL} *\]"
        r"(?:\[(?P<pid>[0-9]+)\])? ",
        "2023-01-29 16:42:09,486 [salt.minion      :1234][INFO    ][4712] Minion is ready to receive requests!",
        multiline=True,
        numbers=_N,
    ),
    TextLayout(
        "monolog",
        rf"\[(?P<time>{{iso}})\] (?P<source>[\w-]+)\.{_LEVEL}: ",
        '[2023-01-29T16:42:09.486123+00:00] request.INFO: Matched route "home". {"route":"home"} []',
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "logback-short",
        rf"(?P<time>{{iso}}|{{clock}}) +{_LEVEL} +\[(?P<thread>[^\]]*)\] +(?P<source>[a-z][\w$]*(?:\.[\w$]+)+) (?:- )?",
        "2023-01-29 16:42:09,486 INFO [main] o.a.n.p.standard.LogAttribute flushed 12 rows",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "thread-logger",
        rf"(?P<time>{{iso}}) {_LEVEL} \((?P<thread>[^)]*)\) \[(?P<source>[\w.]+)\] ",
        "2023-01-29 16:42:09.486 ERROR (SyncWorker_3) [homeassistant.components.mqtt] Failed to connect",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "thread-level",
        rf"\[(?P<time>{{any}})\] \[(?P<thread>[^\]/]*)/{_LEVEL}\](?: \[(?P<source>[^\]/]*)[^\]]*\])?:? ",
        "[16:42:09] [Server thread/WARN]: Can't keep up! Is the server overloaded?",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "erlang",
        rf"(?P<time>{{iso}}) \[{_LEVEL}\] (?P<pid><[0-9]+\.[0-9]+\.[0-9]+>) ?",
        "2023-01-29 16:42:09.486123+00:00 [info] <0.9.0> Time to start RabbitMQ: 8000 ms",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "erlang-report",
        rf"={_LEVEL} REPORT==== (?P<time>{{day-month}})(?: UTC)? ===$",
        "=ERROR REPORT==== 29-Jan-2023::16:42:09 ===",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "chromium",
        rf"\[(?:(?P<pid>[0-9]+):)?(?:(?P<tid>[0-9]+):)?(?P<time>{{chromium}}):{_LEVEL}:"
        r"(?P<source>[^\]()]+)\((?P<code_line>[0-9]+)\)\] ",
        "[4712:4712:0129/164209.486123:ERROR:gpu_init.cc(523)] Passthrough is not supported",
        numbers=_N,
        multiline=True,
        rank=6,
    ),
)
