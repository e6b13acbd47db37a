"""One root error; every error a user can cause says where, what, and what to try."""

from __future__ import annotations


class OffbeatError(Exception):
    """The root of all errors offbeat raises on purpose.

    Args:
        what: one clear sentence saying what is wrong, without a trailing full stop.
        where: the place: ``file:line``, an option's name, a column, a rule.
        hint: what to try next.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.what}{hint}"


class UserError(OffbeatError):
    """Something the user can put right; the command line exits with 2."""

    exit_code = 2


class InputError(UserError):
    """A log, label or other input file cannot be used as it is."""


class OptionError(UserError):
    """An option or parameter has a value that cannot be used, or contradicts a saved model."""


class ModelError(UserError):
    """A saved model cannot be read: absent, damaged, changed or of another version."""


class NotEnoughDataError(UserError):
    """There is too little to learn from or to judge; the message says the least that is enough."""
