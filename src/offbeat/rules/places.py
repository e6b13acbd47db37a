"""Where in a file each key of a YAML document stands."""

from __future__ import annotations

from typing import Any


class Places:
    """Line numbers of one document.

    Args:
        node: its root, as PyYAML composes it; None for an empty document.
        path: of the file, as shown.
    """

    def __init__(self, node: Any, path: str) -> None:
        self._node = node
        self.path = path

    def line(self, *keys: str | int) -> int:
        """Return the 1-based line of the key that ``keys`` lead to, or of the nearest one above that is there."""
        node, line = self._node, 1 if self._node is None else self._node.start_mark.line + 1
        for key in keys:
            found = _step(node, key)
            if found is None:
                break
            line, node = found
        return line

    def where(self, *keys: str | int) -> str:
        """Return ``path:line`` of a key."""
        return f"{self.path}:{self.line(*keys)}"


def _step(node: Any, key: str | int) -> tuple[int, Any] | None:
    """Return the line and the value of a key; a list of maps is looked through for it."""
    if getattr(node, "id", "") == "mapping":
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line + 1, value
    elif getattr(node, "id", "") == "sequence":
        if isinstance(key, int) and key < len(node.value):
            return node.value[key].start_mark.line + 1, node.value[key]
        for inner in node.value:
            if (found := _step(inner, key)) is not None:
                return found
    return None
