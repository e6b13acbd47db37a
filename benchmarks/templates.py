"""Template quality on loghub's ten systems: grouping accuracy (GA) and FTA, beside drain3 with its default settings.

GA is the share of lines whose group is exactly a group of the truth (Zhu et al., ICSE-SEIP 2019). FTA is the F1 of
templates whose group and text are both right (Khan et al., ICSE 2022); `<…>` is read as `<*>`, adjacent ones joined.

    python benchmarks/templates.py [FOLDER WITH */*_structured_corrected.csv]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.mine import Miner

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "loghub_2k"


def plain(template: str) -> str:
    """Return a template with every variable part as ``<*>``, adjacent ones joined, and single spaces."""
    return re.sub(r"(?:<\*>)+", "<*>", " ".join(re.sub(r"<[^<>\s]*>", "<*>", template).split()))


def quality(truth: pl.Series, mined: pl.Series) -> tuple[float, float]:
    """Return GA and FTA.

    Args:
        truth: the true template of each line.
        mined: the mined template of each line.
    """
    lines = pl.DataFrame({"truth": truth, "mined": mined})
    size = lines.group_by("truth").agg(pl.len().alias("size"))
    groups = lines.group_by("mined").agg(pl.len(), pl.col("truth").n_unique().alias("kinds"), pl.col("truth").first())
    right = groups.join(size, on="truth").filter((pl.col("kinds") == 1) & (pl.col("len") == pl.col("size")))
    exact = sum(plain(true) == plain(mine) for true, mine in right.select("truth", "mined").iter_rows())
    return right["len"].sum() / len(lines), 2 * exact / (len(groups) + len(size))


def offbeat(messages: pl.Series) -> pl.Series:
    """Return the template of each message as offbeat mines it."""
    miner = Miner()
    codes = miner.encode(Miner.shapes(messages))
    catalog = miner.learn()
    return pl.Series(catalog.texts)[miner.templates(codes)]


def drain3(messages: pl.Series) -> pl.Series:
    """Return the template of each message as drain3 mines it with default settings."""
    from drain3 import TemplateMiner
    from drain3.template_miner_config import TemplateMinerConfig

    miner: Any = TemplateMiner(config=TemplateMinerConfig())
    ids = [miner.add_log_message(message)["cluster_id"] for message in messages]
    texts = {cluster.cluster_id: cluster.get_template() for cluster in miner.drain.clusters}
    return pl.Series([texts[i] for i in ids])


def main() -> None:
    """Print a row a system and the means."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    paths = sorted(folder.glob("*/*_structured_corrected.csv"))
    if not paths:
        sys.exit(f"no */*_structured_corrected.csv in {folder}")
    rows = []
    print(f"{'system':12s}   offbeat GA   FTA   drain3 GA   FTA")
    for path in paths:
        frame = pl.read_csv(path, infer_schema_length=0)
        messages = frame["Content"].fill_null("")
        row = [figure for mine in (offbeat, drain3) for figure in quality(frame["EventTemplate"], mine(messages))]
        rows.append(row)
        print(f"{path.parent.name:12s}       {row[0]:.3f}  {row[1]:.3f}       {row[2]:.3f}  {row[3]:.3f}")
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    print(f"{'mean':12s}       {means[0]:.3f}  {means[1]:.3f}       {means[2]:.3f}  {means[3]:.3f}")


if __name__ == "__main__":
    main()
