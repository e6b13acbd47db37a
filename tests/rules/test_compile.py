"""Rules to trees: conditions, keywords, logs, what is refused and where, and what is kept."""

import json
from pathlib import Path

import polars as pl
import pytest
from helpers import compiled, events, matches, refused, rule
from sigma import policy

from offbeat.rules import Correlation, Filter, LogSource, Rule, columns, load
from offbeat.rules.match import Matcher
from offbeat.rules.patterns import required
from offbeat.rules.rule import from_dict, to_dict

_HEAD = "title: t\nlogsource:\n    category: c\ndetection:\n"


def _detection(body: str) -> Rule:
    made = compiled(_HEAD + body)
    assert isinstance(made, Rule)
    return made


CONDITIONS = {
    "a and b": [False, False, False, True],
    "a or b": [False, True, True, True],
    "not a": [True, False, True, False],
    "a and not b": [False, True, False, False],
    "not (a or b)": [True, False, False, False],
    "a or not a and b": [False, True, True, True],
    "1 of them": [False, True, True, True],
    "any of them": [False, True, True, True],
    "all of them": [False, False, False, True],
    "1 of sel*": [False, False, False, False],
    "1 of a*": [False, True, False, True],
    "all of *": [False, False, False, True],
    "1 of sel_* or b": [False, False, True, True],
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_link_selections(condition: str):
    """A condition holds for the events that the specification says; of events with neither, a, b and both."""
    sel = "    sel_x:\n        x: never\n" if "sel" in condition else ""
    made = _detection(f"    a:\n        f: 1\n    b:\n        g: 1\n{sel}    condition: {condition}\n")
    assert matches(made, {"h": 1}, {"f": 1}, {"g": 1}, {"f": 1, "g": 1}) == CONDITIONS[condition]


def test_several_conditions_are_linked_by_or_and_underscored_names_are_left_out_of_them():
    """A list of conditions is alternatives; `1 of them` does not take names that begin with an underscore."""
    made = _detection("    a:\n        f: 1\n    b:\n        g: 1\n    condition:\n        - a\n        - b\n")
    assert matches(made, {"f": 1}, {"g": 1}, {"h": 1}) == [True, True, False]
    made = _detection("    a:\n        f: 1\n    _b:\n        g: 1\n    condition: 1 of them\n")
    assert matches(made, {"f": 1}, {"g": 1}) == [True, False]


def test_maps_are_joined_by_and_and_lists_of_maps_by_or():
    """All items of a map hold; of a list of maps one has to."""
    made = _detection("    a:\n        f: 1\n        g: 2\n    condition: a\n")
    assert matches(made, {"f": 1, "g": 2}, {"f": 1}) == [True, False]
    made = _detection("    a:\n        - f: 1\n          g: 2\n        - h: 3\n    condition: a\n")
    assert matches(made, {"f": 1, "g": 2}, {"h": 3}, {"g": 2}) == [True, True, False]


KEYWORDS = [
    ("- evilservice", ["the EvilService ran"], ["the service ran"]),
    ("- 'wget * | sh'", ["x wget http://a | sh y"], ["sh | wget "]),
    ("'|all':\n    - one\n    - two", ["two and one"], ["one"]),
    ("- 'a\"b\\c'", ['say a"b\\c'], ["say ab"]),
    ("- 404", ["status 404 seen"], ["status 200"]),
    ("'|re': '^fatal: .{3}$'", ["fatal: abc"], ["not fatal: abc"]),
    ("'|cased':\n    - Evil", ["an Evil one"], ["an evil one"]),
]


@pytest.mark.parametrize(("keywords", "good", "bad"), KEYWORDS, ids=[k for k, _, _ in KEYWORDS])
@pytest.mark.parametrize("place", ["message", "field", "json"])
def test_keywords_search_the_whole_event(keywords: str, good: list[str], bad: list[str], place: str):
    """Keywords are found in the message, in any field, and in any value of a record, whatever must be escaped there."""
    one = rule(keywords)
    texts = [*good, *bad, "nothing"]
    frame = events(*texts)
    if place == "field":
        frame = frame.with_columns(pl.lit("m").alias("message"), pl.Series("fields.x", texts))
    elif place == "json":
        records = [json.dumps({"x": text, "n": 1}) for text in texts]
        frame = frame.with_columns(pl.lit("m").alias("message"), pl.Series("fields", records))
    assert Matcher([one], gated=False).rows(frame)[0].tolist() == list(range(len(good)))


def test_a_keyword_with_a_wildcard_may_span_columns():
    """The two ends of a wildcard may stand in different columns, in the order of the line."""
    one = rule("- 'get /x*curl'")
    frame = events({"message": "GET /x 200", "agent": "curl/8"}, {"message": "GET /y 200", "agent": "curl/8"})
    assert Matcher([one], gated=False).rows(frame)[0].tolist() == [0]


REFUSED = [
    (_HEAD + "    s:\n        f|nonsense: x\n    condition: s\n", "rule.yml:6: detection.s.f|nonsense", "startswith"),
    (_HEAD + "    s:\n        f: x\n    condition: q\n", "rule.yml:7: detection.condition", "there are s"),
    (_HEAD + "    s:\n        f: x\n    condition: 1 of q*\n", "rule.yml:7: detection.condition", "there are s"),
    (_HEAD + "    s:\n        f: x\n    condition: s and\n", "rule.yml:7: detection.condition", "not, and, or"),
    (_HEAD + "    s:\n        f: x\n    condition: s | count() > 3\n", "rule.yml:7: detection.condition", "orrelation"),
    (_HEAD + "    s:\n        f: x\n", "rule.yml:4: detection.condition", "selection and not filter"),
    (_HEAD + "    condition: s\n", "rule.yml:4: detection: there is no selection", ""),
    (_HEAD + "    s:\n        - f|gt: many\n    condition: s\n", "rule.yml:6: detection.s.f|gt: 'many'", "a number"),
    (_HEAD + "    s:\n        f|exists: 'on'\n    condition: s\n", "rule.yml:6: detection.s.f|exists", "true or false"),
    (_HEAD + "    s:\n        f|re: '(?=a)'\n    condition: s\n", "rule.yml:6: detection.s.f|re", "look-around cannot"),
    (_HEAD + "    s:\n        '|cidr': 10.0.0.0/8\n    condition: s\n", "rule.yml:6: detection.s.|cidr", "keywords"),
    (_HEAD + "    s:\n        f|cidr: 10.0.0.1/8\n    condition: s\n", "rule.yml:6: detection.s.f|cidr", ""),
    ("title: t\ndetection:\n    s:\n        f: x\n    condition: s\n", "rule.yml:1: logsource", "category, product"),
    ("title: t\nlogsource: {}\ndetection:\n    s:\n        f: x\n    condition: s\n", "rule.yml:2: logsource", "name"),
    ("logsource:\n    category: c\ndetection:\n    s:\n        f: x\n    condition: s\n", "rule.yml:1: title", ""),
    ("title: t\nlogsource:\n    category: c\n", "rule.yml:1: detection", "selections and a condition"),
    ("- a\n", "rule.yml:1: is no rule but a list", ""),
    ("title: [\n", "rule.yml:2: is no YAML", ""),
    ("action: global\ntitle: t\n", "rule.yml:1: collections by action", "documents of their own"),
    ("title: t\ntitle: u\n", "rule.yml:1: is no YAML", ""),
    (
        "title: t\nlogsource: {category: any}\ndetection:\n  a: [x]\n  condition: " + "not " * 3000 + "a\n",
        "rule.yml:1: is nested more deeply than can be followed",
        "fewer brackets or “not” within one another",
    ),
]


@pytest.mark.parametrize(("text", "start", "hint"), REFUSED, ids=[start for _, start, _ in REFUSED])
def test_what_cannot_be_used_is_refused_at_its_line(text: str, start: str, hint: str):
    """A bad rule is refused with its line, the key to blame and what is supported."""
    error = refused(text)
    assert str(error).startswith(start)
    assert hint in str(error)


def test_expressions_are_judged_by_what_evaluates_them(capfd: pytest.CaptureFixture[str]):
    """What is refused is said once, by us and not by RE2; who else uses pySigma in this process keeps its engine."""
    before = policy.default_policy
    assert "look-around" in str(refused(_HEAD + "    s:\n        f|re: 'a(?!b)'\n    condition: s\n"))
    assert matches(_detection("    s:\n        f|re: 'a{1001}'\n    condition: s\n"), {"f": "a" * 1001}) == [True]
    assert capfd.readouterr() == ("", "")
    assert policy.default_policy is before


def test_an_alias_bomb_is_refused():
    """YAML aliases that expand to millions of nodes are refused at once."""
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
    )
    assert "alias" in str(refused("title: t\nlogsource:\n    category: c\n" + bomb))


def test_what_is_merely_odd_is_noted():
    """A strange tag or an unused selection does not keep a rule from being used, and is said."""
    made = compiled(_HEAD + "    s:\n        f: x\n    t:\n        f: y\n    condition: s\nlevel: huge\n")
    assert isinstance(made, Rule)
    assert any("huge" in note for note in made.notes)
    assert any("does not use t" in note for note in made.notes)
    assert made.level == "medium"


def test_rules_go_to_json_and_back():
    """What is compiled is the same after JSON, for each kind of document."""
    texts = [
        _HEAD + "    s:\n        f|re|i: 'a.c'\n        g|neq: 'x*y'\n        h|gt: 3\n"
        "    k:\n        - word\n    condition: s or not k\n",
        "title: c\nid: 0e95725d-7320-415d-80f7-004da920fc11\ncorrelation:\n    type: value_percentile\n    rules: [a]\n"
        "    group-by: [u]\n    timespan: 5m\n"
        "    condition:\n        field: f\n        percentile: 95\n        gte: 2\n        lt: 9\n",
        "title: f\nlogsource:\n    category: c\nexpires: 2030-01-01\nfilter:\n"
        "    rules: any\n    s:\n        u: x\n    condition: not s\n",
    ]
    for text in texts:
        made = compiled(text)
        assert from_dict(json.loads(json.dumps(to_dict(made)))) == made


def test_a_filter_joins_the_rules_it_names_until_it_expires():
    """A filter's condition is joined by and, to the rules that it names, and only to events before it expires."""
    one = _detection("    s:\n        f: x\n    condition: s\n")
    text = (
        "title: f\nlogsource:\n    category: c\nexpires: 2025-06-01\nfilter:\n    rules: {rules}\n"
        "    s:\n        u: root\n    condition: not s\n"
    )
    early, late = "2025-05-31T23:59:59", "2025-06-01T00:00:00"
    frame = events(
        {"f": "x", "u": "root", "_time": early}, {"f": "x", "u": "root", "_time": late}, {"f": "x", "_time": early}
    )
    for rules, expected in (("any", [1, 2]), ("[t]", [1, 2]), ("[other]", [0, 1, 2])):
        made = compiled(text.format(rules=rules))
        assert isinstance(made, Filter)
        assert Matcher([one], [made], gated=False).rows(frame)[0].tolist() == expected
    assert not LogSource(category="d").covers(LogSource(category="c"))


def test_files_are_compiled_once_and_bad_ones_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second time nothing is parsed, wherever the file lies then, and what is refused is refused again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "rules"
    folder.mkdir()
    good = _HEAD + "    s:\n        f: x\n    condition: s\n"
    (folder / "good.yml").write_text(good + "---\n" + good.replace("title: t", "title: u"))
    (folder / "bad.yml").write_text(_HEAD + "    s:\n        f|no: x\n    condition: s\n")
    (folder / "good.test.yml").write_text("[]")
    first = load([folder])
    monkeypatch.setattr("offbeat.rules.sigma.compile_text", None)
    folder.rename(tmp_path / "moved")
    second = load([tmp_path / "moved"])
    assert [d.title for d in second.documents] == [d.title for d in first.documents] == ["t", "u"]
    assert [d.where for d in second.documents] == [f"{tmp_path}/moved/good.yml:{line}" for line in (1, 9)]
    assert [str(e).removeprefix(f"{tmp_path}/moved/") for e in second.refused] == [
        str(e).removeprefix(f"{folder}/") for e in first.refused
    ]


def test_correlations_need_their_rules(tmp_path: Path):
    """A correlation of rules that are not there, or of itself, is refused; the rest is used."""
    text = (
        "title: c{n}\nname: c{n}\ncorrelation:\n    type: event_count\n    rules: [{rule}]\n"
        "    timespan: 1m\n    condition:\n        gte: 2\n"
    )
    (tmp_path / "a.yml").write_text(
        "---\n".join([text.format(n=1, rule="nowhere"), text.format(n=2, rule="c3"), text.format(n=3, rule="c2")])
    )
    (tmp_path / "b.yml").write_text(_HEAD + "    s:\n        f: x\n    condition: s\n")
    found = load([tmp_path])
    assert [d.title for d in found.documents] == ["t"]
    assert any("'nowhere', which is no rule here" in str(e) for e in found.refused)
    assert any("refers to itself" in str(e) for e in found.refused)


def test_correlations_are_compiled_with_ranges_aliases_and_conditions():
    """All of a correlation is taken over: bounds of a range, aliases, fields, a condition over rules."""
    made = compiled(
        "title: c\ncorrelation:\n    type: event_count\n    rules: [a, b]\n    group-by: [ip]\n    timespan: 90m\n"
        "    aliases:\n        ip:\n            a: src\n            b: dst\n"
        "    condition:\n        gt: 100\n        lte: 200\n"
    )
    assert isinstance(made, Correlation)
    assert made.bounds == (("gt", 100.0), ("lte", 200.0))
    assert made.seconds == 5400
    assert made.aliases == {"ip": {"a": "src", "b": "dst"}}
    extended = compiled("title: c\ncorrelation:\n    type: temporal\n    timespan: 1m\n    condition: a and not b\n")
    assert isinstance(extended, Correlation)
    assert extended.rules == ("a", "b")


BAD_CORRELATIONS = [
    ("type: nonsense\n    rules: [a]\n    timespan: 1m\n    condition:\n        gte: 1", "4: correlation.type"),
    ("type: event_count\n    rules: [a]\n    timespan: soon\n    condition:\n        gte: 1", "correlation.timespan"),
    ("type: event_count\n    rules: [a]\n    timespan: 1m", "condition"),
    ("type: event_count\n    rules: [a]\n    timespan: 1m\n    condition:\n        more: 1", "more"),
    ("type: event_count\n    rules: [a]\n    timespan: 1m\n    condition:\n        gte: many", "no number"),
    ("type: value_count\n    rules: [a]\n    timespan: 1m\n    condition:\n        gte: 1", "field"),
    (
        "type: value_percentile\n    rules: [a]\n    timespan: 1m\n    condition:\n        gte: 1\n        field: x",
        "percentile",
    ),
    ("type: event_count\n    timespan: 1m\n    condition:\n        gte: 1", "rule"),
    ("type: temporal_ordered\n    timespan: 1m\n    condition: a or b", "order"),
]


@pytest.mark.parametrize(("body", "said"), BAD_CORRELATIONS, ids=[said for _, said in BAD_CORRELATIONS])
def test_bad_correlations_are_refused_at_their_line(body: str, said: str):
    """A correlation that cannot be used is refused with its place and the key to blame."""
    error = str(refused(f"title: c\nname: c\ncorrelation:\n    {body}\n"))
    assert error.startswith("rule.yml:")
    assert said in error


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        (r"wh[oa]{2}ami", ("ami",)),
        (r"(?i)\b(?:Failed|refused)\b", ("failed", "refused")),
        (r"a(?:bcd)?e", ()),
        (r"(?:abc|x)y", ()),
        (r"(abc)+", ("abc",)),
        (r"COMMAND=(?:\S*/)?tee", ("command=",)),
        (r"[a-z]+\d", ()),
        ("(", ()),
    ],
)
def test_literals_that_an_expression_needs(pattern: str, literals: tuple[str, ...]):
    """Only texts that hold a literal which an expression needs are matched; where none is sure, all are."""
    assert required(pattern) == literals


def test_a_filter_of_a_correlation_is_refused_with_what_to_name(tmp_path: Path):
    """Filters are for rules on single events; one that names a correlation says which rules those are."""
    base = "title: b\nname: b\nlogsource:\n    category: c\ndetection:\n    s:\n        f: x\n    condition: s\n"
    many = "title: many\ncorrelation:\n    type: event_count\n    rules: [b]\n    timespan: 1m\n"
    many += "    condition:\n        gte: 2\n"
    left = "title: f\nlogsource:\n    category: c\nfilter:\n    rules: [many]\n"
    left += "    s:\n        u: x\n    condition: not s\n"
    (tmp_path / "r.yml").write_text("---\n".join([base, many, left]))
    found = load([tmp_path])
    assert [d.title for d in found.documents] == ["b", "many"]
    assert "many is a correlation" in str(found.refused[0])
    assert "name those that it counts: b" in str(found.refused[0])


def test_rules_for_other_logs_are_not_looked_for(monkeypatch: pytest.MonkeyPatch):
    """Where a rule's log source is another, its literals are not searched; the others find what they did."""
    text = "title: {}\nlogsource:\n    {}\ndetection:\n    words:\n        - {}\n    condition: words\n"
    made = [compiled(text.format(title, source, word)) for title, source, word in (
        ("mine", "category: any", "alpha"), ("web", "category: webserver", "beta"))]  # fmt: skip
    matcher = Matcher([one for one in made if isinstance(one, Rule)], formats=["hdfs"])
    looked: list[str] = []
    found = columns.Column.__dict__["_found"].func
    monkeypatch.setattr(columns.Column, "_found", property(lambda self: looked.extend(self.literals) or found(self)))
    rows = matcher.rows(events("one alpha", "two beta", "three"))
    assert [one.tolist() for one in rows] == [[0], []]
    assert set(looked) == {"alpha"}


def test_a_filter_that_leaves_nothing_out_is_told(tmp_path: Path):
    """A filter with a name that no rule has, or for another log, is said; a rule found beside it settles that."""
    base = "title: b\nname: b\nlogsource:\n    category: c\ndetection:\n    s:\n        f: x\n    condition: s\n"
    left = (
        "title: f\nlogsource:\n    category: {}\nfilter:\n    rules: [{}]\n    s:\n        u: x\n    condition: not s\n"
    )
    (tmp_path / "b.yml").write_text(base)
    for source, names, said in (
        ("c", "b", []),
        ("c", "b, typo", ["names typo, and no rule on single events is called that"]),
        ("d", "b", ["is for none of these rules"]),
    ):
        (tmp_path / "f.yml").write_text(left.format(source, names))
        assert load([tmp_path]).idle == [(f"{tmp_path}/f.yml:1", words) for words in said]
    (tmp_path / "f.yml").write_text(left.format("c", "b"))
    alone = load([tmp_path / "f.yml"])
    assert alone.idle
    assert not alone.joined(load([tmp_path / "b.yml"])).idle
