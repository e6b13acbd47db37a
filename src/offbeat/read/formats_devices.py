r"""The text formats of hypervisors, switches, firewalls and other appliances, and of what supervises programs, as data.

One row a format; the more particular stand first. See :mod:`offbeat.read.formats`.
"""

from __future__ import annotations

from typing import Final

from offbeat.read import levels
from offbeat.read.layout import TextLayout, first_of

_N: Final = frozenset({"pid", "tid", "cpu", "world"})

DEVICES: Final = (
    TextLayout(
        "vmkernel",
        r"(?P<time>{iso}) (?:[A-Z][a-z]\([0-9]+\) vmkernel: )?cpu(?P<cpu>[0-9]+):(?P<world>[0-9]+)(?: [^)]*)?\)"
        r"(?:(?P<level>WARNING|ALERT): )?(?:(?P<source>[A-Za-z]\w*): )?",
        "2023-01-29T16:42:09.486Z cpu3:2097654)WARNING: NMP: device naa.600 state in doubt",
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "vmware",
        r"(?P<time>{iso})\| (?P<source>[\w.:-]+)\| +(?P<level>[A-Z])[0-9]{3}:? ",
        "2023-01-29T16:42:09.486Z| vmx| W115: MKSGrab: Failed to grab the keyboard",
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "vmware-named",
        r"(?P<time>{iso}) (?P<level>[A-Z])[a-z]\([0-9]{2,3}\) (?P<source>[\w.:-]+)(?:\[(?P<pid>[0-9]+)\])?(?: -|:) ?",
        "2023-01-29T16:42:09.486Z Wa(03) vmx - MKSGrab: Failed to grab the keyboard",
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "procurve",
        r"(?P<level>[IWMDE]) (?P<time>{us-short}) (?P<number>[0-9]{5}) (?P<source>[\w-]+): +",
        "W 01/29/23 16:42:09 00077 ports: port 17 is now off-line",
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "meraki",
        r"(?:<(?P<level>[0-9]{1,3})>)?1 (?P<time>1[0-9]{9}\.[0-9]{1,9}) (?P<host>[^ ]+) (?P<source>[\w-]+) ",
        "<134>1 1675010529.486123 MX84 flows allow src=192.0.2.7 dst=198.51.100.4 protocol=tcp sport=51234 dport=443",
        stamp="epoch",
        scale=levels.PRIORITIES,
        rank=7,
    ),
    TextLayout(
        "cisco-ise",
        r"(?:<[0-9]{1,3}>)?(?P<time>{syslog}|{iso}) (?P<host>[^ ]+) (?P<source>CISE_\w+) (?P<number>[0-9]+) "
        r"(?P<segments>[0-9]+) (?P<segment>[0-9]+) (?:(?P<_own>{iso}) [0-9]+ (?P<code>[0-9]+) (?P<level>[A-Z]+) )?",
        "<181>Jan 29 16:42:09 ise1 CISE_Failed_Attempts 0000000017 1 0 2023-01-29 16:42:09.486 +01:00 0000234567 5400 "
        "NOTICE Failed-Attempt: Authentication failed, UserName=bob",
        derive=first_of("time", "_own", "time"),  # its own names year and zone
        needs={"timestamp": ("time", "_own")},
        rank=8,
    ),
    TextLayout(
        "sap-hana",
        r"\[(?P<tid>[0-9]+)\]\{[^}]*\}\[[^\]]*\] (?P<time>{iso}) (?P<level>[a-z]) (?P<source>\w+) +"
        r"(?P<code>[\w.]+\([0-9]+\)) : ?",
        "[4713]{300017}[17/-1] 2023-01-29 16:42:10.486123 e sql              SqlErr.cpp(00117) : Not authorized",
        multiline=True,
        numbers=_N,
        rank=6,
    ),
    TextLayout(
        "hclog",  # of HashiCorp's programs
        r"(?P<time>{iso}) \[(?:(?P<level>ERROR|DEBUG|TRACE)\] |(?P<_level>INFO|WARN)\]  )(?P<source>[\w.-]+): ",
        "2023-01-29T16:42:09.486Z [WARN]  agent: Check is now critical: check=service:web",
        derive=first_of("level", "level", "_level"),
        needs={"level": ("level", "_level")},
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "kea",
        r"(?P<time>{iso}) (?P<level>[A-Z]+) +\[(?P<source>[\w.-]+)/(?P<pid>[0-9]+)(?:\.[0-9a-fx]+)?\] ",
        "2023-01-29 16:42:09.486 INFO  [kea-dhcp4.dhcp4/4712.139876543] DHCP4_STARTED Kea DHCPv4 server version 2.2.0",
        numbers=_N,
        multiline=True,
        rank=6,
    ),
    TextLayout(
        "syslog-5424-data",  # a message that is nothing but structured data
        r"<(?P<level>[0-9]{1,3})>1 (?P<time>[^ ]+) (?P<host>[^ ]+) (?P<source>[^ ]+) (?P<pid>[^ ]+) (?P<msgid>[^ ]+) "
        r'(?P<message>(?:\[(?:[^"\]]|"(?:[^"\\]|\\.)*")*\])+)$',
        '<134>1 2023-01-29T16:42:09Z fw1 CheckPoint 4712 - [action:"Drop"; src:"192.0.2.7"; dst:"198.51.100.4"]',
        stamp="iso",
        scale=levels.PRIORITIES,
        rank=8,
    ),
    TextLayout(
        "syslog-local",  # as it stands on the machine itself, without a host
        r"(?P<time>{syslog}|{iso}) (?P<source>[A-Za-z_][\w./-]*)\[(?P<pid>[0-9]+)\]: ",
        "Jan 29 16:42:09 dnsmasq[4712]: query[A] example.com from 192.0.2.7",
        numbers=_N,
        rank=5,
    ),
    TextLayout(
        "tai64n",  # daemontools', s6's and qmail's (cr.yp.to/libtai/tai64.html)
        r"(?P<time>@4[0-9a-f]{23}) (?:(?P<source>[A-Za-z][\w.-]*): )?",
        "@40000000433225833b6e1a8c tcpserver: status: 5/30",
        stamp="tai64n",
        rank=6,
    ),
    TextLayout(
        "fluentd-tag",
        r"(?P<time>{iso})\t(?P<source>[a-z_][\w*-]*(?:\.[\w*-]+)+)\t",
        "2023-01-29T16:42:09+00:00\tapp.orders\torder 17 accepted",
        rank=5,
    ),
)
