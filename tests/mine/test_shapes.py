"""Messages to shapes."""

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.mine import Limits, Miner
from offbeat.mine.mask import CUT, MASKED
from offbeat.mine.tokens import cut

TEXT = st.text(max_size=60) | st.lists(
    st.sampled_from(["user", "<*>", "10.0.0.1", "0x1f", "a=1", "()", '"', "é7", "\x00", "…", "0", "GET / 404"]),
    max_size=8,
).map(" ".join)


def shape(message):
    return Miner.shapes(pl.Series([message], dtype=pl.String))[0]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("took 12.5 s.", "took 0 s."),
        ("at 10.0.0.1:80: ok", "at 0: ok"),
        ("10.0.0.1:50010:Got exception", "0:Got exception"),
        ("core.2275 and blk_-123 ssh2", "core.0 and 0 ssh2"),
        ("node-7 node7 node77", "0 node7 0"),
        ("FF:F2:9F:16:E2:23 down", "0 down"),
        ("2001:db8::1 fe80::a00:27ff:fe4e:66a1", "0 0"),
        ("uid=0, euid=-1", "uid=0, euid=0"),
        ("interrupt......3", "interrupt......0"),
        ("GET /a?b=1 404", "GET /path 404"),
        ('"GET /a HTTP/1.1" 200 12', '"GET /path" 200 0'),
        ("FORGET /a 404", "FORGET /a 0"),
        ("AirPort_Brcm43xx::setMode: 43", "AirPort_Brcm43xx::setMode: 0"),
        ("Type2::waitForOk2Go2Sx - jk2_init() 12", "Type2::waitForOk2Go2Sx - jk2_init() 0"),
        ("std::x86_64 fe80::d8a5 sub_12(3)", "std::x86_64 0 0(0)"),
        ("用户123登录", "用户0登录"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_word_with_digits_is_masked(message, expected):
    """Words with digits are masked; names of code, names ending in one digit and an access log's status are not."""
    assert shape(message) == expected


@given(TEXT)
def test_a_digit_that_stays_ends_a_word_or_is_a_status(text):
    """No digit but the mask survives, unless it ends a word of letters or is a request's status."""
    masked = MASKED.sub("", shape(text))
    status = re.sub(r"^(\"?[A-Z]+ /path\"?) [1-5][0-9]{2}", r"\1", masked)
    assert not re.search(r"(?<![A-Za-z_])[0-9]", status)


@given(st.lists(TEXT | st.none(), max_size=20), st.integers(0, 20))
def test_shapes_do_not_depend_on_how_rows_are_cut(messages, at):
    """Masking the rows in two parts gives what masking them at once gives."""
    series = pl.Series("message", messages, dtype=pl.String)
    whole = Miner.shapes(series).to_list()
    assert Miner.shapes(series[:at]).to_list() + Miner.shapes(series[at:]).to_list() == whole


def test_a_long_line_is_cut_and_says_so():
    """Of a line over the limit only the beginning is looked at; the limit counts characters, not bytes."""
    limits = Limits(line=20)
    shapes = Miner.shapes(pl.Series(["ä" * 20, "ä" * 21, "short"]), limits)
    assert shapes.to_list() == ["ä" * 20, "ä" * 20 + CUT, "short"]


def test_an_empty_batch_gives_an_empty_batch():
    """No rows in, no rows out, of the right type."""
    assert Miner.shapes(pl.Series([], dtype=pl.String)).to_list() == []


@given(TEXT)
def test_pieces_line_up_and_cutting_never_fails(text):
    """Any shape can be cut; keys and what is shown have the same length, and no value is lost."""
    pieces, met = cut(shape(text))
    assert len(pieces.keys) == len(pieces.shown)
    assert not met


def test_words_beyond_the_limit_are_one_value():
    """Beyond the limit on words the rest of the line is one value, and the limit is reported."""
    pieces, met = cut("a " * 300, tokens=10)
    assert met
    assert "".join(pieces.shown) == "a " * 10 + "<*>"
