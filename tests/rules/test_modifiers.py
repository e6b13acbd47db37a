"""Every modifier of the Sigma specification 2.1: values that match and values that do not."""

import base64

import pytest
from helpers import matches, refused, rule

#: The field's modifiers and value as YAML, values that match, values that do not. The first lines of each group quote
#: what the specification (appendix on modifiers, rules specification) says.
CASES = [
    # "All values are treated as case-insensitive strings."
    ("f: Value", ["Value", "VALUE", "value"], ["values", "a value", ""]),
    ("f: ÄRGER", ["ärger", "Ärger"], ["arger"]),
    ("f: 17", ["17", "17.0"], ["170", "017x", "seventeen"]),
    ("f: true", ["true", "True"], ["false", "1"]),
    ("f: ''", [""], [" ", "x", None]),
    ("f: null", [None], ["", "null"]),
    ("f:\n  - a\n  - b", ["a", "B"], ["c", "ab"]),
    # "? to replace a single mandatory character, * to replace an unbounded length wildcard"
    ("f: prog?.exe", ["progA.exe", "PROGB.EXE"], ["prog.exe", "progAB.exe"]),
    ("f: antivirus_V*.exe", ["antivirus_V1.exe", "antivirus_V21.2.1.exe", "antivirus_V.exe"], ["antivirus_1.exe"]),
    ("f: '*'", ["", "x"], [None]),
    ("f: 'a*b*c'", ["abc", "a--b\n--c"], ["acb", "abcd"]),
    ("f: '*.?'", ["x.y", "."[:1] + "a"], ["x."]),
    # "The backslash character is used for escaping of wildcards as well as the backslash character itself."
    (r"f: a\*b", ["a*b"], ["aXb", r"a\*b"]),
    (r"f: a\?b", ["a?b"], ["aXb"]),
    (r"f: C:\Windows\cmd.exe", [r"c:\windows\CMD.exe"], [r"c:\\windows\\cmd.exe"]),
    (r"f: a\\*", [r"a\b", "a\\"], ["ab", "a*"]),
    (r"f: a\\\*", [r"a\*"], [r"a\b"]),
    ("f: a\\\\\\\\b", [r"a\\b"], [r"a\b"]),
    # contains, startswith, endswith: "the value is matched anywhere in the field" and so on
    ("f|contains: mid", ["mid", "aMIDb"], ["md", None]),
    ("f|startswith: adm", ["adm", "Admin"], ["an adm"]),
    ("f|endswith: '\\cmd.exe'", [r"C:\cmd.exe", r"\CMD.EXE"], ["cmd.exe", r"\cmd.exe.bak"]),
    ("f|contains: a?c", ["xabcx"], ["ac"]),
    ("f|contains: ''", ["", "x"], [None]),
    # all: "changes this to AND"
    ("f|contains|all:\n  - one\n  - two", ["two one", "ONETWO"], ["one", "two"]),
    ("f|all:\n  - '*one*'\n  - '*two*'", ["one two"], ["one"]),
    # cased: "Values are applied case sensitively."
    ("f|cased: Value", ["Value"], ["value", "VALUE"]),
    ("f|contains|cased: Val", ["a Value"], ["a value"]),
    ("f|startswith|cased: Val", ["Value"], ["value"]),
    ("f|endswith|cased: UE", ["valUE"], ["value"]),
    ("f|cased: 'V*e'", ["Value", "Ve"], ["value"]),
    # neq: "The field is different from the specified values." It can be used with string or number.
    ("f|neq: a", ["b", ""], ["a", "A"]),
    ("f|neq: 5", ["6"], ["5"]),
    ("f|neq:\n  - a\n  - b", ["c"], ["a", "b"]),
    # re: "Regex is matched case-sensitive by default."
    (r"f|re: 'wh[oa]{2}mi'", ["whoami", "run whoami now"], ["WHOAMI", "whami"]),
    (r"f|re: '^a.c$'", ["abc"], ["xabc", "a\nc", "ABC"]),
    (r"f|re|i: '^a.c$'", ["ABC"], ["xabc"]),
    (r"f|re|m: '^two$'", ["one\ntwo"], ["one two"]),
    (r"f|re|s: 'a.c'", ["a\nc"], ["ac"]),
    (r"f|re|i|m|s: '^B.C$'", ["a\nb\nc"], ["abc"]),
    (r"f|re: 'a\/b|c\-d'", ["a/b", "c-d"], ["ab"]),
    (r"f|re: 'x{y|\{\d+}'", ["x{y", "{12}"], ["xy"]),
    (r"f|re: '[[]x'", ["[x"], ["x"]),
    (r"f|re: '\<b\>'", ["<b>"], ["b"]),
    ("f|re:\n  - '^a'\n  - 'z$'", ["ab", "yz"], ["b"]),
    # windash: "all possible permutations of the -, /, – (en dash), — (em dash), and ― (horizontal bar) characters"
    ("f|windash|contains: ' -f '", ["x -f y", "x /f y", "x –f y", "x —f y", "x ―f y"], ["x +f y"]),
    ("f|contains|windash: ' /urlcache '", ["certutil -URLCACHE x"], ["certutil urlcache x"]),
    ("f|windash|contains|all:\n  - ' -a'\n  - ' -b'", ["x /a –b"], ["x /a"]),
    # base64: "The value is encoded with Base64."
    ("f|base64: http", [base64.b64encode(b"http").decode()], ["http"]),
    ("f|base64|contains: ping", ["x " + base64.b64encode(b"ping").decode()], ["ping"]),
    # base64offset: "variants for shifts by zero to two bytes"
    (
        "f|base64offset|contains: /bin/bash",
        [base64.b64encode(b"x" * i + b"/bin/bash -i").decode() for i in range(3)],
        [base64.b64encode(b"/bin/dash -i").decode()],
    ),
    # utf16le, wide, utf16be, utf16: "cmd > 63 00 6d 00 64 00", its other order, and with a byte order mark
    ("f|wide|base64: cmd", [base64.b64encode("cmd".encode("utf-16-le")).decode()], [base64.b64encode(b"cmd").decode()]),
    ("f|utf16le|base64: cmd", [base64.b64encode("cmd".encode("utf-16-le")).decode()], ["cmd"]),
    ("f|utf16be|base64: cmd", [base64.b64encode("cmd".encode("utf-16-be")).decode()], ["cmd"]),
    ("f|utf16|base64: cmd", [base64.b64encode(b"\xff\xfe" + "cmd".encode("utf-16-le")).decode()], ["cmd"]),
    (
        "f|wide|base64offset|contains: whoami",
        [base64.b64encode(("x" * i + " whoami").encode("utf-16-le")).decode() for i in range(3)],
        [base64.b64encode(b"whoami").decode()],
    ),
    # lt, lte, gt, gte on numbers
    ("f|lt: 10", ["9", "-3", "9.9"], ["10", "100", "", "many", None]),
    ("f|lte: 10", ["10", "10.0"], ["10.1"]),
    ("f|gt: 10", ["10.5", "1e3"], ["10", "9"]),
    ("f|gte: 10", ["10", "11"], ["9.99"]),
    # minute, hour, day, week, month, year: "It extracts a numeric value from a date", without conversion of zones
    ("f|minute: 59", ["2025-08-02T23:59:01Z"], ["2025-08-02T23:58:59Z", "59"]),
    ("f|hour: 23", ["2025-08-02T23:59:01Z", "2025-08-02 23:00:00", "2025-08-02T23:10:00+02:00"], ["2025-08-02"]),
    ("f|day: 2", ["2025-08-02", "02/Aug/2025:10:00:00 +0200"], ["2025-08-03"]),
    ("f|week: 31", ["2025-08-02T00:00:00Z"], ["2025-08-04T00:00:00Z"]),
    ("f|month:\n  - 7\n  - 8", ["2025-08-02", "2025-07-31"], ["2025-09-01"]),
    ("f|year: 2025", ["2025-01-01", "1735689600"], ["2024-12-31"]),
    # cidr: "Supports both IPv4 and IPv6 notations."
    ("f|cidr: 10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["11.0.0.0", "10.0.0.256", "x"]),
    ("f|cidr: 192.168.1.64/27", ["192.168.1.64", "192.168.1.95"], ["192.168.1.63", "192.168.1.96"]),
    ("f|cidr: 2001:db8::/32", ["2001:db8::1", "2001:DB8:ffff::"], ["2001:db9::1", "10.0.0.1", "not:an:address"]),
    ("f|cidr:\n  - 10.0.0.0/8\n  - 172.16.0.0/12", ["10.1.1.1", "172.31.0.1"], ["172.32.0.1"]),
]  # fmt: skip


@pytest.mark.parametrize(("item", "good", "bad"), CASES, ids=[item for item, _, _ in CASES])
def test_a_modifier_matches_what_the_specification_says(item: str, good: list[str | None], bad: list[str | None]):
    """A selection matches exactly the values that the specification says it does."""
    values = [*good, *bad]
    found = matches(rule(item), *({"f": value, "other": "x"} for value in values))
    assert dict(zip(values, found, strict=True)) == {v: v in good for v in values}


def test_exists_asks_for_the_name_not_the_value():
    """A field exists where the record has its name, whatever stands there."""
    import polars as pl
    from helpers import events

    from offbeat.rules.match import Matcher

    frame = events("a", "b", "c", "d").with_columns(
        pl.Series("fields", ['{"f":"x"}', '{"f":null}', '{"g":"\\"f\\":"}', None], dtype=pl.String)
    )
    for wanted, rows in ((True, [0, 1]), (False, [2, 3])):
        one = rule(f"f|exists: {str(wanted).lower()}")
        assert Matcher([one], gated=False).rows(frame)[0].tolist() == rows


def test_fieldref_compares_two_fields_of_an_event():
    """The modifier fieldref compares with another field, alone, with its ends, and with neq."""
    pairs = [{"a": "X", "b": "x"}, {"a": "xy", "b": "x"}, {"a": "zx", "b": "x"}, {"a": "zxz", "b": "x"}, {"a": "q"}]
    for item, wanted in {
        "a|fieldref: b": [True, False, False, False, False],
        "a|fieldref|startswith: b": [True, True, False, False, False],
        "a|fieldref|endswith: b": [True, False, True, False, False],
        "a|fieldref|contains: b": [True, True, True, True, False],
        "a|fieldref|neq: b": [False, True, True, True, True],
    }.items():
        assert matches(rule(item), *pairs) == wanted, item


def test_expand_takes_the_values_given_and_is_refused_without():
    """A placeholder stands for the values given; without any the rule is refused with what to do."""
    text = (
        "title: t\nlogsource:\n    category: c\ndetection:\n    s:\n        f|expand: '%Servers%-x'\n    condition: s\n"
    )
    error = refused(text)
    assert "rule.yml:6" in str(error)
    assert "f|expand" in str(error)
    assert "--expand Servers=a,b" in str(error)
    one = rule("f|expand: '%Servers%-x'", placeholders={"Servers": ["web*", "db"]})
    assert matches(one, {"f": "web7-x"}, {"f": "DB-x"}, {"f": "%Servers%-x"}) == [True, True, False]
    literal = rule("f: '%Servers%-x'")
    assert matches(literal, {"f": "%servers%-X"}, {"f": "web7-x"}) == [True, False]


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("(?=a)b", "look-around"),
        ("a(?<!b)", "look-around"),
        (r"(a)\1", "back-reference"),
        ("(?>a)", "atomic"),
        ("a++", "possessive"),
        ("(a", "rule.yml:6"),
    ],
)
def test_expressions_that_cannot_run_in_linear_time_are_refused(pattern: str, what: str):
    """What needs backtracking, or is no expression, is refused at its line."""
    text = f"title: t\nlogsource:\n    category: c\ndetection:\n    s:\n        f|re: '{pattern}'\n    condition: s\n"
    error = str(refused(text))
    assert error.startswith("rule.yml:6: detection.s.f|re:")
    assert what in error or "perl" in error or "missing" in error or "invalid" in error


def test_expressions_take_linear_time():
    """An expression that backtracks for ages elsewhere is done at once on a long text."""
    one = rule(r"f|re: '^(a+)+$'")
    assert matches(one, {"f": "a" * 60_000 + "b"}, {"f": "a" * 60_000}) == [False, True]


def test_lists_nested_beyond_measure_are_texts():
    """A list that can be read and not written again, as a line of brackets may be, is compared as it stands."""
    deep = "[" * 300 + "]" * 300
    assert matches(rule("f|startswith: '[[['"), {"f": deep}, {"f": "[1]"}) == [True, False]


def test_elements_of_a_list_are_values_of_the_field():
    """A JSON array matches where the whole or one element does."""
    record = {"f": '["Deny","x.y"]', "g": "[1,22]"}
    for item, wanted in (("f: deny", True), ("f|endswith: '.y'", True), ("g: 22", True), ("g: 2", False)):
        assert matches(rule(item), record) == [wanted], item
