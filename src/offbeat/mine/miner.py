"""Learning templates: shapes are counted as lines stream by, and the tree looks at distinct shapes once at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl

from offbeat.mine import mask
from offbeat.mine.catalog import Catalog, grow
from offbeat.mine.limits import Limits
from offbeat.mine.tokens import cut
from offbeat.mine.tree import partition


class Miner:
    """Learns a catalog of templates from messages.

    Args:
        seeds: templates given by the user, honoured first; variable parts as ``<*>`` or ``<name>``.
        limits: what mining may grow to.
        catalog: an older catalog to go on from; its codes, ids and texts are kept.
    """

    def __init__(
        self,
        *,
        seeds: Sequence[str] = (),
        limits: Limits = Limits(),  # noqa: B008 - frozen, so sharing it is harmless
        catalog: Catalog | None = None,
    ) -> None:
        self.seeds = tuple(seeds)
        self.limits = limits
        self._old = catalog
        self._known = pl.DataFrame(schema={"shape": pl.String, "code": pl.UInt32})
        self._shapes: list[str] = []
        self._counts = np.zeros(0, dtype=np.uint64)
        self._templates: np.ndarray | None = None

    @staticmethod
    def shapes(messages: pl.Series, limits: Limits = Limits()) -> pl.Series:  # noqa: B008
        """Return the shape of each message; see ``mask.shapes``."""
        return mask.shapes(messages, limits.line)

    def encode(self, shapes: pl.Series) -> pl.Series:
        """Return the UInt32 code of each shape, growing the dictionary and the counts.

        Args:
            shapes: String; null is the empty shape.
        """
        frame = shapes.fill_null("").alias("shape").to_frame()
        found = frame.join(self._known, on="shape", how="left", maintain_order="left")
        if found["code"].has_nulls():
            fresh = found.filter(pl.col("code").is_null())["shape"].unique(maintain_order=True)
            first = len(self._shapes)
            self._shapes.extend(fresh.to_list())
            codes = pl.Series("code", np.arange(first, len(self._shapes)), dtype=pl.UInt32)
            self._known = pl.concat([self._known, pl.DataFrame({"shape": fresh, "code": codes})])
            found = frame.join(self._known, on="shape", how="left", maintain_order="left")
        codes = found["code"]
        seen = np.bincount(codes.to_numpy(), minlength=len(self._shapes)).astype(np.uint64)
        seen[: len(self._counts)] += self._counts
        self._counts = seen
        self._templates = None
        return codes.alias("shape")

    def learn(self) -> Catalog:
        """Mine the distinct shapes and return the catalog; the result does not depend on the order of arrival."""
        catalog = Catalog(self.limits)
        order = sorted(range(len(self._shapes)), key=self._shapes.__getitem__)
        entries = []
        for i in order:
            pieces, met = cut(self._shapes[i], self.limits.tokens)
            catalog.counters.tokens += met
            entries.append((self._shapes[i], pieces, int(self._counts[i])))
        weights: Counter[tuple[str, ...]] = Counter()
        for _, pieces, count in entries:
            weights[pieces.keys] += count
        patterns = partition(weights)
        grow(catalog, entries, [patterns[pieces.keys] for _, pieces, _ in entries])
        catalog.known = len(catalog)
        self._templates = catalog.match(pl.Series(self._shapes, dtype=pl.String)).to_numpy()
        return catalog

    def templates(self, codes: pl.Series) -> pl.Series:
        """Return the template code of each shape code; call after ``learn``."""
        if self._templates is None:
            self.learn()
        assert self._templates is not None  # noqa: S101 - learn sets it
        return pl.Series("template", self._templates[codes.to_numpy()], dtype=pl.UInt32)
