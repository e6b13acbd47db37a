"""Attributions and activations as figures: aligned with the lines, and legible."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from offbeat.errors import OptionError
from offbeat.figures_why import plot_activations, plot_attribution

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

LINES = ["open <*>", "costs $5 and $6", "read\n  <*>", "x" * 200, "close"]
VALUES = np.array([0.5, 4.0, -1.0, 0.0, 2.0])
CONTEXT = np.array([0.5, -1.0, -0.5, 0.0, 0.5])


def rows(figure):
    """The words beside the rows."""
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("context", [None, CONTEXT], ids=["whole", "parts"])
def test_bars_add_up_to_the_values(context, dark, tmp_path):
    """The bars of a row add up to the event's value, and the parts of one sign do not overlap."""
    figure = plot_attribution(LINES, VALUES, context, dark=dark)
    bars = [patch for patch in figure.axes[0].patches if patch.get_width()]
    for row, value in enumerate(VALUES):
        mine = [b for b in bars if abs(b.get_y() + b.get_height() / 2 - row) < 0.1]
        assert sum(b.get_width() for b in mine) == pytest.approx(value)
        spans = sorted(sorted((b.get_x(), b.get_x() + b.get_width())) for b in mine)
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(spans))
    figure.savefig(tmp_path / "one.png", dpi=40, facecolor=figure.get_facecolor())
    assert (tmp_path / "one.png").stat().st_size > 1_000


def test_lines_stand_in_order_and_the_worst_is_marked(tmp_path):
    """First line on top, long ones cut, line breaks and dollar signs harmless, the largest value pointed at."""
    figure = plot_attribution(LINES, VALUES)
    assert rows(figure) == ["open <*>", "▶ costs $5 and $6", "read <*>", "x" * 63 + "…", "close"]
    low, high = figure.axes[0].get_ylim()
    assert low > high
    figure.savefig(tmp_path / "one.png", dpi=40)


def test_nothing_to_attribute_draws(tmp_path):
    """Values of zero make a figure without bars or mark."""
    figure = plot_attribution(LINES, np.zeros(5))
    assert not any("▶" in row for row in rows(figure))
    figure.savefig(tmp_path / "one.png", dpi=40)


def test_of_many_lines_those_around_the_worst_are_shown():
    """A long session is cut around the largest value, and the title says so."""
    values = np.zeros(500)
    values[300] = 1.0
    figure = plot_attribution([f"line {i}" for i in range(500)], values)
    assert len(rows(figure)) == 60
    assert "▶ line 300" in rows(figure)
    assert "events 261 to 320 of 500" in figure.axes[0].get_title()
    heat = plot_activations([f"line {i}" for i in range(500)], np.zeros((500, 3)), mark=[499])
    assert rows(heat)[-1] == "▶ line 499"


@pytest.mark.parametrize("dark", [False, True])
def test_the_heat_map_shows_the_matrix(dark, tmp_path):
    """Rows are the lines; columns the units that change most, by their numbers, of the scale of states or gates."""
    rng = np.random.default_rng(0)
    gate = rng.random((5, 20)) * np.where(np.arange(20) % 2, 1.0, 0.01)
    figure = plot_activations(LINES, gate, mark=[1], units=10, dark=dark)
    image = figure.axes[0].get_images()[0]
    np.testing.assert_array_equal(image.get_array(), gate[:, 1::2])
    assert image.get_clim() == (0.0, 1.0)
    assert figure.axes[0].get_xlabel() == "hidden unit (10 of 20)"
    assert rows(figure)[1] == "▶ costs $5 and $6"
    figure.savefig(tmp_path / "one.png", dpi=40)
    state = plot_activations(LINES, gate - 0.5)
    assert state.axes[0].get_images()[0].get_clim() == (-1.0, 1.0)


def test_mistakes_are_named():
    """No events, values of another shape, and marks outside are one clear sentence."""
    with pytest.raises(OptionError, match="no event to draw"):
        plot_attribution([], [])
    with pytest.raises(OptionError, match=r"5 events, but values of shape \(4,\)"):
        plot_attribution(LINES, VALUES[:4])
    with pytest.raises(OptionError, match="5 events"):
        plot_activations(LINES, VALUES)
    with pytest.raises(OptionError, match="none of 5"):
        plot_activations(LINES, np.zeros((5, 2)), mark=[5])


def test_pyplot_is_not_touched():
    """Figures hold no global state: pyplot is not even loaded."""
    code = (
        "import sys; from offbeat.figures_why import plot_attribution; plot_attribution(['a'], [1.0]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
