"""README and docs say what is true: every example in them runs and prints what is shown."""

from pathlib import Path

import pytest
from doc_examples import PAGES, commands, difference, run_page


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run_and_print_what_is_shown(page: Path, tmp_path: Path):
    """Every example of a page runs, in order, in an empty folder."""
    run_page(page, tmp_path)


def test_readme_has_examples_of_both_kinds():
    """A change of fence cannot make the examples drop out unnoticed."""
    text = PAGES[0].read_text()
    assert "```console\n$ offbeat " in text
    assert "```python\n" in text


def test_ellipses_stand_for_parts_of_lines_and_for_lines():
    """Dots match what they should, and nothing else does."""
    assert difference("a ... d\n...\nz", "a b c d\n1\n2\nz\n") is None
    assert difference("a\n...\nz", "a\nz\n") is None
    assert difference("a ... d", "a b c\n") is not None
    assert difference("a", "a\nb\n") is not None


def test_numbers_may_vary_where_said_but_words_may_not():
    """A block marked so is compared without its numbers, and only such a block."""
    assert difference("found 3 in 1,200 (p 1e-05)", "found 12 in 1,150 (p 2.5e-06)\n", numbers_vary=True) is None
    assert difference("found 3 here", "lost 3 here\n", numbers_vary=True) is not None
    assert difference("found 3", "found 4\n") is not None


def test_console_sessions_split_into_commands_with_their_output():
    """A command may go on over lines, and may have no output."""
    assert list(commands("$ one \\\n  two\nout\n$ three\n")) == [("one \\\n  two", "out"), ("three", "")]


def test_a_wrong_output_is_found(tmp_path: Path):
    """A page that shows what is not printed fails, for both kinds of example."""
    for body in ("```console\n$ echo one\ntwo\n```\n", "```python\nprint(1)\n```\n\n```text\n2\n```\n"):
        page = tmp_path / "page.md"
        page.write_text(body)
        with pytest.raises(AssertionError, match="but it prints"):
            run_page(page, tmp_path)


def test_a_failing_command_without_output_is_found(tmp_path: Path):
    """A command that is shown without output still has to succeed."""
    page = tmp_path / "page.md"
    page.write_text("```console\n$ false\n```\n")
    with pytest.raises(AssertionError, match="failed"):
        run_page(page, tmp_path)
