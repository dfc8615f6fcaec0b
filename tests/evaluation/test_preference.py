"""Areas under the curve by hand, and matrix factorisation on planted preferences."""

import numpy as np
import pytest

from zsr_sim.evaluation.matrix_factorisation import Factors, Recipe, factorise, tuned
from zsr_sim.evaluation.preference import Split, liked_auc, text_scores
from zsr_sim.interactions import Interactions


def planted(seed: int = 0) -> Interactions:
    """120 users of two kinds: each has rated 12 of the own kind's 30 items with 5, and 4 of the other's with 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(120):
        own, other = (30 * kind + rng.permutation(30)[:12] for kind in (user % 2, 1 - user % 2))
        rows += [(f"u{user:03d}", item, place, 5.0) for place, item in enumerate(own)]
        rows += [(f"u{user:03d}", item, 12 + place, 1.0) for place, item in enumerate(other[:4])]
    return Interactions.from_columns(*zip(*rows, strict=True))


def test_liked_above_disliked_by_hand() -> None:
    """User a: liked 2 and 3, disliked 0 and 1; item 2 stands above both, 3 above one and level with the other.
    User b has liked nothing and does not count; user c one pair, in the wrong order."""
    log = Interactions.from_columns(
        list("aaaabbcc"), [0, 1, 2, 3, 0, 1, 2, 3], range(8), [1.0, 2.0, 4.0, 5.0, 1.0, 1.0, 5.0, 1.0]
    )
    scores = np.array([1.0, 0.0, 3.0, 1.0 + 4.0])
    scores[3] = 1.0
    found = liked_auc(lambda users, items: scores[items], log, np.arange(8), np.array([3.0, 3.0, 3.0]))
    assert found is not None
    assert found["auc"] == pytest.approx((1 + 0.75 + 1) / 3)
    reverse = liked_auc(lambda users, items: -scores[items], log, np.arange(8), np.array([3.0, 3.0, 3.0]))
    assert reverse is not None
    assert found["auc"] + reverse["auc"] == pytest.approx(1.0)
    nobody = log.where(log.values == 1.0)
    assert liked_auc(lambda users, items: scores[items], nobody, np.arange(len(nobody)), np.full(3, 3.0)) is None


def test_a_split_hides_a_fifth_of_the_items_wholly() -> None:
    log = planted()
    split = Split.of(log, 60, seed=0)
    assert not split.cold_items[split.train.items].any()
    assert split.cold_items[log.items[split.cold]].all()
    assert not split.cold_items[log.items[split.warm]].any()
    few = np.diff(split.train.starts) < 5  # who is left with few in training is not judged
    assert len(split.train) + len(split.warm) + len(split.cold) == len(log) - (
        few[log.users].sum() - few[split.train.users].sum()
    )
    assert 0.1 < split.cold_items.mean() < 0.3
    assert len(split.warm) == pytest.approx(0.2 * (len(log) - split.cold_items[log.items].sum()), rel=0.15)


def test_text_tells_what_is_near_what_was_liked() -> None:
    log = Interactions.from_columns(["a", "a"], [0, 1], [0, 1], [5.0, 1.0])
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    user, items = np.zeros(1, dtype=np.int32), np.array([[0, 1, 2]], dtype=np.int32)
    assert text_scores(vectors, log, True)(user, items)[0].tolist() == pytest.approx([1, 0, 0.6])
    assert text_scores(vectors, log, False)(user, items)[0].tolist() == pytest.approx(
        [0.5**0.5, 0.5**0.5, 1.4 * 0.5**0.5]
    )


@pytest.mark.parametrize("of_ratings", [True, False])
def test_factors_find_planted_preferences(of_ratings: bool) -> None:
    """Of new items, a user stands higher to those of the own kind: nearly all pairs in order."""
    log = planted()
    factors = factorise(log, 60, Recipe(4, 0.02, 30), of_ratings, seed=0)
    users = np.arange(120, dtype=np.int32)
    scores = factors.scores(users, np.tile(np.arange(60, dtype=np.int32), (120, 1)))  # (users, items)
    seen = np.zeros((120, 60), dtype=bool)
    seen[log.users, log.items] = True
    own = np.arange(60)[None, :] // 30 == users[:, None] % 2
    wins = [(scores[u, own[u] & ~seen[u]][:, None] > scores[u, ~own[u] & ~seen[u]][None, :]).mean() for u in range(120)]
    assert np.mean(wins) > 0.95


def test_the_recipe_is_chosen_by_what_was_hidden() -> None:
    log = planted()
    hidden = np.arange(len(log)) % 5 == 0
    recipes = (Recipe(2, 5.0, 2), Recipe(4, 0.02, 30))
    asked: list[int] = []

    def score(factors: Factors) -> float:
        asked.append(factors.items.shape[1])
        return float(len(asked))

    found, best = tuned(log, 60, recipes, False, 0, hidden, score)
    assert asked == [2, 4]
    assert best == recipes[1]
    assert found.items.shape == (60, 4)
