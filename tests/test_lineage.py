"""Old lines that a release worded anew are told from what is new."""

import polars as pl
import pytest
from samples import frame

from offbeat.detect import Ragged
from offbeat.lineage import Places, find_changed, named_anew, renamed
from offbeat.lives import LIVES, Lives, one_each

TEXTS = [
    "order <*> received",
    "stock checked for <*>",
    "card charged for <*>",
    "order <*> shipped",
    "checked stock of <*>",
    "intrusion from <*> at the gate",
]


def lives(counts: dict[int, tuple[int, int, int]], level: int = 9) -> pl.DataFrame:
    """Return LIVES of templates by code: events, and the places of the first and the last."""
    rows = [(code, 1, level, n, None, None, first, last, first) for code, (n, first, last) in counts.items()]
    return pl.DataFrame(rows, schema=LIVES, orient="row")


def places(lists: list[list[int]]) -> pl.DataFrame:
    """Return the neighbours in sequences."""
    found = Places()
    found.add(Ragged.of(frame(lists)))
    return found.pairs


BEFORE = lives({0: (100, 0, 396), 1: (100, 1, 397), 2: (100, 2, 398), 3: (100, 3, 399)})
USUAL = places([[0, 1, 2, 3]] * 100)


def changed(now: pl.DataFrame, here: pl.DataFrame, texts: list[str] = TEXTS) -> list[tuple[int, int]]:
    """Return the codes, new and old, of the lines found to have changed."""
    return [(one.new, one.old) for one in find_changed(BEFORE, now, USUAL, here, texts)]


def test_a_line_in_new_words_is_recognised():
    """The old line is gone, the new one stands in its place, as often and in much the same words."""
    now = lives({0: (50, 0, 196), 4: (50, 1, 197), 2: (50, 2, 198), 3: (50, 3, 199)})
    assert changed(now, places([[0, 4, 2, 3]] * 50)) == [(4, 1)]


def test_it_may_change_in_the_middle_of_a_log():
    """Half of the log has the old words, half the new."""
    now = lives({0: (50, 0, 196), 1: (25, 1, 97), 4: (25, 101, 197), 2: (50, 2, 198), 3: (50, 3, 199)})
    assert changed(now, places([[0, 1, 2, 3]] * 25 + [[0, 4, 2, 3]] * 25)) == [(4, 1)]


def test_what_comes_beside_an_old_line_is_new():
    """However alike the words: while the old line goes on, the new one is no other name of it."""
    now = lives({0: (50, 0, 246), 1: (50, 1, 247), 4: (50, 2, 248), 2: (50, 3, 249), 3: (50, 4, 249)})
    assert changed(now, places([[0, 1, 4, 2, 3]] * 50)) == []


def test_what_has_neither_the_words_nor_the_place_is_new():
    """An old line that stopped is not taken for whatever else began."""
    now = lives({0: (50, 0, 196), 5: (50, 1, 197), 2: (50, 2, 198), 3: (50, 3, 199)})
    assert changed(now, places([[5]] * 50 + [[0, 2, 3]] * 50)) == []


def test_other_words_at_the_very_place_are_the_line():
    """Where nothing else changed, a line that stopped and one that began between the same neighbours are one."""
    now = lives({0: (50, 0, 196), 5: (50, 1, 197), 2: (50, 2, 198), 3: (50, 3, 199)})
    assert changed(now, places([[0, 5, 2, 3]] * 50)) == [(5, 1)]


def test_what_begins_late_gives_way_to_what_came_at_once():
    """Where a log begins after the release, of two lines at one place that which comes at once is the old one.

    A line without a rival may begin late: some come at certain hours.
    """
    texts = [*TEXTS, "stock of <*> checked again"]
    now = lives({0: (100, 0, 396), 4: (100, 1, 397), 5: (60, 161, 398), 2: (100, 2, 398), 3: (100, 3, 399)})
    here = places([[0, 4, 2, 3]] * 40 + [[0, 4, 5, 2, 3]] * 60)
    assert changed(now, here, texts) == [(4, 1)]
    alone = lives({0: (100, 0, 396), 4: (40, 241, 397), 2: (100, 2, 398), 3: (100, 3, 399)})
    assert changed(alone, places([[0, 2, 3]] * 60 + [[0, 4, 2, 3]] * 40), texts) == [(4, 1)]


def test_an_alarming_line_at_the_place_of_a_calm_one_is_new():
    """Errors in the place of a step are not that step in other words."""
    now = pl.concat([lives({0: (50, 0, 196), 2: (50, 2, 198), 3: (50, 3, 199)}), lives({5: (50, 1, 197)}, level=17)])
    assert changed(now, places([[0, 5, 2, 3]] * 50)) == []


@pytest.mark.parametrize(("events", "others"), [(2, 100), (1200, 20)])
def test_the_rate_goes_on(events, others):
    """A line that comes far more or far less often than the old one is not it."""
    now = lives({0: (others, 0, 396), 4: (events, 1, 397), 2: (others, 2, 398), 3: (others, 3, 799)})
    assert changed(now, places([[0, 4, 2, 3]] * 50)) == []


def test_neighbours_that_changed_as_well_help_each_other():
    """Two neighbours worded anew: the surer is settled first and makes the other's place known."""
    texts = [*TEXTS[:5], "payment done, <*>"]
    now = lives({0: (50, 0, 196), 4: (50, 1, 197), 5: (50, 2, 198), 3: (50, 3, 199)})
    assert changed(now, places([[0, 4, 5, 3]] * 50), texts) == [(4, 1), (5, 2)]


def test_a_seldom_line_needs_a_release():
    """A line too rare to be missed is only recognised among others that changed."""
    rare = ["order <*> refunded to customer <*>", "refunded order <*> to customer <*>"]
    before = pl.concat([BEFORE, lives({6: (2, 50, 150)})])
    texts = [*TEXTS, *rare, "received order <*>", "shipped order <*>"]
    calm = pl.concat([lives({c: (50, c, 196 + c) for c in range(4)}), lives({7: (1, 90, 90)})])
    found = find_changed(before, calm, USUAL, places([[0, 1, 2, 3]] * 50), texts)
    assert found == []
    release = {8: (50, 0, 196), 4: (50, 1, 197), 2: (50, 2, 198), 9: (50, 3, 199), 7: (1, 90, 90)}
    found = find_changed(before, lives(release), USUAL, places([[8, 4, 2, 9]] * 50), texts)
    assert {(one.new, one.old) for one in found} == {(8, 0), (4, 1), (9, 3), (7, 6)}


def test_another_value_is_no_other_wording():
    """A seldom line that differs from an old one by a word holds another value, release or not."""
    texts = [*TEXTS, "rights of alice checked", "rights of bob checked", "received order <*>", "shipped order <*>"]
    before = pl.concat([BEFORE, lives({6: (2, 50, 150)})])
    release = {8: (50, 0, 196), 4: (50, 1, 197), 2: (50, 2, 198), 9: (50, 3, 199), 7: (1, 90, 90)}
    found = find_changed(before, lives(release), USUAL, places([[8, 4, 2, 9]] * 50), texts)
    assert {one.new for one in found} == {8, 4, 9}


def test_all_templates_of_the_new_words_are_the_line():
    """Mined as several templates, with the same text or all but a value of it, the new words are one line."""
    texts = [*TEXTS, TEXTS[4], "checked stock of everything"]
    now = {0: (50, 0, 196), 4: (40, 1, 197), 6: (8, 9, 190), 7: (2, 60, 90), 2: (50, 2, 198), 3: (50, 3, 199)}
    here = places([[0, 4, 2, 3]] * 40 + [[0, 6, 2, 3]] * 8 + [[0, 7, 2, 3]] * 2)
    assert sorted(changed(lives(now), here, texts)) == [(4, 1), (6, 1), (7, 1)]


def test_nothing_changed_without_new_templates():
    """The usual case costs next to nothing and finds nothing."""
    assert changed(lives({0: (50, 0, 196), 1: (50, 1, 197)}), USUAL) == []
    assert find_changed(BEFORE.clear(), BEFORE, USUAL, USUAL, TEXTS) == []


def test_names_and_codes_follow():
    """Units get the codes they had, and the old code is shown in its new words."""
    assert renamed(frame([[0, 4], [2]]), {4: 1})["templates"].to_list() == [[0, 1], [2]]
    assert named_anew(TEXTS, {4: 1})[1] == TEXTS[4]


def test_lives_do_not_depend_on_how_the_input_is_cut():
    """Counts, first and last are the same in one batch and in many."""
    events = pl.DataFrame(
        {
            "template": pl.Series([0, 1, 0, 2, 1, 0], dtype=pl.UInt32),
            "source": pl.Series([1, 1, 2, 1, 1, 1], dtype=pl.UInt32),
            "level": pl.Series([9, 9, 9, 17, 9, 9], dtype=pl.UInt8),
            "timestamp": pl.Series([None] * 6, dtype=LIVES["first_seen"]),
            "file": pl.Series([0] * 6, dtype=pl.UInt16),
            "line": pl.Series(range(1, 7), dtype=pl.UInt32),
        }
    )
    cuts = []
    for size in (1, 2, 6):
        found = Lives()
        for part in events.iter_slices(size):
            found.add(part)
        cuts.append(found.frame())
    assert cuts[0].equals(cuts[1], null_equal=True)
    assert cuts[0].equals(cuts[2], null_equal=True)
    each = one_each(cuts[0])
    assert each["events"].to_list() == [3, 2, 1]
    assert each["source"].to_list() == [1, 1, 1]
    assert each["last_order"].to_list() == [5, 4, 3]
