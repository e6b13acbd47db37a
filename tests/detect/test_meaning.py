"""Vectors of templates: words alike lie close, what was never seen is nothing, and nothing is lost by saving."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from offbeat.detect.meaning import Meaning, words
from offbeat.detect.ragged import Ragged
from offbeat.errors import OptionError

TEXTS = [
    "Received block <*> of size <*> from <*>",
    "Receiving block <*> src: <*> dest: <*>",
    "PacketResponder <*> for block <*> terminating",
    "Exception in receiveBlock for block <*>",
    "User <*> logged in",
    "<*> <*>",
]
DATA = Ragged.from_lists([[0, 1, 2, 3], [4, 5, 4], [1, 2]])


def cosine(a, b):
    """Return the cosine of two vectors."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_identifiers_are_split():
    """Dots, dollar signs, underscores, humps and digits part words; placeholders are none."""
    assert words("dfs.DataNode$PacketResponder: 10 <num> of /<ip> HTTPServer snake_case42x") == [
        *("dfs", "data", "node", "packet", "responder"),
        *("of", "http", "server", "snake", "case"),
    ]
    assert words("错误 x é") == ["错误", "é"]


def test_templates_with_words_in_common_lie_close():
    """Two templates about receiving blocks are nearer to each other than to a login."""
    vectors = Meaning.learn(DATA, TEXTS).known
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[4]) + 0.1
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_an_unseen_template_gets_its_vector_by_its_text():
    """A reworded template is nearest to the one it comes from; one of unknown words is near nothing."""
    meaning = Meaning.learn(DATA, TEXTS)
    asked = meaning.of_codes(np.array([6, 7, 8]), [*TEXTS, "Has received blocks <*> of size <*>", "zzz qqq"])
    code, near = meaning.nearest(asked)
    assert code.tolist() == [0, -1, -1]
    assert 0.5 < near[0] < 1
    assert not asked[1:].any()


def test_templates_without_words_are_told_apart():
    """A template of placeholders alone has a vector of its own."""
    meaning = Meaning.learn(DATA, TEXTS)
    assert meaning.known[5].any()
    assert not meaning.of_texts(["<*> <*> <*>"]).any()


def test_without_texts_company_gives_the_meaning():
    """Templates that stand between the same neighbours lie close; an id never seen is nothing."""
    meaning = Meaning.learn(Ragged.from_lists([[0, 1, 3], [0, 2, 3], [4, 5, 4, 5], [0, 1, 3]]))
    vectors = meaning.of_codes(np.array([1, 2, 5, 99]))
    assert cosine(vectors[0], vectors[1]) > 0.6
    assert cosine(vectors[0], vectors[2]) < 0.2
    assert not vectors[3].any()


def test_weights_stand_for_repeated_sequences():
    """Company is weighed by how many units a sequence stands for."""
    many = Ragged.from_lists([[0, 1, 2]] * 3 + [[0, 2, 1]])
    few = Ragged(many.ids[6:], many.offsets[:3], np.array([3.0, 1.0]))
    np.testing.assert_allclose(Meaning.learn(many).known, Meaning.learn(few).known, atol=1e-6)


@pytest.mark.parametrize("texts", [[], ["one two"], TEXTS], ids=len)
@pytest.mark.parametrize("lists", [[[]], [[0]], [[0, 0], [0]], [[0, 1, 2, 3, 4, 5]]], ids=str)
def test_saving_keeps_every_bit(lists, texts):
    """What was learned from much or next to nothing comes back from its frames as it was."""
    meaning = Meaning.learn(Ragged.from_lists(lists), texts)
    back = Meaning.restore(meaning.frames())
    asked = np.arange(9)
    assert meaning.dimensions == back.dimensions >= 1
    assert meaning.of_codes(asked, TEXTS).tobytes() == back.of_codes(asked, TEXTS).tobytes()


def test_dimensions_are_bounded():
    """No more dimensions than asked for."""
    assert Meaning.learn(DATA, TEXTS, dimensions=2).known.shape == (6, 2)
    assert Meaning.learn(DATA, dimensions=2).known.shape == (6, 2)


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.txt.gz"])
def test_word_vectors_can_come_from_a_file(tmp_path: Path, name: str):
    """With a file of word vectors synonyms lie close, though they share no letter."""
    text = "4 2\nReceived 1.0 0.0\nobtained 0.9 0.1\nblock 0.2 0.2\nlogged 0 -1\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    meaning = Meaning.learn(DATA, TEXTS, vectors=str(path))
    assert meaning.dimensions == 2
    code, near = meaning.nearest(meaning.of_texts(["obtained <*>", "nothing known"]))
    assert code.tolist() == [0, -1]
    assert 0.8 < near[0] <= 1 + 1e-6
    back = Meaning.restore(meaning.frames())
    assert back.of_texts(TEXTS).tobytes() == meaning.of_texts(TEXTS).tobytes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("block 1 2\nreceived 1\n", "2: has 1 numbers where 2"),
        ("block 1 x\n", "not all numbers"),
        ("block 1 nan\n", "finite"),
        ("chat 1 2\n", "none of the templates' words"),
        ("", "none of the templates' words"),
    ],
)
def test_a_file_that_is_no_word_vectors_is_refused(tmp_path: Path, text: str, says: str):
    """What is wrong with a file of vectors is said in one sentence, with its place."""
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(OptionError, match=says) as caught:
        Meaning.learn(DATA, TEXTS, vectors=str(path))
    assert str(path) in str(caught.value)


def test_a_file_that_is_absent_or_of_no_use_is_said(tmp_path: Path):
    """An absent file, a file that is not gzip, and vectors without any text are the user's mistakes."""
    with pytest.raises(OptionError, match="cannot be read"):
        Meaning.learn(DATA, TEXTS, vectors=str(tmp_path / "none.txt"))
    (tmp_path / "no.gz").write_text("block 1 2\n")
    with pytest.raises(OptionError, match="cannot be read"):
        Meaning.learn(DATA, TEXTS, vectors=str(tmp_path / "no.gz"))
    with pytest.raises(OptionError, match="only ids are known"):
        Meaning.learn(DATA, vectors=str(tmp_path / "none.txt"))
