"""The variable parts of messages as typed values."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.mine import Miner, values


def read(template, *messages):
    return values(pl.Series(messages, dtype=pl.String), template)


@pytest.mark.parametrize(
    ("template", "message", "kind", "value"),
    [
        ("took <*> ms", "took 30 ms", "duration", 0.03),
        ("took <*>", "took 10000ms", "duration", 10.0),
        ("took <*>", "took 2 hours", "duration", 7200.0),
        ("sent <*> bytes", "sent 1,234 bytes", "size", 1234.0),
        ("free <size> of it", "free 1.5 KB of it", "size", 1536.0),
        ("<*> sent", "19334 bytes (18.8 KB) sent", "size", 19334.0),
        ("cache <*>", "cache 2M", "size", 2 * 1024.0**2),
        ("load <*>", "load -1.5", "number", -1.5),
        ("cpu at <*>", "cpu at 97%", "number", 97.0),
        ("status: <*> len", "status: 404 len", "status", "404"),
        ("waited <*> times", "waited 404 times", "number", 404.0),
        ("from <*> port", "from 10.0.0.1 port", "ip", "10.0.0.1"),
        ("from <*>:", "from fe80::a00:27ff:fe4e:66a1:", "ip", "fe80::a00:27ff:fe4e:66a1"),
        ("from <*> port", "from ::ffff:10.0.0.1 port", "ip", "::ffff:10.0.0.1"),
        ("at <*> sharp", "at 15:38:06 sharp", "text", "15:38:06"),
        ("id <*>", "id 123e4567-e89b-12d3-a456-426614174000", "uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("at <*>", "at 0x1F", "hex", "0x1F"),
        ("get <*>", "get https://example.com/a?b=1", "url", "https://example.com/a?b=1"),
        ("load <path>: no", "load /a/b: no", "path", "/a/b"),
        ("user=<*>", "user=anna", "user", "anna"),
        ('key "<*>" set', 'key "a b" set', "quoted", "a b"),
        ("state <*>", "state on", "text", "on"),
    ],
)
def test_a_part_has_a_kind(template, message, kind, value):
    """Each kind is told by how the value looks and the words beside it; numbers come in base units."""
    got = read(template, message)
    assert got.kinds == [kind]
    assert got.typed["0"].to_list() == [pytest.approx(value)]


def test_numbers_without_end_are_none():
    """A number too large for one has no value to count with, and is still shown as it stands."""
    found = values(pl.Series(["took 1e400 ms", "took 5 ms", "took -" + "9" * 400 + " ms"]), "took <*> ms")
    assert found.typed.to_series().to_list() == [None, 0.005, None]
    assert found.text.to_series()[0] == "1e400"


def test_messages_that_do_not_fit_give_nulls():
    """A null or a message of another template has no values."""
    got = read("took <*> ms for <*>", "took 3  ms for x", None, "other")
    assert got.text.rows() == [("3", "x"), (None, None), (None, None)]
    assert got.typed["0"].to_list() == [0.003, None, None]


def test_templates_of_many_parts_are_read_alike():
    """However many parts a template has, and whatever white space a message, the parts are the same."""
    for count in (3, 40):
        template = " ".join(f"k{i}=<*>," for i in range(count))
        message = " ".join(f"k{i}={i}," for i in range(count))
        got = read(template, message, message.replace(" ", " \t "), message + "!", f"  {message} ")
        fits = tuple(str(i) for i in range(count))
        assert got.text.rows() == [fits, fits, (None,) * count, fits]


def test_a_template_without_parts_has_no_values():
    """There is nothing to read where nothing varies; the rows are still counted."""
    got = read("plain", "plain", "plain")
    assert got.kinds == []
    assert got.text.shape == (2, 0)


@given(st.lists(st.sampled_from(["x=1", "took 3 ms", "to 10.0.0.1:80,", '"a 7"', "/a/b.c", "()", "3 B"]), min_size=1))
def test_every_line_fits_its_own_template(words):
    """What mining made of a line reads that line's values back."""
    line = " ".join(words)
    miner = Miner()
    miner.encode(Miner.shapes(pl.Series([line])))
    got = values(pl.Series([line]), miner.learn().texts[0])
    assert all(column.null_count() == 0 for column in got.text)
