"""Is what the clients saw possible? A checker of histories, usable on its own: `ocelog check history.jsonl`.

    models = {"map": MODELS["map"]()}
    judge(operations, models).verdict          # "linearizable", "not linearizable" or "undecided"

`search` is the engine, `models` what it knows of objects, `reading` the format of files, `page` shows what is wrong.
`tally` counts what a benchmark lost and did twice.
"""

from .judge import Bounds, Finding, Judgement, judge
from .model import IMPOSSIBLE, Model, told
from .models import MODELS
from .operation import NEVER, Operation

__all__ = [
    "IMPOSSIBLE",
    "MODELS",
    "NEVER",
    "Bounds",
    "Finding",
    "Judgement",
    "Model",
    "Operation",
    "judge",
    "told",
]
