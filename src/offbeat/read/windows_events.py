"""What Windows' events say in words, for events that were saved without their words.

Texts are those that the Event Viewer shows first (learn.microsoft.com, "Appendix L: Events to monitor"; Sysmon's page).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SECURITY: Final = {
    1102: "The audit log was cleared",
    4608: "Windows is starting up",
    4624: "An account was successfully logged on",
    4625: "An account failed to log on",
    4634: "An account was logged off",
    4647: "User initiated logoff",
    4648: "A logon was attempted using explicit credentials",
    4657: "A registry value was modified",
    4662: "An operation was performed on an object",
    4663: "An attempt was made to access an object",
    4672: "Special privileges assigned to new logon",
    4688: "A new process has been created",
    4689: "A process has exited",
    4697: "A service was installed in the system",
    4698: "A scheduled task was created",
    4702: "A scheduled task was updated",
    4719: "System audit policy was changed",
    4720: "A user account was created",
    4722: "A user account was enabled",
    4724: "An attempt was made to reset an account's password",
    4725: "A user account was disabled",
    4726: "A user account was deleted",
    4728: "A member was added to a security-enabled global group",
    4732: "A member was added to a security-enabled local group",
    4738: "A user account was changed",
    4740: "A user account was locked out",
    4756: "A member was added to a security-enabled universal group",
    4768: "A Kerberos authentication ticket (TGT) was requested",
    4769: "A Kerberos service ticket was requested",
    4771: "Kerberos pre-authentication failed",
    4776: "The computer attempted to validate the credentials for an account",
    5140: "A network share object was accessed",
    5145: "A network share object was checked to see whether client can be granted desired access",
    5156: "The Windows Filtering Platform has permitted a connection",
}
_SERVICES: Final = {
    7000: "A service failed to start",
    7031: "A service terminated unexpectedly",
    7034: "A service terminated unexpectedly",
    7036: "A service changed its state",
    7040: "The start type of a service was changed",
    7045: "A service was installed in the system",
}
_SYSMON: Final = {
    1: "Process Create",
    2: "File creation time changed",
    3: "Network connection detected",
    5: "Process terminated",
    6: "Driver loaded",
    7: "Image loaded",
    8: "CreateRemoteThread detected",
    10: "Process accessed",
    11: "File created",
    12: "Registry object added or deleted",
    13: "Registry value set",
    17: "Pipe Created",
    18: "Pipe Connected",
    22: "Dns query",
    23: "File Delete archived",
}
_SAID: Final[Mapping[str, Mapping[int, str]]] = {
    "Microsoft-Windows-Security-Auditing": _SECURITY,
    "Microsoft-Windows-Eventlog": {1102: _SECURITY[1102], 104: "The log file was cleared"},
    "Service Control Manager": _SERVICES,
    "Microsoft-Windows-Sysmon": _SYSMON,
}


def said(record: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    """The event in words with the values of its data behind them; None where nobody knows it.

    Args:
        record: the event by the names of Sigma's taxonomy.
        data: what it says of itself (EventData).
    """
    number = record.get("EventID")
    words = _SAID.get(str(record.get("Provider_Name")), {}).get(number) if isinstance(number, int) else None
    if words is None:
        return None
    values = [f'{key}="{value}"' if " " in str(value) else f"{key}={value}" for key, value in data.items() if value]
    return " ".join([f"{words}:", *values]) if values else words
