"""Session keys: given ones and those found by themselves."""

import polars as pl
import pytest

from offbeat.errors import OptionError
from offbeat.group import Key, find_key, parse_key
from offbeat.group.keys import no_key


def lists(key: Key, messages: list[str], **fields: list[str | None]) -> list[list[str]]:
    """Return the keys of each message."""
    columns = {f"fields.{name}": pl.Series(values, dtype=pl.String) for name, values in fields.items()}
    return pl.DataFrame({"message": messages, **columns}).select(k=key.lists())["k"].to_list()


def test_a_pattern_gives_every_distinct_match_once():
    """All matches on a line, each once, in order; none is an empty list."""
    key = parse_key(r"blk_-?\d+", {})
    assert lists(key, ["blk_1 and blk_-2 and blk_1", "nothing"]) == [["blk_1", "blk_-2"], []]


def test_the_first_group_counts():
    """With a group, its text is the key; a match without it gives none."""
    assert lists(parse_key(r"user=(\w+)", {}), ["user=ann user=bob", "user="]) == [["ann", "bob"], []]
    assert lists(parse_key(r"x(\d+)?y", {}), ["xy x1y"]) == [["1"]]
    assert lists(parse_key(r"(?:id|no)=(?P<it>\d+)", {}), ["no=7"]) == [["7"]]


def test_a_field_is_one_key_or_none():
    """A field's value is the key; where it is null there is none."""
    key = parse_key("trace", {"trace": "text"})
    assert key.column == "fields.trace"
    assert lists(key, ["a", "b"], trace=["t1", None]) == [["t1"], []]


def test_the_source_is_a_column():
    """The source of an event can be the key; it comes back, so pauses end its sessions."""
    key = parse_key("source", {})
    assert (key.column, key.is_field, key.entity) == ("source", True, True)


@pytest.mark.parametrize(
    "text",
    [
        "(",
        "[a",
        "*",
        "a{2,1}",
        r"(?<=a)b",
        r"(a)\1",
        "a{99999999999}",
        pytest.param("(" * 3000 + ")" * 3000, id="deep"),
    ],
)
def test_a_pattern_that_does_not_compile_is_refused(text):
    """The sentence names the option, the text, and the fields there are."""
    with pytest.raises(OptionError, match="neither a field nor a regular expression") as caught:
        parse_key(text, {"trace": "text"})
    assert caught.value.where == "--session-by"
    assert "trace" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "x*", "(a|)", r"\b", "^", r"\d*"])
def test_a_pattern_that_matches_nothing_at_all_is_refused(text):
    """A pattern that matches the empty text would tie every line to one key."""
    with pytest.raises(OptionError, match="empty"):
        parse_key(text, {})


def test_a_key_is_saved_as_plain_values():
    """A key comes back from its values."""
    key = Key("trace", is_field=True, entity=True, reason="for a test")
    assert Key.from_dict(key.as_dict()) == key


def sample(messages: list[str], **fields: list[str]) -> pl.DataFrame:
    """Return what find_key looks at."""
    return pl.DataFrame({"message": messages, **{f"fields.{k}": v for k, v in fields.items()}})


def test_an_identifier_in_the_text_is_found():
    """A prefix that most lines carry with differing numbers is the key, with its reason."""
    messages = [f"step {j} of blk_{1000 + i} done" for i in range(50) for j in range(5)]
    key, reason = find_key(sample(messages), {})
    assert key is not None
    assert not key.is_field
    assert lists(key, ["x blk_1003 y"]) == [["blk_1003"]]
    assert "100%" in reason


def test_a_named_identifier_is_found():
    """name=value is recognised by its name."""
    messages = [f"step {j} session=ab{i:04x} done" for i in range(50) for j in range(5)]
    key, _ = find_key(sample(messages), {})
    assert key is not None
    assert lists(key, ["a session=ab0001 b"]) == [["ab0001"]]


def test_a_field_that_says_what_it_is_wins():
    """A trace id is preferred to a client that comes back."""
    n = [(i, j) for i in range(40) for j in range(5)]
    frame = sample(
        ["hello"] * len(n), trace_id=[f"t{i}" for i, _ in n], client_ip=[f"10.0.0.{(i * 7 + j) % 40}" for i, j in n]
    )
    key, _ = find_key(frame, {"client_ip": "text", "trace_id": "text"})
    assert key is not None
    assert key.name == "trace_id"
    assert not key.entity


@pytest.mark.parametrize(
    "messages",
    [
        [],
        ["no identifier here"] * 300,
        [f"request req_{i:06} served" for i in range(300)],
        [f"request req_000{i % 3} served" for i in range(300)],
    ],
    ids=["nothing", "no identifier", "each once", "too few"],
)
def test_where_no_key_is_good_enough_there_is_none(messages):
    """Nothing, an identifier of single events, or of too few sessions is no key; the reason is said."""
    key, reason = find_key(sample(messages), {})
    assert key is None
    assert reason


def test_a_field_of_text_is_no_key_whatever_its_name():
    """What was asked for, as servers log it under ``request``, ties nothing together."""
    asked = sample(["served"] * 400, request=[f"GET /orders/{i % 40} HTTP/1.1" for i in range(400)])
    assert find_key(asked, {"request": "text"})[0] is None
    named = sample(["served"] * 400, request=[f"r-{i % 40}" for i in range(400)])
    key, _ = find_key(named, {"request": "id"})
    assert key is not None
    assert key.name == "request"


def test_one_huge_session_is_no_key():
    """A key under which most lines fall teaches nothing."""
    messages = ["task_0001 ticks"] * 500 + [f"task_{i:04} ends" for i in range(2, 40) for _ in range(4)]
    assert find_key(sample(messages), {})[0] is None


def test_the_choice_does_not_depend_on_the_order_of_lines():
    """Looked at backwards, the same key is found."""
    messages = [f"step {j} of job_{1000 + i} for app_{i % 25:04}" for i in range(50) for j in range(5)]
    assert find_key(sample(messages), {})[0] == find_key(sample(messages[::-1]), {})[0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (r"\bblk_-?[0-9A-Fa-f_-]+", "blk_…"),
        (r"\brequest\s?[=:]\s?[\"']?([\w.:-]+)", "request=…"),
        (r"\bx\.trace\s?[=:]\s?[\"']?([\w.:-]+)", "x.trace=…"),
        (r"order-\d+", r"order-\d+"),
        ("trace", "trace"),
    ],
)
def test_a_found_key_is_named_as_it_looks_in_a_line(name, said):
    """People read ``request=…``, not the regular expression that finds it; what they gave themselves stays."""
    assert Key(name, is_field=False).words == said


def test_a_model_that_does_not_fit_the_log_is_not_blamed_on_an_option():
    """Where the model found its key by itself, the error speaks of the log, and not of --session-by."""
    found = no_key(Key(r"\brequest\s?[=:]\s?[\"']?([\w.:-]+)", is_field=False, reason="97% of the lines"), {})
    assert "request=…, by which the model groups lines" in str(found)
    assert "--session-by" not in str(found)


def test_a_uuid_is_found_without_a_name():
    """A UUID that many lines hold ties them together, whatever word stands before it."""
    message = [
        f"{word} order 0000{n:04x}-0000-4000-8000-00000000{n:04x}"
        for n in range(30)
        for word in ("got", "paid", "sent")
    ]
    key, reason = find_key(pl.DataFrame({"message": message}), {})
    assert key is not None
    assert key.words == "a UUID"
    assert "3 events each" in reason
    assert lists(key, message[:1]) == [["00000000-0000-4000-8000-000000000000"]]
