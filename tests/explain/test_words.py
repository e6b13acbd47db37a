"""The sentence of a finding."""

import pytest

from offbeat.explain import Facts, sentence
from offbeat.explain.words import (
    burst_sentence,
    change_words,
    duration,
    rate,
    shortened,
    silence_sentence,
    times,
    volume_sentence,
)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            Facts("latency", "session", "paid", 12.0, 0.1, 0.001, before="sent"),
            "“paid” comes 12 s after “sent”; usually after 100 ms.",
        ),
        (Facts("value", "session", "took <*>", 95.0, 0.02, 0.001), "“took <*>” says 95; usually about 0.02."),
        (Facts("new pattern", "session", "disk gone", 1, 0, 0), "“disk gone” was never seen in training."),
        (
            Facts("rare pattern", "session", "retry", 1, 0, 0.001),
            "“retry” is here, which only 1 in 1,000 sessions has.",
        ),
        (
            Facts("rare pattern", "window", "retry", 1, 0, 0.025),
            "“retry” is here, which only 2.5 % of windows have.",
        ),
        (
            Facts("labelled", "session", "retry", 1, 0, 0.125),
            "“retry” makes this session look like those labelled anomalous: 12.5 % of the sessions with it were.",
        ),
        (
            Facts("labelled", "window", "retry", 1, 0, 0),
            "“retry” makes this window look like those labelled anomalous: none of the windows with it was.",
        ),
        (Facts("end", "session", "sent", 1, 0, 0.002), "The session ends after “sent”, where 99.8 % go on."),
        (Facts("end", "session", "sent", 1, 0, 0), "The session ends after “sent”, where it always goes on."),
        (
            Facts("mix", "session", "retry", 3, 0, 0),
            "“retry” comes 3 times; not at all in the most similar usual session.",
        ),
        (
            Facts("misfit", "session", "retry", 1, 0, 0.004),
            "“retry” does not fit what is around it; 1 in 250 sessions fits as badly.",
        ),
        (Facts("missing event", "session", "close", 0, 1, 0.998), "“close” is missing; 99.8 % of sessions have it."),
        (Facts("missing event", "session", "close", 0, 1, 1), "“close” is missing; 100 % of sessions have it."),
        (
            Facts("missing event", "session", "open", 0, 1, 1, cut=True, late=True),
            "“open” is missing, as where the session began before the log did; 100 % of sessions have it.",
        ),
        (
            Facts("missing event", "session", "close", 0, 1, 1, cut=True),
            "“close” is missing when the log ends; 100 % of sessions have it.",
        ),
        (
            Facts("count", "session", "retry", 12, 1, 0.97),
            "“retry” comes 12 times; usually once, as in 97 % of sessions.",
        ),
        (
            Facts("count", "session", "retry", 2, 0, 1.0),
            "“retry” comes twice; usually not at all, as in 100 % of sessions.",
        ),
        (
            Facts("order", "session", "b", 1, 0, 0.001, before="a", instead=[("c", 0.95), (None, 0.03)]),
            "After “a” usually comes “c” (95 %) or the end (3 %); here came “b” (0.1 %).",
        ),
        (
            Facts("order", "session", "b", 1, 0, 0.001),
            "At the start of the session usually comes something else; here came “b” (0.1 %).",
        ),
    ],
)
def test_each_kind_has_its_sentence(facts, reason):
    """One plain sentence, and a phrase for what was expected."""
    found, expected = sentence(facts)
    assert found == reason
    assert expected


def test_an_unknown_kind_is_a_mistake_of_ours():
    """A view that invents a kind of evidence without words is noticed."""
    with pytest.raises(ValueError, match="no words for the kind"):
        sentence(Facts("feeling", "session", "x", 0, 0, 0))


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "no session"),
        (1e-6, "1 in 1,000,000 sessions"),
        (0.0099, "1 in 101 sessions"),
        (0.5, "50 % of sessions"),
        (0.99951, "nearly 100 % of sessions"),
        (1, "100 % of sessions"),
    ],
)
def test_a_share_in_words(share, words):
    """Small shares as one in so many, large ones in percent; nothing is rounded up to all."""
    assert rate(share, "session") == words


def test_counts_in_words():
    """Once, twice, and then the number."""
    assert [times(n) for n in (1, 2, 3, 12345)] == ["once", "twice", "3 times", "12,345 times"]


def test_long_templates_are_cut():
    """A template that would fill the screen ends in an ellipsis; one that fits is left alone."""
    assert len(shortened("x" * 500)) == 90
    assert shortened("x" * 500).endswith("…")
    assert shortened("short") == "short"


def test_a_burst_all_through_the_log_says_so():
    """What a probe does all the time is told as that."""
    reason, _ = burst_sentence("GET <path> 200", "10.0.3.7", 1054, 13, 259_200.0, throughout=True)
    assert reason == (
        "“GET <path> 200” comes 1,054 times all through the log, within 72 hours, for 10.0.3.7; "
        "at most 13 times for anybody else."
    )


def test_a_burst_names_who_and_what_others_do():
    """Many events of one address are said with their number, time and what is usual, or that nobody else has any."""
    reason, expected = burst_sentence("Failed password from <*>", "1.2.3.4", 147, 2, 436.0)
    assert reason == (
        "“Failed password from <*>” comes 147 times within 7.3 minutes for 1.2.3.4; at most twice for anybody else."
    )
    assert expected == "at most twice for anybody else"
    reason, _ = burst_sentence("GET <path> 206", "1.2.3.4", 16, 16, 56.0)
    assert reason == "“GET <path> 206” comes 16 times within 56 s for 1.2.3.4; hardly ever as often for anybody else."
    reason, _ = burst_sentence("Invalid user from <*>", "1.2.3.4", 43, 0, 0.0)
    assert reason == "“Invalid user from <*>” comes 43 times at once for 1.2.3.4; never for anybody else."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.00025, "250 µs"), (0.0358, "36 ms"), (1.25, "1.2 s"), (90, "90 s"), (1200, "20 minutes"), (12600, "3.5 hours")],
)
def test_lengths_of_time_are_said_in_fitting_units(seconds, said):
    """Two figures, in the unit that a person would choose."""
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("what", "name", "kind", "count", "reason"),
    [
        ("all", "", "volume", 1523, "The log has 1,523 lines in 40 minutes; usually about 198 lines."),
        ("all", "", "silence", 0, "The log falls silent for 40 minutes; usually about 198 lines."),
        ("template", "paid", "volume", 500, "“paid” comes 500 times in 40 minutes; usually about 198 times."),
        ("template", "paid", "silence", 2, "“paid” comes only twice in 40 minutes; usually about 198 times."),
        ("source", "auth", "silence", 0, "“auth” falls silent for 40 minutes; usually about 198 lines."),
        ("source", "", "volume", 900, "What names no source writes 900 lines in 40 minutes; usually about 198 lines."),
        ("level", "ERROR", "volume", 900, "ERROR lines come 900 times in 40 minutes; usually about 198 times."),
        ("level", "INFO", "silence", 0, "INFO lines stop for 40 minutes; usually about 198 times."),
    ],
)
def test_volume_is_told_as_a_person_would(what, name, kind, count, reason):
    """The log has lines, a source writes them, a template comes; more series are counted beside."""
    assert volume_sentence(what, name, kind, count, 198.2, 2400, 0)[0] == reason
    assert "usually none" in volume_sentence("source", "cron", "volume", 417, 0.1, 3600, 0)[0]
    assert "usually about 1 line." in volume_sentence("log", "", "volume", 281, 1.2, 6, 0)[0]
    assert "usually about once." in volume_sentence("template", "x", "volume", 9, 0.8, 6, 0)[0]
    told = volume_sentence(what, name, kind, count, 198.2, 2400, 1)[0]
    assert told.endswith(" (1 more count is off with it).")


@pytest.mark.parametrize(
    ("how", "places", "to", "said"),
    [
        ("add", [4], -1, "add an event before event 5"),
        ("add", [9, 9], -1, "add 2 events at the end"),
        ("remove", [0], -1, "remove event 1"),
        ("remove", [3, 4, 5], -1, "remove events 4 to 6"),
        ("remove", [3, 4, 6, 7], -1, "remove 4 of events 4 to 8"),
        ("move", [3], 1, "move event 4 before event 2"),
        ("move", [3, 4], 9, "move events 4 to 5 to the end"),
    ],
)
def test_a_change_is_said_in_a_few_words(how, places, to, said):
    """What is added, removed or moved, and where, of a sequence of nine events."""
    assert change_words([{"how": how, "place": place, "to": to} for place in places], 9) == said


@pytest.mark.parametrize(
    ("longest", "said"), [(90, "hardly ever 90 s apart"), (10, "19 of 20 within 10 s of the one before")]
)
def test_the_pauses_of_a_beat_do_not_contradict_each_other(longest, said):
    """Where few long pauses make the mean, nobody is told that a pause as long as the mean hardly ever comes."""
    reason, expected = silence_sentence("", "cron", 3600, 60, longest, 0)
    assert expected == f"a line every 60 s or so, {said}"
    assert reason == f"“cron” writes nothing for 60 minutes; usually there is {expected}."
