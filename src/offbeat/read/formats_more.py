r"""The text formats of notebooks, job schedulers, microcontrollers and other programs of their own, as data.

One row a format; the more particular stand first. See :mod:`offbeat.read.formats`.
"""

from __future__ import annotations

from typing import Final

from offbeat.read.layout import TextLayout

_LEVEL: Final = r"(?P<level>{LEVEL})"
_LOGRUS: Final = "(?P<level>INFO|WARN|ERRO|FATA|DEBU|TRAC|PANI)"
_N: Final = frozenset({"pid", "uptime"})

PROGRAMS: Final = (
    TextLayout(
        "tornado",  # and Jupyter
        r"\[(?P<level>[IWEDC]) (?P<time>{iso}|{mysql}|{clock})"
        r"(?: (?P<source>[A-Za-z_][\w.]*)(?::(?P<code_line>[0-9]+))?)?\] ",
        "[W 2023-01-29 16:42:10.486 ServerApp] 404 GET /api/x (192.0.2.7) 1.23ms referer=None",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "lambda",
        rf"(?P<time>{{iso}})\t(?P<request>[0-9a-f-]{{36}}|undefined)\t{_LEVEL}\t",
        "2023-01-29T16:42:10.486Z\t7a1b2c3d-1111-2222-3333-444455556666\tERROR\torder 18 refused",
        multiline=True,
        rank=7,
    ),
    TextLayout(
        "logrus",
        rf"{_LOGRUS}\[(?P<time>{{iso}})\] +",
        'ERRO[2023-01-29T16:42:11Z] cannot write                                  error="no space left"',
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "logrus-uptime",
        rf"{_LOGRUS}\[(?P<uptime>[0-9]{{4,}})\] +",
        'FATA[0003] cannot write                                  error="no space left"',
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "lambda-platform",
        r"(?P<message>(?:START|END|REPORT) RequestId: (?P<request>[0-9a-f-]{36}).*)",
        "START RequestId: 7a1b2c3d-1111-2222-3333-444455556666 Version: $LATEST",
        rank=6,
    ),
    TextLayout(
        "odoo",
        rf"(?P<time>{{iso}}) (?P<pid>[0-9]+) {_LEVEL} (?P<database>[\w-]+|\?) (?P<source>[A-Za-z_][\w.]*): ",
        "2023-01-29 16:42:10,486 4712 ERROR shop odoo.sql_db: bad query: SELECT x",
        numbers=_N,
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "tendermint",
        r"(?P<level>[DIWE])\[(?P<time>{iso})\] +",
        "E[2023-01-29|16:42:10.486] Error dialing peer                           module=p2p",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "esphome",
        r"\[(?P<time>{clock})\]\[(?P<level>[VDCIWE])\]\[(?P<source>[\w.]+)(?::(?P<code_line>[0-9]+))?\]: ",
        "[16:42:10][W][component:204]: Component api took a long time for an operation (0.12 s).",
        rank=6,
    ),
    TextLayout(
        "esp-idf",
        r"(?P<level>[IWEDV]) \((?P<uptime>[0-9]+)\) (?P<source>[\w.-]+): ",
        "W (2234) wifi: alloc eb len=76 fail",
        numbers=_N,
        rank=4,
    ),
    TextLayout(
        "zephyr",
        r"\[(?P<uptime>[0-9:.,]+)\] <(?P<level>inf|err|wrn|dbg)> (?P<source>[\w.-]+): ",
        "[00:00:02.234,567] <err> store: cannot write",
        rank=6,
    ),
    TextLayout(
        "grid-engine",
        r"(?P<time>{us})\|(?P<source>[\w-]+)\|(?P<host>[^|]*)\|(?P<level>[IWECD])\|",
        "01/29/2023 16:42:10|qmaster|host1|E|commlib error: got select error",
        rank=6,
    ),
    TextLayout(
        "ipmi-sel",
        r" *(?P<record>[0-9a-f]+) \| (?P<time>{us}) \| (?P<source>[^|#]+?)(?: \#0x[0-9a-f]+)? \| ",
        "   1 | 01/29/2023 | 16:42:09 | Power Supply #0x51 | Failure detected | Asserted",
        rank=6,
    ),
    TextLayout(
        "passenger",
        r"\[ (?P<level>[A-Z]) (?P<time>{iso}) (?P<pid>[0-9]+)/(?P<thread>\w+) (?P<source>[^ ]+):"
        r"(?P<code_line>[0-9]+) \]: ",
        "[ E 2023-01-29 16:42:10.4861 4712/T8 age/Cor/App/Implementation.cpp:218 ]: Could not spawn process",
        numbers=_N,
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "syslog-epoch",
        r"(?P<time>1[0-9]{9}\.[0-9]{6}) (?P<host>[A-Za-z0-9][\w.-]*) (?P<source>[A-Za-z_][\w./-]*)"
        r"(?:\[(?P<pid>[0-9]+)\])?:(?: |$)",
        "1675010529.486123 web-1 sshd[4712]: Server listening on 0.0.0.0 port 22.",
        stamp="epoch",
        numbers=_N,
        rank=5,
    ),
    TextLayout(
        "cloud-init",
        rf"(?P<time>{{iso}}) - (?P<source>[\w.-]+)\[{_LEVEL}\]: ",
        "2023-01-29 16:42:10,486 - cc_growpart.py[WARNING]: growpart failed",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "time-logger-level",
        r"\[?(?P<time>{iso}|{clock})\]?[ \t]+(?P<source>[A-Za-z_]\w*(?:\.\w+)+)[ \t]+[\[(]?"
        rf"{_LEVEL}\b[\])]?[ \t]*:?(?:[ \t-]+|$)",
        "[2023-01-29 16:42:10] frigate.video                  ERROR   : back: Unable to read frames",
        multiline=True,
        rank=4,
    ),
)
