"""A data set in numbers: how many, from when to when, which ratings, how much per user."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from zsr_sim.datasets.dataset import Dataset
from zsr_sim.impressions import Impressions
from zsr_sim.interactions import Interactions

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
MOST_BARS = 20  # with more distinct values than this, the histogram has ten equal bins instead


def describe(dataset: Dataset) -> dict[str, object]:
    """Return counts, texts, span of time, values and activity of a data set, ready for JSON.

    ``interactions`` is None where there is no log. Quantiles are keyed ``"min"``, ``"p25"``, ``"p50"``, ..., ``"max"``.
    """
    catalogue, log = dataset.catalogue, dataset.interactions
    return {
        "name": catalogue.name,
        "source": dataset.report.source,
        "layout": dataset.report.layout,
        "counts": dict(dataset.report.counts),
        "items": {
            "number": len(catalogue),
            "text_characters": quantiles(np.array([len(text) for text in catalogue.texts])),
            "distinct_texts": len(set(catalogue.texts)),
            "columns": [str(name) for name in catalogue.columns.columns],
            "fingerprint": catalogue.fingerprint,
        },
        "interactions": None if log is None else _describe_log(log, len(catalogue)),
        "impressions": None if dataset.impressions is None else _describe_pages(dataset.impressions),
        "notes": list(dataset.report.notes),
    }


def quantiles(numbers: npt.NDArray[np.number]) -> dict[str, float]:
    """Return minimum, quartiles, 90th and 99th percentile and maximum of at least one number."""
    names = ["min", *(f"p{round(100 * q)}" for q in QUANTILES[1:-1]), "max"]
    return dict(zip(names, np.quantile(numbers, QUANTILES).tolist(), strict=True))


def histogram(values: npt.NDArray[np.floating]) -> list[dict[str, float | int]]:
    """Count the values that are no NaN: each distinct value, or ten equal bins where there are more than 20 of them."""
    given = values[~np.isnan(values)].astype(np.float64)
    distinct, counts = np.unique(given, return_counts=True)
    if len(distinct) <= MOST_BARS:
        return [{"value": float(v), "count": int(c)} for v, c in zip(distinct, counts, strict=True)]
    counts, edges = np.histogram(given, bins=10)
    return [
        {"from": float(low), "to": float(high), "count": int(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def _describe_log(log: Interactions, n_items: int) -> dict[str, object]:
    per_item = np.bincount(log.items, minlength=n_items)  # (n_items,)
    pairs = len(np.unique(log.users.astype(np.int64) * n_items + log.items))
    kinds = zip(log.feedback_names, range(len(log.feedback_names)), strict=True)
    return {
        "number": len(log),
        "users": log.n_users,
        "density": len(log) / (log.n_users * n_items),
        "first": _iso(log.timestamps.min()),
        "last": _iso(log.timestamps.max()),
        "items_per_user": quantiles(np.diff(log.starts)),
        "interactions_per_item": quantiles(per_item),
        "items_never_seen": int((per_item == 0).sum()),
        "repeated_pairs": len(log) - pairs,
        "values": histogram(log.values),
        "feedback": {name: int((log.feedback_codes == code).sum()) for name, code in kinds},
    }


def _describe_pages(log: Impressions) -> dict[str, object]:
    said = log.propensity[log.shown]
    given = said[~np.isnan(said)]
    kinds = zip(log.feedback_names, range(len(log.feedback_names)), strict=True)
    return {
        "pages": len(log),
        "users": log.n_users,
        "positions": log.items.shape[1],
        "whole_pages": log.whole,
        "first": _iso(log.timestamps.min()),
        "last": _iso(log.timestamps.max()),
        "propensities": quantiles(given) if len(given) else None,
        "propensities_missing": len(said) - len(given),
        "feedback": {name: int((log.feedback_codes == code).sum()) for name, code in kinds},
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).isoformat()
