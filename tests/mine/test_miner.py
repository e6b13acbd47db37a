"""Learning templates: whatever the order and the cut, the same catalog; and never without bound."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offbeat.errors import ModelError, OptionError, UserError
from offbeat.mine import Catalog, Limits, Miner, generalise, template_id

WORDS = [
    "user",
    "anna",
    "ben",
    "carla",
    "dora",
    "emil",
    "failed",
    "opened",
    "17",
    "10.0.0.1",
    "=",
    "(",
    ")",
    "<*>",
    "x=y",
]
LINES = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join) | st.text(max_size=12) | st.none(),
    min_size=1,
    max_size=40,
)


def mine(lines, **options):
    miner = Miner(**options)
    codes = miner.encode(Miner.shapes(pl.Series(lines, dtype=pl.String), options.get("limits", Limits())))
    catalog = miner.learn()
    return catalog, miner.templates(codes)


def shapes(*lines):
    return Miner.shapes(pl.Series(lines, dtype=pl.String))


@given(LINES, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_lines_does_not_matter(lines, random):
    """Shuffled lines give the same templates, ids, counts and codes, and every line the same template."""
    shuffled = random.sample(range(len(lines)), len(lines))
    catalog, codes = mine(lines)
    again, other = mine([lines[i] for i in shuffled])
    assert again.frame.equals(catalog.frame)
    assert other.to_list() == [codes[i] for i in shuffled]


@given(LINES, st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_the_cut_of_the_rows_does_not_matter(lines, size):
    """Learning in small batches is learning at once; a frozen catalog gives each row the same code in any batch."""
    catalog, codes = mine(lines)
    miner = Miner()
    series = pl.Series(lines, dtype=pl.String)
    parts = [series[i : i + size] for i in range(0, len(series), size)]
    for part in parts:
        miner.encode(Miner.shapes(part))
    assert miner.learn().frame.equals(catalog.frame)
    matched = [code for part in parts for code in catalog.match(Miner.shapes(part))]
    assert matched == codes.to_list()
    assert len(catalog) == catalog.known


@given(LINES, LINES)
@settings(max_examples=100, deadline=None)
def test_a_saved_catalog_is_the_same_catalog(lines, unseen):
    """A catalog restored from its frames says the same of lines seen and unseen."""
    catalog, _ = mine(lines)
    restored = Catalog.from_frames(catalog.to_frames())
    both = Miner.shapes(pl.Series(lines + unseen, dtype=pl.String))
    assert restored.match(both).to_list() == catalog.match(both).to_list()
    assert restored.frame.equals(catalog.frame)
    assert restored.known == catalog.known


@given(LINES, LINES)
@settings(max_examples=100, deadline=None)
def test_going_on_keeps_codes_ids_and_texts(lines, more):
    """Learning on from a catalog keeps what its templates are called, and its lines keep their templates."""
    old, codes = mine(lines)
    before = old.frame
    new, _ = mine(more, catalog=old)
    assert old.frame.equals(before)
    assert new.texts[: len(old)] == old.texts
    assert new.ids[: len(old)] == old.ids
    assert sum(new.counts) == len(lines) + len(more)
    assert new.match(Miner.shapes(pl.Series(lines, dtype=pl.String))).to_list() == codes.to_list()


def test_the_id_of_a_template_comes_from_its_text():
    """The same template has the same id in any file."""
    here, _ = mine(["deleted block 17", "opened"])
    there, _ = mine(["x y z", "deleted block 99 "])
    assert template_id("deleted block <*>") in set(here.ids) & set(there.ids)
    assert here.code(template_id("deleted block <*>")) == here.texts.index("deleted block <*>")


def test_an_unseen_line_is_matched_or_new():
    """A line of a known template gets its code whatever its values; another appends a template beyond the known."""
    catalog, _ = mine([f"login of {name} took 3 ms" for name in ("anna", "ben", "carla", "dora", "emil")] + ["bye"])
    login = catalog.texts.index("login of <*> took <*> ms")
    codes = catalog.match(shapes("login of zoe took 99 ms", "never seen", "never seen", "login of 7 took 1 ms"))
    assert codes.to_list() == [login, catalog.known, catalog.known, login]
    assert catalog.known == 2
    assert catalog.texts[2] == "never seen"


def test_a_word_is_matched_where_only_numbers_were_seen():
    """A place that held values while learning takes a word later, where the rest of the line agrees."""
    catalog, _ = mine(["connection from 10.0.0.1 port 22 closed"] * 3)
    assert catalog.match(shapes("connection from gatekeeper port 22 closed")).to_list() == [0]


def test_small_batches_are_matched_like_large_ones():
    """A live batch, looked up row by row, gets the codes that a joined one gets, new templates included."""
    lines = [f"{a}{b} opened" for a in "abcdefgh" for b in "abcdefgh"]
    one, _ = mine(lines)
    other, _ = mine(lines)
    unseen = ["aa opened", None, "never seen", "zz opened", "never seen", "new too"]
    large = one.match(Miner.shapes(pl.Series(lines + unseen, dtype=pl.String)))[len(lines) :].to_list()
    assert [code for line in unseen for code in other.match(shapes(line))] == large
    assert one.stats == other.stats
    assert other.stats["templates"] == one.known + 3


def test_null_and_empty_messages_have_a_template_of_their_own():
    """Nulls, empty lines and blanks are one template and raise nothing."""
    catalog, codes = mine([None, "", "  ", "word"])
    assert catalog.texts[codes[0]] == "<empty>"
    assert codes.to_list() == [codes[0]] * 3 + [codes[3]]


def test_log_text_cannot_pose_as_a_separator():
    """Control characters and markers in the log survive saving and loading."""
    lines = ["a\x1fb c", "a b\x1f c", "\x01", "\x00 x", "x <*> y", "x 17 y", "[red]x[/]"]
    catalog, codes = mine(lines)
    restored = Catalog.from_frames(catalog.to_frames())
    assert restored.match(shapes(*lines)).to_list() == codes.to_list()


def test_seeds_come_first():
    """A seed's template is used as it is written, also where mining would have split or joined lines."""
    seeds = ["job <name> ended with <*>", "took <*>ms", "unused <*> seed"]
    catalog, codes = mine(["job a b c ended with 7", "job x ended with error", "took 12ms", "else"], seeds=seeds)
    assert [catalog.texts[code] for code in codes] == [seeds[0], seeds[0], "took <*>ms", "else"]
    assert catalog.counts[catalog.texts.index("unused <*> seed")] == 0
    assert catalog.match(shapes("job y z ended with 1")).to_list() == [codes[0]]
    restored = Catalog.from_frames(catalog.to_frames())
    assert restored.match(shapes("job q r s ended with 1")).to_list() == [codes[0]]


def test_the_seed_with_more_words_wins():
    """Where two seeds match, the more literal one does."""
    _, codes = mine(["a special thing", "a plain thing"], seeds=["a <*> thing", "a special <*>"])
    catalog, _ = mine(["a special thing"], seeds=["a <*> thing", "a special <*>"])
    assert codes[0] != codes[1]
    assert catalog.counts[catalog.texts.index("a special <*>")] == 1


def test_a_seed_without_a_word_is_refused():
    """A seed that would match every line is the user's mistake."""
    with pytest.raises(OptionError, match="would match every line"):
        Miner(seeds=["<*> <*>"])


def test_templates_are_bounded():
    """Beyond the limit lines share the template <*>, and that is counted and said."""
    lines = ["alpha", "beta gamma", "delta: x", "(epsilon)", "zeta; eta"]
    catalog, codes = mine(lines, limits=Limits(templates=3))
    assert len(catalog) == 4
    assert catalog.counters.templates == 2
    assert sorted(codes.to_list()) == [0, 1, 2, 3, 3]
    assert any("limit on templates" in text for text in catalog.warnings)
    catalog.match(shapes("more: and; more"))
    assert len(catalog) == 4


def test_shapes_are_bounded():
    """Beyond the limit shapes are reduced to their first words; memory and templates stay bounded."""
    lines = [f"free text {chr(97 + i // 26)}{chr(97 + i % 26)} (x" + "(" * (i % 9) for i in range(500)]
    limits = Limits(shapes=50, coarse=5)
    catalog, codes = mine(lines, limits=limits)
    assert catalog.counters.shapes == 450
    assert len(catalog._shapes) <= 55
    assert codes.null_count() == 0
    assert sum(catalog.counts) == 500
    assert any("limit on shapes" in text for text in catalog.warnings)


def test_coarse_shapes_are_bounded_too():
    """Even the first words of lines may vary without end."""
    lines = [f"{chr(97 + i // 26)}{chr(97 + i % 26)} {chr(97 + i % 26)}x" for i in range(300)]
    catalog, _ = mine(lines, limits=Limits(shapes=10, coarse=7))
    assert len(catalog._shapes) <= 18
    assert sum(catalog.counts) == 300


def test_long_lines_and_many_words_are_counted():
    """Each hit of a limit is counted."""
    limits = Limits(line=50, tokens=5)
    catalog, _ = mine(["x" * 60, "x" * 60, "a b c d e f g"], limits=limits)
    assert catalog.counters.as_dict() == {"line": 2, "tokens": 1, "shapes": 0, "templates": 0}


def test_free_text_is_reported():
    """Where most templates were seen once the catalog says that mining goes badly."""
    letters = "abcdefghijklmno"
    lines = [f"{a}{b}{c} {c}{a} {b}{b}{a}" for a in letters for b in letters for c in "xy"]
    catalog, _ = mine(lines)
    assert any("seen once" in text for text in catalog.warnings)
    assert mine(["quiet line"] * 50)[0].warnings == []


def test_a_limit_below_one_is_refused():
    """A limit of nothing is the user's mistake."""
    with pytest.raises(UserError, match="the limit on templates is 0"):
        Limits(templates=0)


def test_damaged_frames_are_refused():
    """Frames that contradict themselves are a damaged model, not a crash."""
    frames = mine(["a", "b c"])[0].to_frames()
    twice = {**frames, "templates": pl.concat([frames["templates"]] * 2)}
    with pytest.raises(ModelError, match="there twice"):
        Catalog.from_frames(twice)
    beyond = {**frames, "shapes": frames["shapes"].with_columns(code=pl.lit(9, dtype=pl.UInt32))}
    with pytest.raises(ModelError, match="names no template"):
        Catalog.from_frames(beyond)


NAMES = ["alice", "bob", "carol", "dave", "erin", "frank", "grace"]


def test_new_templates_of_one_statement_become_one():
    """What was met after learning and varies in a word is one template, with the id that learning would give it."""
    known = ["disk 1 is full", "disk 2 is full", "link up"]
    fresh = [f"account {name} was closed today" for name in NAMES]
    catalog, _ = mine(known)
    before = catalog.match(shapes(*fresh, "link lost")).to_list()
    assert len(set(before)) == 8
    names = generalise(catalog, dict.fromkeys(before, 1))
    assert set(names) == set(before[1:7])
    assert set(names.values()) == {before[0]}
    assert catalog.merged == names
    assert catalog.texts[before[0]] == "account <*> was closed today"
    learned, codes = mine([*known, *fresh])
    assert catalog.ids[before[0]] == learned.ids[codes[-1]]
    assert catalog.code(catalog.ids[before[0]]) == before[0]
    after = catalog.match(shapes(*fresh, "account heidi was closed today", "link lost", "disk 7 is full")).to_list()
    assert after[:8] == [before[0]] * 8
    assert after[8:] == [before[7], catalog.match(shapes("disk 1 is full"))[0]]


def test_what_is_known_is_not_merged():
    """Templates that were learned stay apart, and one new template alone has nothing to be merged with."""
    catalog, _ = mine([f"account {name} was closed today" for name in NAMES[:2]])
    codes = catalog.match(shapes("account carol was closed today", *(f"account {n} was closed today" for n in NAMES)))
    assert generalise(catalog, dict.fromkeys(codes[1:3].to_list(), 5)) == {}
    assert generalise(catalog, {codes[0]: 5}) == {}
    assert catalog.merged == {}


def test_merged_templates_survive_being_saved():
    """Shapes that became one template still are after the catalog was written and read."""
    catalog, _ = mine(["link up", "disk 1 is full"])
    fresh = shapes(*(f"account {name} was closed today" for name in NAMES))
    generalise(catalog, dict.fromkeys(catalog.match(fresh).to_list(), 1))
    again = Catalog.from_frames(catalog.to_frames())
    assert again.match(fresh).n_unique() == 1
    assert again.texts[again.match(fresh)[0]] == "account <*> was closed today"
