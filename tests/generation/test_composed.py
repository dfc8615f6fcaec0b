"""Composed pages: the likeliest items, apart from each other as far as a page is to vary, judged by the click model."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.generation.waiting import random_retrieval, random_waiting, unseen, waiting
from zsr_sim.encoders.space import unit
from zsr_sim.generation.candidates import COMPOSED, SOURCES, RetrievalCandidates
from zsr_sim.generation.clicks import ClickModel
from zsr_sim.generation.composed import ComposedCandidates, _log_odds
from zsr_sim.generation.evidence import N_EVIDENCE, NEAREST_INTEREST
from zsr_sim.generation.index import Shelf
from zsr_sim.generation.retrieval import Retrieval

SLATE, K = 4, len(COMPOSED)


def _random_model(vectors: NDArray[np.float32]) -> ClickModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = ClickModel(vectors)
        torch.nn.init.normal_(model.score.weight, std=0.3)
        model.clicks.uniform_(0, 9)
        model.expected.uniform_(0, 9)
    return model


def _source(retrieval: Retrieval, n_composed: int = K) -> ComposedCandidates:
    rest = RetrievalCandidates(retrieval, SLATE, 3)
    return ComposedCandidates(rest, _random_model(retrieval.vectors), n_composed)


def test_the_others_follow_as_they_are() -> None:
    retrieval, observation = random_retrieval(), random_waiting(30, 60)
    found, others = _source(retrieval).candidates(observation), RetrievalCandidates(retrieval, SLATE, 3)
    rest = others.candidates(observation)
    np.testing.assert_array_equal(found.items[:, K:], rest.items)
    np.testing.assert_array_equal(found.sources[:, K:], rest.sources)
    assert [SOURCES[s] for s in found.sources[0, :K]] == list(COMPOSED)
    assert (found.plausibility == 0.5).all()
    assert _source(retrieval, 2).candidates(observation).items.shape == (30, 5, SLATE)


@torch.no_grad()
def test_expected_clicks_are_those_of_the_model() -> None:
    source = _source(random_retrieval())
    observation = random_waiting(30, 60)
    found = source.candidates(observation)
    assert found.evidence is not None
    assert found.expected is not None
    odds = (
        source.model(torch.from_numpy(found.evidence)) + source.model.attraction[torch.from_numpy(found.items).long()]
    )
    clicks = (torch.sigmoid(odds) * source.model.log_looks(SLATE).exp()).mean(dim=2)
    np.testing.assert_allclose(found.expected, clicks, rtol=1e-4)
    known = observation.histories[:, -1] >= 0
    assert (np.diff(odds[:, :K].numpy()[known], axis=2) <= 1e-4).all()  # the likeliest item stands first


def test_the_order_of_a_sum_is_not_left_to_the_compiler() -> None:
    """Products are exact (weights 1 and -1), so that the order alone says which bits the sum has: half to half."""
    judge = ClickModel(random_retrieval().vectors).judge(SLATE)
    hidden = np.exp(np.random.default_rng(0).normal(size=(40, len(judge.bias)))).astype(np.float32)
    signs = np.where(np.arange(len(judge.bias)) % 3 == 0, -1, 1).astype(np.float32)
    x, items, found = np.zeros((1, N_EVIDENCE), np.float32), np.zeros(1, np.int32), np.empty((40, 1), np.float32)
    for row, bias in zip(found, hidden, strict=True):
        _log_odds(judge._replace(bias=bias, score=signs, level=np.zeros(1, np.float32)), x, items, row)
    total = hidden * signs
    while total.shape[1] > 1:
        total = total[:, : total.shape[1] // 2] + total[:, total.shape[1] // 2 :]
    np.testing.assert_array_equal(found, total)


@torch.no_grad()
def test_a_user_tires_in_the_loop_as_in_training() -> None:
    """Three pages, on the first items 1 and 3 clicked, on the second item 6, nothing on the third."""
    retrieval = random_retrieval()
    source = _source(retrieval)
    source.model.subject.weight.mul_(0.3)  # shares that are neither 0 nor 1
    source.renew(source.model)
    shown = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    found = source.candidates(waiting([[20, 1, 3, 6]], [shown], [3]))
    assert found.evidence is not None
    pages = np.concatenate([np.reshape(shown, (3, SLATE)), found.items[0]]).astype(np.int64)
    clicks = np.isin(pages, [1, 3, 6]).astype(np.float32)
    for c in range(K + 3):
        rows = [0, 1, 2, 3 + c]
        items, clicked = torch.from_numpy(pages[rows])[None], torch.from_numpy(clicks[rows])[None]
        tired = source.model.tiredness(items, clicked)[0, -1]
        np.testing.assert_allclose(found.evidence[0, c, :, -1], tired, rtol=1e-5)
        assert (tired > 0).all()


def test_items_are_new_and_a_user_is_served_alike_alone() -> None:
    source, observation = _source(random_retrieval(twins=10)), random_waiting(40, 60)
    together = source.candidates(observation)
    for row in range(40):
        alone = source.candidates(observation.take(slice(row, row + 1)))
        np.testing.assert_array_equal(alone.items[0], together.items[row])
        np.testing.assert_array_equal(
            alone.expected, together.expected[row : row + 1] if together.expected is not None else 0
        )
        for page in together.items[row, :K]:
            assert len(set(page.tolist())) == SLATE
            assert set(page.tolist()) <= unseen(observation, row, 60)


def test_a_page_varies_by_maximal_marginal_relevance() -> None:
    """Items 1 to 3 are alike and most like the history, 4 and 5 less so: a page of two, narrow or wide."""
    vectors = unit(np.array([[1, 0, 0], [1, 0.1, 0], [1, 0.11, 0], [1, 0.12, 0], [1, -0.6, 0.5], [1, -0.6, -0.5]]))
    retrieval = Retrieval(vectors.astype(np.float32), np.ones(6, dtype=np.float32))
    model = ClickModel(retrieval.vectors)  # goes by the nearest interest, which is item 0
    torch.nn.init.constant_(model.direct.weight[:, NEAREST_INTEREST], 5.0)
    source = ComposedCandidates(RetrievalCandidates(retrieval, 2, 2), model)
    source.renew(model)
    found = source.candidates(waiting([[0]]))
    cosine = vectors @ vectors.T
    odds = 20 * cosine[0]
    for kind, weight in enumerate(COMPOSED.values()):
        second = max(range(2, 6), key=lambda item: odds[item] - weight * max(cosine[item, 1], 0))
        assert found.items[0, kind].tolist() == [1, second]
    assert {page[1] for page in found.items[0, :K].tolist()} == {2, 4}


def test_who_is_unknown_gets_what_is_popular_and_who_has_had_nearly_all_gets_what_is_left() -> None:
    retrieval = random_retrieval()
    source = ComposedCandidates(
        RetrievalCandidates(retrieval, SLATE, 3), ClickModel(retrieval.vectors)
    )  # goes by evidence alone
    observation = waiting([[-1] * 58, list(range(58))])
    found = source.candidates(observation).items[:, :K]
    assert (found[0, :, 0] == retrieval.by_popularity(observation, 1)[0]).all()
    assert (found[1] == retrieval.by_popularity(observation, SLATE)[1]).all()


@pytest.mark.parametrize("step", [0, 5])
def test_what_cannot_be_had_is_not_composed(step: int) -> None:
    plain, n = random_retrieval(), 60
    released = np.where(np.arange(n) % 2 == 0, 0, 5).astype(np.int32)
    retrieval = Retrieval(plain.vectors, plain.popularity, Shelf(released, released + 5))
    observation = waiting([[1, 2, 3]] * 2, None, [step] * 2)
    items = _source(retrieval).candidates(observation).items[:, :K]
    assert (items % 2 == (step == 5)).all()


def test_a_better_model_takes_effect_when_it_is_given() -> None:
    source, observation = _source(random_retrieval()), random_waiting(20, 60)
    before = source.candidates(observation).items[:, :K]
    source.renew(ClickModel(source.retrieval.vectors))
    assert (source.candidates(observation).items[:, :K] != before).any()
