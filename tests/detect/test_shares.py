"""Parameters that are shares of something."""

import pytest
from samples import sequences

from offbeat.detect import DETECTORS
from offbeat.errors import OptionError

SHARES = [
    ("one-class-svm", "nu"),
    ("deeplog", "confidence"),
    ("lstm-autoencoder", "normal"),
    ("autoencoder", "normal"),
    ("cnn-autoencoder", "normal"),
    ("logbert", "mask"),
    ("logsy", "dropout"),
]


@pytest.mark.parametrize(("name", "parameter"), SHARES)
def test_a_share_of_all_or_more_is_refused_before_anything_is_learned(name, parameter):
    """One sentence names the parameter, instead of an error from inside a library."""
    made = DETECTORS[name](**{parameter: 1.0})
    with pytest.raises(OptionError, match=rf"--param {name}\.{parameter}: 1\.0 cannot be; it must be below one"):
        made.fit(sequences(30))
