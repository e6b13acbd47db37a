"""Which events a rule's log source speaks of, as an expression; so a rule for one log leaves the others alone.

The tables are the taxonomy appendix of https://github.com/SigmaHQ/sigma-specification, version 2.1. What an event does
not say does not exclude it: a log whose format is not known is looked at by every rule that its fields allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from offbeat.rules.expr import TRUE, All, Expr, Match, Not, Op, Some
from offbeat.rules.rule import LogSource

#: The name of the format that the readers found, as a field.
FORMAT: Final = "offbeat.format"

ACCESS: Final = ("access", "access-odd", "haproxy", "alb", "gin")
SYSLOG: Final = (
    "syslog",
    "syslog-5424",
    "syslog-pri",
    "syslog-bare",
    "syslog-iso",
    "syslog-klog",
    "mac",
    "journal-export",
    "kernel",
)
RECORDS: Final = ("json", "json-documents", "csv", "xml", "paragraphs", "cmtrace", "logfmt", "pairs", "cri")
LOOSE: Final = (
    *("plain", "time", "time-level", "time-thread-level", "level-time", "name-time", "level", "epoch", "epoch-level"),
    *("fail2ban", "heroku"),
)

_SYSMON: Final = ("Microsoft-Windows-Sysmon/Operational",)
_POWERSHELL: Final = ("Microsoft-Windows-PowerShell/Operational", "PowerShellCore/Operational")
_CLASSIC: Final = ("Windows PowerShell",)

#: Windows categories: the channels and event numbers, alternatives one after another.
CATEGORIES: Final[Mapping[str, tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]]] = {
    "process_creation": ((_SYSMON, (1,)), (("Security",), (4688,))),
    "file_change": ((_SYSMON, (2,)),),
    "network_connection": ((_SYSMON, (3,)), (("Security",), (5156,))),
    "sysmon_status": ((_SYSMON, (4, 16)),),
    "process_termination": ((_SYSMON, (5,)), (("Security",), (4689,))),
    "driver_load": ((_SYSMON, (6,)),),
    "image_load": ((_SYSMON, (7,)),),
    "create_remote_thread": ((_SYSMON, (8,)),),
    "raw_access_thread": ((_SYSMON, (9,)),),
    "process_access": ((_SYSMON, (10,)),),
    "file_event": ((_SYSMON, (11,)),),
    "registry_event": ((_SYSMON, (12, 13, 14)), (("Security",), (4657,))),
    "registry_add": ((_SYSMON, (12,)),),
    "registry_delete": ((_SYSMON, (12,)),),
    "registry_set": ((_SYSMON, (13,)), (("Security",), (4657,))),
    "registry_rename": ((_SYSMON, (14,)),),
    "create_stream_hash": ((_SYSMON, (15,)),),
    "pipe_created": ((_SYSMON, (17, 18)),),
    "wmi_event": ((_SYSMON, (19, 20, 21)),),
    "dns_query": ((_SYSMON, (22,)),),
    "file_delete": ((_SYSMON, (23, 26)),),
    "clipboard_capture": ((_SYSMON, (24,)),),
    "process_tampering": ((_SYSMON, (25,)),),
    "file_delete_detected": ((_SYSMON, (26,)),),
    "file_block_executable": ((_SYSMON, (27,)),),
    "file_block_shredding": ((_SYSMON, (28,)),),
    "file_executable_detected": ((_SYSMON, (29,)),),
    "sysmon_error": ((_SYSMON, (255,)),),
    "ps_classic_start": ((_CLASSIC, (400,)),),
    "ps_classic_provider_start": ((_CLASSIC, (600,)),),
    "ps_classic_script": ((_CLASSIC, (800,)),),
    "ps_module": ((_POWERSHELL, (4103,)),),
    "ps_script": ((_POWERSHELL, (4104,)),),
}

#: Windows services: beginnings of their channels' names.
SERVICES: Final[Mapping[str, tuple[str, ...]]] = {
    "application": ("Application",),
    "application-experience": ("Microsoft-Windows-Application-Experience/",),
    "applocker": ("Microsoft-Windows-AppLocker/",),
    "appmodel-runtime": ("Microsoft-Windows-AppModel-Runtime/Admin",),
    "appxdeployment-server": ("Microsoft-Windows-AppXDeploymentServer/Operational",),
    "appxpackaging-om": ("Microsoft-Windows-AppxPackaging/Operational",),
    "bitlocker": ("Microsoft-Windows-BitLocker/BitLocker Management",),
    "bits-client": ("Microsoft-Windows-Bits-Client/Operational",),
    "capi2": ("Microsoft-Windows-CAPI2/Operational",),
    "certificateservicesclient-lifecycle-system": (
        "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational",
    ),
    "codeintegrity-operational": ("Microsoft-Windows-CodeIntegrity/Operational",),
    "dhcp": ("Microsoft-Windows-DHCP-Server/Operational",),
    "diagnosis-scripted": ("Microsoft-Windows-Diagnosis-Scripted/Operational",),
    "dns-client": ("Microsoft-Windows-DNS Client Events/Operational", "Microsoft-Windows-DNS-Client/Operational"),
    "dns-server": ("DNS Server",),
    "dns-server-analytic": ("Microsoft-Windows-DNS-Server/Analytical",),
    "dns-server-audit": ("Microsoft-Windows-DNS-Server/Audit",),
    "driver-framework": ("Microsoft-Windows-DriverFrameworks-UserMode/Operational",),
    "firewall-as": ("Microsoft-Windows-Windows Firewall With Advanced Security/Firewall",),
    "hyper-v-worker": ("Microsoft-Windows-Hyper-V-Worker",),
    "iis-configuration": ("Microsoft-IIS-Configuration/Operational",),
    "kernel-event-tracing": ("Microsoft-Windows-Kernel-EventTracing",),
    "kernel-shimengine": (
        "Microsoft-Windows-Kernel-ShimEngine/Operational",
        "Microsoft-Windows-Kernel-ShimEngine/Diagnostic",
    ),
    "ldap": ("Microsoft-Windows-LDAP-Client/Debug",),
    "lsa-server": ("Microsoft-Windows-LSA/Operational",),
    "msexchange-management": ("MSExchange Management",),
    "ntfs": ("Microsoft-Windows-Ntfs/Operational",),
    "ntlm": ("Microsoft-Windows-NTLM/Operational",),
    "openssh": ("OpenSSH/Operational",),
    "powershell": _POWERSHELL,
    "powershell-classic": _CLASSIC,
    "printservice-admin": ("Microsoft-Windows-PrintService/Admin",),
    "printservice-operational": ("Microsoft-Windows-PrintService/Operational",),
    "security": ("Security",),
    "security-mitigations": ("Microsoft-Windows-Security-Mitigations/",),
    "sense": ("Microsoft-Windows-SENSE/Operational",),
    "servicebus-client": ("Microsoft-ServiceBus-Client/Operational", "Microsoft-ServiceBus-Client/Admin"),
    "shell-core": ("Microsoft-Windows-Shell-Core/Operational",),
    "smbclient-security": ("Microsoft-Windows-SmbClient/Security",),
    "smbclient-connectivity": ("Microsoft-Windows-SmbClient/Connectivity",),
    "smbserver-connectivity": ("Microsoft-Windows-SMBServer/Connectivity",),
    "sysmon": _SYSMON,
    "system": ("System",),
    "taskscheduler": ("Microsoft-Windows-TaskScheduler/Operational",),
    "terminalservices-localsessionmanager": ("Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",),
    "vhdmp": ("Microsoft-Windows-VHDMP/Operational",),
    "windefend": ("Microsoft-Windows-Windows Defender/Operational",),
    "wmi": ("Microsoft-Windows-WMI-Activity/Operational",),
}

#: Linux services: beginnings of the names of the programs that write them.
PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "sshd": ("sshd",),
    "sudo": ("sudo",),
    "cron": ("cron", "anacron", "/usr/sbin/cron"),
    "vsftpd": ("vsftpd",),
    "clamav": ("clam", "freshclam"),
    "guacamole": ("guac",),
    "named": ("named",),
    "auth": (
        *("sshd", "sudo", "su", "login", "cron", "useradd", "userdel", "usermod", "groupadd", "groupdel", "groupmod"),
        *("passwd", "chpasswd", "gpasswd", "systemd-logind", "pam", "polkit", "gdm", "lightdm", "vsftpd", "ftpd"),
    ),
}


def _has(*fields: str) -> Expr:
    return Some(tuple(Match(name, "any") for name in fields))


def _formats(*names: str) -> Expr:
    return Some((Match(FORMAT, "null"), Match(FORMAT, "equals", names)))


def _unless_other(field: str, op: Op, values: tuple[str | int, ...]) -> Expr:
    """The field is absent, or one of the values."""
    return Some((Match(field, "null"), Match(field, op, values)))


def _by(*programs: str) -> Expr:
    return _unless_other("source", "startswith", programs)


def _windows(source: LogSource) -> Expr:
    known = _has("Channel", "EventID", "Provider_Name", "Image", "CommandLine", "TargetFilename", "TargetObject")
    parts: list[Expr] = [_formats(*RECORDS), known]
    if kinds := CATEGORIES.get(source.category or ""):
        parts.append(
            Some(
                tuple(
                    All((_unless_other("Channel", "equals", channels), _unless_other("EventID", "equals", numbers)))
                    for channels, numbers in kinds
                )
            )
        )
    if channels := SERVICES.get(source.service or ""):
        op: Op = "startswith" if any(name.endswith("/") for name in channels) else "equals"
        parts.append(_unless_other("Channel", op, channels))
    return All(tuple(parts))


def _linux(source: LogSource) -> Expr:
    not_windows = _unless_other("Channel", "startswith", ("Linux-",))
    if source.category in ("process_creation", "file_event", "network_connection"):
        numbers = {"process_creation": 1, "file_event": 11, "network_connection": 3}[source.category]
        return All((not_windows, _formats(*SYSLOG, *RECORDS, *LOOSE), _unless_other("EventID", "equals", (numbers,))))
    if source.service == "auditd":
        return All((not_windows, _has("type", "SYSCALL", "syscall", "exe", "key")))
    own = ("SYSLOG_IDENTIFIER", "_TRANSPORT", "_COMM", "syslog.facility", "_HOSTNAME", "program")
    system = Some((_formats(*SYSLOG, *LOOSE), All((_formats(*RECORDS), _has(*own)))))
    programs = PROGRAMS.get(source.service or "", ())
    return All((not_windows, system, _by(*programs))) if programs else All((not_windows, system))


_WEB: Final = Some(
    (
        Match(FORMAT, "equals", ACCESS),
        All((_formats(*RECORDS), _has("cs-method"), _has("sc-status", "c-uri", "cs-uri-query"))),
    )
)
_FORWARD: Final = Some(
    (Match("c-uri", "startswith", ("http://", "https://")), Match("cs-method", "equals", ("CONNECT",)))
)
#: A web server's own log is no proxy's, unless whole addresses are asked for.
_PROXY: Final = Some(
    (
        Match(FORMAT, "equals", ("squid",)),
        All((Match(FORMAT, "equals", ACCESS), _FORWARD)),
        All((_formats(*RECORDS, *LOOSE), _has("c-uri", "cs-host", "r-dns", "c-useragent", "cs-user-agent"))),
    )
)
_APPLICATION: Final = All(
    (
        Not(Match(FORMAT, "equals", (*ACCESS, *SYSLOG))),
        Match("Channel", "null"),
        Match("_path", "null"),
        Not(Match("source", "startswith", ("Microsoft-Windows-",))),
    )
)
_DEVICE: Final = _formats(*SYSLOG, *LOOSE, *RECORDS)

#: What events of a product say of themselves, where it is not the format.
_PRODUCTS: Final[Mapping[str, Expr]] = {
    "kubernetes": All((_formats(*RECORDS), _has("verb", "objectRef.resource"))),
    "github": All((_formats(*RECORDS), _has("action"))),
    "bitbucket": All((_formats(*RECORDS), _has("auditType.action", "auditType.category"))),
    "opencanary": All((_formats(*RECORDS), _has("logtype"))),
    "rpc_firewall": _has("EventLog"),
    "apache": Some((_formats("apache-error", *ACCESS, *LOOSE), Match("source", "startswith", ("apache", "httpd")))),
    "nginx": Some((_formats("nginx-error", *ACCESS, *LOOSE), Match("source", "startswith", ("nginx",)))),
    "cisco": _formats("cisco", *SYSLOG, *LOOSE, *RECORDS),
    "juniper": _DEVICE,
    "huawei": _DEVICE,
    "fortigate": _DEVICE,
}


def gate(source: LogSource) -> Expr:
    """Return what holds for the events of a log source."""
    if source.product == "windows":
        return _windows(source)
    if source.product == "linux":
        return _linux(source)
    if source.product == "zeek":
        path = (source.service,) if source.service else ()
        own = _unless_other("_path", "equals", path) if path else TRUE
        return All((_has("_path", "uid", "id.orig_h"), own))
    name = source.product or source.service or ""
    if name in _PRODUCTS:
        return _PRODUCTS[name]
    if source.category == "webserver":
        return _WEB
    if source.category == "proxy":
        return _PROXY
    if source.category == "application":
        return _APPLICATION
    if source.category == "dns":
        return _has("query", "QueryName", "record_type")
    return TRUE
