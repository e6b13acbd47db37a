"""Logins of Windows hosts, in whatever form their events were saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from offbeat.read import open_logs
from offbeat.rules import Engine, load_pack
from offbeat.ruling import asked

#: Seconds, event, account: ten accounts refused, then one let in.
LOGINS = [(20 * i, 4625, f"user{i}") for i in range(10)] + [(230, 4624, "user9")]
_XML = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='Microsoft-Windows-Security-Auditing'/><EventID>{id}</EventID><Level>0</Level>"
    "<TimeCreated SystemTime='2023-01-29T16:{m:02}:{s:02}.4861234Z'/><EventRecordID>{n}</EventRecordID>"
    "<Channel>Security</Channel><Computer>DC01</Computer></System><EventData>"
    "<Data Name='SubjectUserName'>-</Data><Data Name='TargetUserName'>{user}</Data><Data Name='LogonType'>3</Data>"
    "<Data Name='IpAddress'>192.0.2.7</Data></EventData></Event>"
)
_WORDS = (
    "{said}.\n\nSubject:\n\tAccount Name:\t\t-\n\nLogon Type:\t\t\t3\n\n{whose}:\n\tSecurity ID:\t\tNULL SID\n"
    "\tAccount Name:\t\t{user}\n\nNetwork Information:\n\tWorkstation Name:\tWS7\n"
    "\tSource Network Address:\t192.0.2.7\n\tSource Port:\t\t51234"
)
_CSV = 'Audit,1/29/2023 4:{m:02}:{s:02} PM,Microsoft-Windows-Security-Auditing,{id},Logon,"' + _WORDS + '"'
_LIST = (
    "Event[{n}]:\n  Log Name: Security\n  Source: Microsoft-Windows-Security-Auditing\n"
    "  Date: 2023-01-29T16:{m:02}:{s:02}.486\n  Event ID: {id}\n  Level: Information\n  User: N/A\n"
    "  Computer: DC01\n  Description: \n" + _WORDS + "\n"
)


def _saved(form: str) -> list[str]:
    said = {4625: "An account failed to log on", 4624: "An account was successfully logged on"}
    whose = {4625: "Account For Which Logon Failed", 4624: "New Logon"}
    return [
        form.format(n=n, m=at // 60, s=at % 60, id=number, user=user, said=said[number], whose=whose[number])
        for n, (at, number, user) in enumerate(LOGINS)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(_saved(_XML)),
        "<Events>" + "".join(_saved(_XML)) + "</Events>",
        "Keywords,Date and Time,Source,Event ID,Task Category\n" + "\n".join(_saved(_CSV)),
        "\n".join(_saved(_LIST)),
    ],
    ids=["xml", "one-line-of-xml", "csv", "text"],
)
def test_spraying_is_found(text: str, tmp_path: Path):
    """Ten accounts refused from one address are password spraying, and the login that follows is told of."""
    path = tmp_path / "events"
    path.write_text(text + "\n", encoding="utf-8")
    logs = open_logs(path)
    engine = Engine(load_pack().documents, [sniffed.layout for sniffed in logs.sniffed])
    found = [one for frame in logs.batches(*asked(logs, engine.matcher)) for one in engine.add(engine.match(frame))]
    titles = {engine.documents[firing.key].title for firing in [*found, *engine.flush()]}
    assert titles >= {"Password spraying", "Login after many failures", "Brute force from one address"}
