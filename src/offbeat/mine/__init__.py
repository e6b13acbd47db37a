"""Messages to templates: mask, count distinct shapes, mine the shapes, keep a catalog with ids that stay."""

from offbeat.mine.catalog import Catalog, template_id
from offbeat.mine.limits import Limits
from offbeat.mine.miner import Miner, generalise
from offbeat.mine.values import Values, values

__all__ = ["Catalog", "Limits", "Miner", "Values", "generalise", "template_id", "values"]
