"""What values of records must be, so that tables and figures can be made of them: `check` says which is something else.

Records come from files that others may have written. What is not named here is shown as it is, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dhauds_jax.errors import BadInput

LARGEST = 1e20
"""No number of a record is larger."""
LONGEST = 100_000
"""Numbers and texts that one record may hold."""

TEXT, NUMBER, WHOLE, OBJECT, LIST = "a text", "a number", "a whole number", "an object", "a list"
NUMBERS, OBJECTS, TEXTS = "a list of numbers", "a list of objects", "a list of texts"

_TESTS = {
    TEXT: lambda value: value is None or isinstance(value, str),
    NUMBER: lambda value: value is None or isinstance(value, int | float),
    WHOLE: lambda value: isinstance(value, int),
    OBJECT: lambda value: value is None or isinstance(value, dict),
    LIST: lambda value: isinstance(value, list),
    NUMBERS: lambda value: (
        isinstance(value, list) and all(one is None or isinstance(one, int | float) for one in value)
    ),
    OBJECTS: lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value),
    TEXTS: lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
}

_ALL: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("cell", "dataset", "corruption", "level", "net", "metric", "protocol", "profile"), TEXT),
        **dict.fromkeys(("method", "learner", "head", "tta", "scorer", "prototypes", "background", "why"), TEXT),
        **dict.fromkeys(("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle", "ece", "nll"), NUMBER),
        **dict.fromkeys(("seconds", "peak_memory_mb", "parameters_moved", "collapsed", "flops_per_clip"), NUMBER),
        **dict.fromkeys(("auc", "accuracy", "oracle_auc", "pooled_auc", "majority", "ece_before"), NUMBER),
        **dict.fromkeys(("AA", "PD", "last", "forgetting", "bwt", "weight", "scale", "n", "state_bytes"), NUMBER),
        **dict.fromkeys(("seed", "way", "shot", "sessions", "folds"), NUMBER),
        **dict.fromkeys(("options", "per_session", "floor", "chosen", "backbone", "metrics", "recipe"), OBJECT),
        **dict.fromkeys(("curve", "domains", "by_fold", "trials"), OBJECTS),
        **dict.fromkeys(("classes", "uses", "notices"), TEXTS),
        **dict.fromkeys(("silhouette", "silhouette_tokens"), NUMBERS),
    }
)
"""Of every kind of record, by key, where it is there."""

_OWN: Mapping[str, Mapping[str, str]] = {
    "results": {"selection": OBJECT, "passes": OBJECT, "versions": OBJECT, "seed": WHOLE},
    "zeroshot": {"selection": OBJECT, "folds": LIST, "seed": WHOLE, "gap": OBJECT},
    "crossval": {"selection": TEXT, "test": OBJECT, "gap": NUMBER},
}


def check(found: Sequence[Mapping[str, Any]], kind: str, path: Path) -> None:
    """Raises `BadInput`, which names record and key, for a value that is something else, or beyond all measure.

    Args:
      found: the records of a file, in its order.
      kind: of them, a key of `records.KINDS`.
      path: the file.
    """
    wanted = {**_ALL, **_OWN.get(kind, {})}
    for number, record in enumerate(found, 1):
        where = f"{path}: record {number}"
        for key, word in wanted.items():
            if key in record and not _TESTS[word](record[key]):
                raise BadInput(f"{where}: {key} is {_short(record[key])}, expected {word}; remove the line")
        for count, (key, value) in enumerate(_leaves(record)):
            if count > LONGEST:
                raise BadInput(f"{where}: holds more than {LONGEST:,} values, expected a record; remove the line")
            if isinstance(value, int | float) and not (abs(value) <= LARGEST or math.isnan(value)):
                raise BadInput(
                    f"{where}: {key} holds {_short(value)}, expected numbers up to {LARGEST:g}; remove the line"
                )


def _leaves(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value in a record that is no container, with the key of the record that it lies under."""
    waiting = list(record.items())
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(key, one) for one in value.values()]
        elif isinstance(value, list):
            waiting += [(key, one) for one in value]
        else:
            yield key, value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
