"""The public Sigma rules and their regression cases, where they are at hand."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers import DATA, SIGMA, needs_sigma

from offbeat.read import Lines, open_logs
from offbeat.rules import load
from offbeat.rules.match import Matcher
from offbeat.ruling import asked
from offbeat.trial import run_rules

pytestmark = needs_sigma

#: Rules that match an event of another rule's case, and why: each pair looks for the same tool or the same key, one
#: of them more narrowly, or the event is of a tool run under another name.
CROSS = {
    ("image_load_win_susp_dbgcore_dbghelp_load", "image_load_win_werfaultsecure_dbgcore_dbghelp_load"),
    ("proc_creation_win_browsers_chromium_load_extension", "proc_creation_win_browsers_chromium_susp_load_extension"),
    ("proc_creation_win_browsers_chromium_susp_load_extension", "proc_creation_win_browsers_chromium_load_extension"),
    ("proc_creation_win_pua_adfind_enumeration", "proc_creation_win_pua_adfind_execution"),
    ("proc_creation_win_pua_adfind_execution", "proc_creation_win_pua_adfind_susp_usage"),
    ("proc_creation_win_pua_adfind_susp_usage", "proc_creation_win_pua_adfind_execution"),
    ("proc_creation_win_renamed_adfind", "proc_creation_win_pua_adfind_execution"),
    ("proc_creation_win_wmic_recon_product_class", "proc_creation_win_wmic_recon_product"),
    ("registry_set_pua_sysinternals_execution_via_eula", "registry_set_pua_sysinternals_susp_execution_via_eula"),
    ("registry_set_pua_sysinternals_renamed_execution_via_eula", "registry_set_pua_sysinternals_execution_via_eula"),
    (
        "registry_set_pua_sysinternals_renamed_execution_via_eula",
        "registry_set_pua_sysinternals_susp_execution_via_eula",
    ),
    ("registry_set_pua_sysinternals_susp_execution_via_eula", "registry_set_pua_sysinternals_execution_via_eula"),
}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def test_all_public_rules_evaluate():
    """Every public rule for linux, web, application and network compiles, and runs on logs of several kinds."""
    found = load([SIGMA / "rules"])
    assert len(found.documents) + len(found.refused) == 407
    assert [str(error) for error in found.refused] == []
    for name in ("web/apache_access.log.gz", "ssh/auth.log.gz", "formats/journald.json.gz"):
        logs = open_logs(str(DATA / name))
        matcher = Matcher(found.rules, formats=[s.layout for s in logs.sniffed])
        frame = next(logs.batches(*asked(logs, matcher)))
        assert len(matcher.rows(frame)) == 407


def test_each_case_matches_its_own_rule_and_no_other_without_reason(tmp_path: Path):
    """All 102 cases match the rule beside them; where another rule matches, the pair is known and said why."""
    cases = sorted((SIGMA / "regression").iterdir())
    rules = [d for case in cases for d in load([case / "rule.yml"]).documents]
    assert len(rules) == 102
    matcher = Matcher(rules, formats=["json-documents"])
    texts = [(case / "event.json").read_text(encoding="utf-8").rstrip("\n") + "\n" for case in cases]
    (tmp_path / "all.json").write_text("".join(texts), encoding="utf-8")
    ends = np.cumsum([text.count("\n") for text in texts])
    whole = pl.concat(open_logs(str(tmp_path / "all.json")).batches([*asked_columns()]))
    owner = np.searchsorted(ends, whole["line"].to_numpy()).tolist()
    assert set(owner) == set(range(102))
    rows = matcher.rows(whole)
    missed = [case.name for i, case in enumerate(cases) if i not in {owner[r] for r in rows[i]}]
    assert missed == []
    cross = {(cases[owner[r]].name, cases[i].name) for i, found in enumerate(rows) for r in found if owner[r] != i}
    assert cross == CROSS


def asked_columns() -> list[str]:
    """Return what records are read with."""
    return ["file", "line", "timestamp", "level", "source", "message", "fields"]


def test_a_case_is_counted_as_scripts_expect(capfdbinary: pytest.CaptureFixture[bytes]):
    """`rules test --json` prints the rule's title and both counts; several documents in a file are several events."""
    from offbeat.cli.rules import try_

    case = SIGMA / "regression" / "proc_creation_win_findstr_recon_everyone"
    assert try_(str(case / "rule.yml"), [str(case / "event.json")], json=True) == 0
    line = json.loads(capfdbinary.readouterr().out)
    assert line == {"rule": "Permission Misconfiguration Reconnaissance Via Findstr.EXE", "events": 3, "matched": 1}


def test_why_not_names_the_selection_and_the_field():
    """What does not match is explained: the log source, or the selection, its field and the value there."""
    case = SIGMA / "regression" / "proc_creation_win_certutil_decode"
    rules = load([SIGMA / "regression" / "proc_creation_win_findstr_recon_everyone" / "rule.yml"])
    told = run_rules(rules, open_logs(str(case / "event.json")), explain=True)[0]
    said = [str(reason) for reason in told.reasons]
    assert any(
        "selection_findstr_img" in text and "Image ends with" in text and "certutil.exe" in text for text in said
    )
    told = run_rules(rules, open_logs(str(DATA / "web" / "apache_access.log.gz")), explain=True)[0]
    assert "category process_creation" in str(told.reasons[0])
    assert "access" in str(told.reasons[0])


def test_rules_lie_where_they_say():
    """Each rule knows its file and line."""
    found = load([SIGMA / "rules" / "web"])
    assert found.documents
    for document in found.documents:
        path, line = document.where.rsplit(":", 1)
        assert Path(path).exists()
        assert int(line) >= 1


def test_why_it_matches_can_be_read():
    """What matches an event of another case says by which selection, comparison and value."""
    rules = load([SIGMA / "regression" / "proc_creation_win_pua_adfind_execution" / "rule.yml"])
    event = SIGMA / "regression" / "proc_creation_win_renamed_adfind" / "event.json"
    told = run_rules(rules, open_logs(str(event)), explain=True)[0]
    assert (told.matched, told.events) == (1, 1)
    assert told.because == ["selection: OriginalFileName is 'AdFind.exe'; it is 'AdFind.exe'"]


def test_windows_events_are_read_however_they_are_sent():
    """Fields of event data are found by their own names inside other records, as shippers nest them."""
    rule = load([SIGMA / "regression" / "proc_creation_win_certutil_decode" / "rule.yml"])
    record = {
        "winlog": {
            "channel": "Microsoft-Windows-Sysmon/Operational",
            "event_id": 1,
            "event_data": {
                "Image": "C:\\Windows\\System32\\certutil.exe",
                "OriginalFileName": "CertUtil.exe",
                "CommandLine": "certutil -decode a b",
            },
        },
        "message": "Process Create",
    }
    for kind, matched in ((1, 1), (3, 0)):
        record["winlog"]["event_id"] = kind
        logs = open_logs(Lines([json.dumps(record)]), format="json")
        assert run_rules(rule, logs)[0].matched == matched
