import numpy as np
import pytest

from tests.envs.stages import tiny_stage
from zsr_sim.envs.choices import Pages, Point, Pool
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.stage import Stage
from zsr_sim.errors import InputError
from zsr_sim.generation.candidates import SOURCES
from zsr_sim.generation.relations import relate


def _waiting(stage: Stage, n: int = 4) -> Observation:
    """Users who consumed something, and saw a page."""
    rng = np.random.default_rng(0)
    histories = rng.integers(0, len(stage.world.items), (n, 6)).astype(np.int32)
    shown = np.full((n, 30), -1, dtype=np.int32)
    shown[:, -3:] = rng.integers(0, len(stage.world.items), (n, 3))
    return Observation(np.arange(n, dtype=np.uint64), np.arange(n), np.ones(n, dtype=np.int64), histories, shown)


def test_the_pool_holds_the_first_items_of_all_pages_then_the_second_ones() -> None:
    stage = tiny_stage()
    waiting = _waiting(stage)
    pages = stage.source.candidates(waiting)
    pool = Pool(stage, n_pool=6)
    seen = pool.offer(waiting)
    for user in range(4):
        expected, origins = [], []
        for position in range(3):
            for page in range(5):
                item = pages.items[user, page, position]
                if item not in expected:
                    expected.append(int(item))
                    origins.append(int(pages.sources[user, page]))
        actions = np.tile(np.arange(3), (4, 1))
        first, second = pool.chosen(actions), pool.chosen(actions + 3)
        shown = [*first.slates[user].tolist(), *second.slates[user].tolist()]
        assert shown == expected[:6]
        assert [*first.facts["sources"][user].tolist(), *second.facts["sources"][user].tolist()] == origins[:6]
        np.testing.assert_array_equal(seen["pool"][user].reshape(6, -1), stage.world.items.vectors[shown])
    related = relate(waiting, pages, stage.source.retrieval)
    np.testing.assert_array_equal(seen["context"], related.context)
    np.testing.assert_array_equal(seen["history"], related.lasting)


def test_a_large_pool_is_filled_up_with_other_items_at_random() -> None:
    stage = tiny_stage()
    pool = Pool(stage, n_pool=40)  # the whole catalogue, in an order of its own
    seen = pool.offer(_waiting(stage))
    slates = np.concatenate([pool.chosen(np.tile(np.arange(p, p + 3), (4, 1))).slates for p in range(0, 38, 3)], axis=1)
    for user in range(4):
        assert len(set(slates[user].tolist())) == slates.shape[1] == 39
    last = pool.chosen(np.tile([37, 38, 39], (4, 1)))
    assert (last.facts["sources"] == SOURCES.index("random")).all()
    plausibility = seen["relations"].reshape(4, 40, -1)[:, :, 7]
    np.testing.assert_array_equal(plausibility, np.float32(0.5))


@pytest.mark.parametrize(
    ("action", "mask", "places"),
    [
        ([0, 1, 2], [1, 1, 1, 1, 1], [0, 1, 2]),
        ([3, 3, 3], [1, 1, 1, 1, 1], [3, 4, 0]),  # the next one, round the pool
        ([3, 3, 4], [1, 1, 1, 1, 1], [3, 4, 0]),  # what was taken for a repeat is taken
        ([3, 3, 3], [0, 1, 1, 1, 0], [3, 1, 2]),  # masked ones are passed over,
        ([3, 3, 3], [0, 0, 0, 1, 1], [3, 4, 0]),  # unless no other is free
        ([0, 4, 0], [0, 1, 1, 1, 0], [0, 4, 1]),  # and shown if chosen
    ],
)
def test_an_item_that_is_chosen_again_gives_way(action: list[int], mask: list[int], places: list[int]) -> None:
    stage = tiny_stage()
    pool = Pool(stage, n_pool=None)
    pool.offer(_waiting(stage, 1))
    pool.mask = np.array([mask], dtype=np.int8)
    chosen = pool.chosen(np.array([action]))
    assert chosen.slates.tolist() == [places]
    assert chosen.facts["replaced"].tolist() == [[a != p for a, p in zip(action, places, strict=True)]]


def test_the_mask_tells_what_is_new() -> None:
    stage = tiny_stage()
    waiting = _waiting(stage)
    pool = Pool(stage, n_pool=None)
    pool.offer(waiting)
    assert pool.mask is not None
    for user in range(4):
        old = {*waiting.histories[user].tolist(), *waiting.shown[user].tolist()}
        assert pool.mask[user].tolist() == [item not in old for item in range(40)]


def test_the_mask_tells_what_can_be_had() -> None:
    stage = tiny_stage(lifetime=3)  # item i comes on page i mod 5, and goes three pages later
    waiting = _waiting(stage)  # on page 1
    pool, pages = Pool(stage, n_pool=None), Pages(stage)
    pool.offer(waiting)
    pages.offer(waiting)
    assert pool.mask is not None
    assert pages.mask is not None
    at_hand = np.isin(np.arange(40) % 5, [0, 1])
    old = [{*waiting.histories[user].tolist(), *waiting.shown[user].tolist()} for user in range(4)]
    assert pool.mask.tolist() == [[bool(at_hand[i]) and i not in old[user] for i in range(40)] for user in range(4)]
    items = stage.source.candidates(waiting).items
    whole = np.asarray(at_hand[items].all(axis=2))  # (users, pages)
    assert pages.mask.tolist() == [row.tolist() if row.any() else [True] * 5 for row in whole]


def test_a_page_with_an_item_that_cannot_be_had_is_masked() -> None:
    stage = tiny_stage(slate=1, lifetime=3)
    waiting = _waiting(stage, 50)
    pages = Pages(stage)
    pages.offer(waiting)
    items = stage.source.candidates(waiting).items[:, :, 0]
    whole = np.isin(items % 5, [0, 1])
    assert pages.mask is not None
    assert 0 < whole.mean() < 1
    assert pages.mask.tolist() == [row.tolist() if row.any() else [True] * 5 for row in whole]


def test_where_fewer_than_a_page_are_new_all_may_be_chosen() -> None:
    stage = tiny_stage(n=8)
    histories = np.array([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [-1, 0, 1, 2, 3]], dtype=np.int32)
    shown = np.array([[5], [4], [-1]], dtype=np.int32)
    waiting = Observation(np.zeros(3, dtype=np.uint64), np.arange(3), np.ones(3, dtype=np.int64), histories, shown)
    pool = Pool(stage, n_pool=None)
    pool.offer(waiting)
    assert pool.mask is not None
    assert pool.mask.tolist() == [[1] * 8, [0] * 5 + [1] * 3, [0] * 4 + [1] * 4]


def test_a_point_shows_the_nearest_new_items() -> None:
    stage = tiny_stage()
    waiting = _waiting(stage)
    vectors = stage.world.items.vectors
    point = Point(stage)
    seen = point.offer(waiting)
    assert set(seen) == {"history", "recent", "context"}
    actions = np.random.default_rng(2).uniform(-1, 1, (4, 6)).astype(np.float32)
    slates = point.chosen(actions).slates
    for user in range(4):
        old = {*waiting.histories[user].tolist(), *waiting.shown[user].tolist()}
        order = np.argsort(-(vectors @ actions[user])).tolist()
        assert slates[user].tolist() == [item for item in order if item not in old][:3]
    np.testing.assert_array_equal(point.chosen(actions / 7).slates, slates)  # only the direction counts
    nowhere = point.chosen(np.zeros((4, 6), dtype=np.float32)).slates
    np.testing.assert_array_equal(nowhere, stage.source.retrieval.by_popularity(waiting, 3))


def test_a_page_of_what_can_be_had_may_be_chosen() -> None:
    stage = tiny_stage()
    pages = Pages(stage)
    pages.offer(_waiting(stage))
    assert pages.mask is not None
    assert pages.mask.tolist() == [[1] * 5] * 4


@pytest.mark.parametrize("n_pool", [2, 41, 7.0, "all"])
def test_a_pool_that_cannot_be(n_pool: int) -> None:
    with pytest.raises(InputError, match="an integer 3 to 40 expected"):
        Pool(tiny_stage(), n_pool)
