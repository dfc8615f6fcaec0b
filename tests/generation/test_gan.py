"""Writing within a shortlist, the gate, and candidates of which some are written."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from tests.generation.judged import plausibility
from tests.generation.waiting import random_retrieval, random_waiting, unseen, waiting
from zsr_sim.envs.observation import Observation
from zsr_sim.generation.candidates import SOURCES, RetrievalCandidates
from zsr_sim.generation.gan import (
    SHORTLIST,
    Drawing,
    GeneratedCandidates,
    SequenceGan,
    Shortlist,
    Written,
    item_table,
    next_item_logits,
    pooled_views,
    shortlist,
    write,
    write_relaxed,
)
from zsr_sim.generation.index import Shelf
from zsr_sim.generation.networks import NOISE, Discriminator, Generator
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.generation.writing import probabilities

D, SLATE, USERS, EACH, LENGTH = 8, 4, 7, 3, 5
RETRIEVAL = random_retrieval()
TABLE = item_table(RETRIEVAL, torch.float64)
GENERATOR, SIMILARITY = SOURCES.index("generator"), SOURCES.index("similarity")


def _gan(threshold: float = 0.5, n_items: int = 0) -> SequenceGan:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(D, n_items).double().eval()
        generator.residual.data.normal_()
        return SequenceGan(generator, Discriminator(D).double().eval(), threshold)


GAN = _gan()


ITEMS = GAN.generator.items(TABLE)


def _histories(observation: Observation) -> Tensor:
    return torch.from_numpy(observation.histories.astype(np.int64))


def _seen(observation: Observation) -> Tensor:
    return torch.from_numpy(np.concatenate([observation.histories, observation.shown], axis=1).astype(np.int64))


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@torch.inference_mode()
def _written(
    users: int = USERS, each: int = EACH, length: int = LENGTH, size: int = 12, drawing: Drawing | None = None
) -> tuple[Tensor, Tensor, Shortlist, Written]:
    """What the untrained generator writes among `size` items of a shortlist, and what for."""
    observation = random_waiting(users, 60)
    histories = _histories(observation)
    best = shortlist(GAN.generator, ITEMS, histories, _seen(observation), length)
    among = Shortlist(best.items[:, :size], best.handicap[:, :size])
    noise, luck = _random(users, each, NOISE, seed=1), _random(users, each, length, seed=2)
    written = write(GAN.generator, ITEMS, TABLE.vectors, histories, noise, among, luck, drawing or Drawing())
    return histories, noise, among, written


@torch.inference_mode()
def _log_probabilities(histories: Tensor, noise: Tensor, among: Shortlist, items: Tensor, temperature: float) -> Tensor:
    """Of each position of sequences (n, m, length), by `Generator.forward` on all of it: (n, m, length, size)."""
    n, m, length = items.shape
    whole = torch.cat([histories.repeat_interleave(m, dim=0), items.view(n * m, length)[:, :-1]], dim=1)
    points = GAN.generator(ITEMS, whole, noise.reshape(n * m, NOISE))[:, -length:].view(n, m, length, -1)
    logits = torch.einsum("nmtd,nsd->nmts", points, ITEMS.points[among.items])
    logits += ITEMS.bias[among.items][:, None, None, :]
    for t in range(1, length):
        before = (among.items[:, None, None, :] == items[:, :, :t, None]).any(dim=2)  # (n, m, size)
        logits[:, :, t][before] = -torch.inf
    return torch.log_softmax(logits / temperature, dim=3)


def test_appeal_is_popularity_on_a_log_scale() -> None:
    popularity = np.array([np.e**2 - 1, 0, np.e - 1], dtype=np.float32)
    table = item_table(Retrieval(np.eye(3, dtype=np.float32), popularity), torch.float64)
    torch.testing.assert_close(table.appeal, torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64), rtol=1e-6, atol=0)
    assert table.vectors.dtype == torch.float64
    assert not item_table(Retrieval(np.eye(3, dtype=np.float32), 0 * popularity)).appeal.any()


@torch.inference_mode()
def test_a_shortlist_is_the_order_of_the_scores() -> None:
    observation = random_waiting(USERS, 60)
    found = shortlist(GAN.generator, ITEMS, _histories(observation), _seen(observation), LENGTH)
    assert found.items.shape == (USERS, 60)
    logits = GAN.scores(observation, RETRIEVAL)
    expected = GAN.generator(ITEMS, _histories(observation))[:, -1] @ ITEMS.points.T + ITEMS.bias
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    for row in range(USERS):
        new = unseen(observation, row, 60)
        order = found.items[row].numpy()
        assert set(order[: len(new)].tolist()) == new
        assert sorted(order.tolist()) == list(range(60))
        assert (np.diff(logits[row, order[: len(new)]]) < 1e-6).all()
        np.testing.assert_array_equal(found.handicap[row], 1e3 * (np.arange(60) >= len(new)))


def test_what_is_written_can_be_had() -> None:
    released = np.arange(60, dtype=np.int32) % 3 - 1
    shelf = Shelf(released, released + 2)  # on page 0 two thirds of the items, on page 1 the others with half of them
    retrieval = Retrieval(RETRIEVAL.vectors, RETRIEVAL.popularity, shelf=shelf)
    observation = random_waiting(USERS, 60, length=10, capacity=4)
    observation = replace(observation, steps=observation.steps % 2)
    written = GeneratedCandidates(GAN, retrieval, SLATE).sequences(observation).numpy()
    page = observation.steps[:, None, None]
    assert ((released[written] <= page) & (page < released[written] + 2)).all()


def test_scores_do_not_depend_on_the_batch() -> None:
    observation = random_waiting(40, 60)
    gan = _gan(n_items=60)
    together = gan.scores(observation, RETRIEVAL)
    assert together.shape == (40, 60)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(gan.scores(observation, RETRIEVAL, batch_size=7), together)
    np.testing.assert_array_equal(gan.scores(observation.take(slice(5, 6)), RETRIEVAL)[0], together[5])


def test_a_moved_gan_keeps_the_residuals_of_known_items_alone() -> None:
    """Of 60 items, a catalogue with items 9 and 4 and one that is new."""
    gan = _gan(n_items=60)
    moved = gan.moved(np.array([9, -1, 4]))
    expected = torch.stack([gan.generator.residual[9], torch.zeros(65).double(), gan.generator.residual[4]])
    torch.testing.assert_close(moved.generator.residual.data, expected, rtol=0, atol=0)
    assert len(gan.generator.residual) == 60
    few = Retrieval(RETRIEVAL.vectors[[9, 0, 4]], RETRIEVAL.popularity[[9, 0, 4]])
    there, here = (Observation.of_histories(np.array([history], dtype=np.int32)) for history in ([2, 0], [4, 9]))
    appeal = item_table(few, torch.float64).appeal - TABLE.appeal[[9, 0, 4]]  # its scale is the catalogue's own
    change = moved.scores(there, few)[0] - appeal.numpy() - gan.scores(here, RETRIEVAL)[0][[9, 0, 4]]
    np.testing.assert_allclose(change[[0, 2]], 0, atol=1e-5)
    assert abs(change[1]) > 0.1


@torch.inference_mode()
def test_a_shortlist_is_short_unless_the_sequence_is_long() -> None:
    retrieval = random_retrieval(300)
    table = item_table(retrieval, torch.float64)
    items, histories = GAN.generator.items(table), _histories(random_waiting(USERS, 300))
    nothing = torch.full((USERS, 1), -1)
    assert shortlist(GAN.generator, items, histories, nothing, 10).items.shape == (USERS, SHORTLIST)
    long = shortlist(GAN.generator, items, histories, nothing, 150)
    noise, luck = _random(USERS, 1, NOISE), _random(USERS, 1, 150)
    written = write(GAN.generator, items, table.vectors, histories, noise, long, luck, Drawing()).items
    assert [len(set(row)) for row in written.tolist()] == [150] * USERS


@pytest.mark.parametrize("drawing", [Drawing(0.05), Drawing(0.3, diversity=2.0), Drawing(), Drawing(2.0, 7, 0.9)])
def test_sequences_are_of_the_shortlist_without_repeats(drawing: Drawing) -> None:
    _, _, among, written = _written(users=40, each=5, drawing=drawing)
    assert written.items.shape == written.log_probabilities.shape == (200, LENGTH)
    for row, items in enumerate(written.items.tolist()):
        assert len(set(items)) == LENGTH
        assert set(items) <= set(among.items[row // 5].tolist())


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_log_probabilities_by_another_way(temperature: float) -> None:
    histories, noise, among, written = _written(drawing=Drawing(temperature))
    items = written.items.view(USERS, EACH, LENGTH)
    expected = _log_probabilities(histories, noise, among, items, temperature)
    place = (among.items[:, None, None, :] == items[..., None]).long().argmax(dim=3, keepdim=True)
    found = written.log_probabilities.view(USERS, EACH, LENGTH)
    # the writing is of single precision
    torch.testing.assert_close(found, expected.gather(3, place)[..., 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("drawing", [Drawing(1e-4), Drawing(top_k=1), Drawing(nucleus=1e-9)])
def test_hardly_any_temperature_writes_what_is_likeliest(drawing: Drawing) -> None:
    histories, noise, among, written = _written(drawing=drawing)
    items = written.items.view(USERS, EACH, LENGTH)
    best = _log_probabilities(histories, noise, among, items, 1.0).argmax(dim=3)  # (n, m, length)
    chosen = among.items[:, None, None, :].expand(-1, EACH, LENGTH, -1).gather(3, best[..., None])[..., 0]
    torch.testing.assert_close(items, chosen)


def test_drawing_by_hand() -> None:
    """Probabilities 1/2, 1/4, 1/8, 1/8, and an item that is out."""
    logits, p = torch.tensor([4.0, 2.0, 1.0, 1.0, 0.0]).log().numpy(), np.empty(5, dtype=np.float32)

    def of(drawing: Drawing) -> list[float]:
        probabilities(logits, drawing.temperature, drawing.top_k, drawing.nucleus, p)
        return [round(each, 6) for each in p.tolist()]

    assert of(Drawing()) == [0.5, 0.25, 0.125, 0.125, 0]
    assert of(Drawing(temperature=0.5)) == [round(p / 22, 6) for p in (16, 4, 1, 1, 0)]
    assert of(Drawing(top_k=2)) == [round(2 / 3, 6), round(1 / 3, 6), 0, 0, 0]
    assert of(Drawing(nucleus=0.5)) == [1, 0, 0, 0, 0]
    assert of(Drawing(nucleus=0.51)) == [round(2 / 3, 6), round(1 / 3, 6), 0, 0, 0]


def test_diversity_takes_what_is_unlike_what_is_written() -> None:
    """With a weight that drowns the logits, each item is the one whose nearest written item is farthest."""
    _, _, among, written = _written(drawing=Drawing(1e-3, diversity=1e6))
    for row, items in enumerate(written.items.tolist()):
        offered = among.items[row // EACH].tolist()
        cosines = TABLE.vectors[offered] @ TABLE.vectors[items].T  # (size, LENGTH)
        for t in range(1, LENGTH):
            nearest = cosines[:, :t].max(dim=1).values
            free = [i for i, item in enumerate(offered) if item not in items[:t]]
            assert items[t] == offered[min(free, key=lambda i: float(nearest[i]))]


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@torch.inference_mode()
def test_first_items_come_as_often_as_the_softmax_says(temperature: float) -> None:
    draws, size = 20_000, 8
    histories = _histories(random_waiting(1, 60, seed=4))
    among = Shortlist(torch.arange(0, 40, 5)[None], torch.zeros(1, size))
    noise, luck = _random(1, 1, NOISE).expand(1, draws, NOISE).contiguous(), _random(1, draws, 2, seed=6)
    items = write(GAN.generator, ITEMS, TABLE.vectors, histories, noise, among, luck, Drawing(temperature)).items
    p = _log_probabilities(histories, noise[:, :1], among, items[None, :1], temperature).exp()[0, 0, 0].numpy()
    counts = np.bincount(items[:, 0] // 5, minlength=size)
    assert p.max() > 3 * p.min()  # not even, so that a wrong order would show
    assert chisquare(counts, p * draws).pvalue > 0.01
    # The second item, where the first was the likeliest one: the softmax over the others.
    likeliest = int(p.argmax())
    rows = torch.from_numpy(np.flatnonzero(items[:, 0].numpy() == 5 * likeliest))
    q = _log_probabilities(histories, noise[:, :1], among, items[rows[:1]][None], temperature).exp()[0, 0, 1].numpy()
    counts = np.bincount(items[rows, 1] // 5, minlength=size)
    assert (q[likeliest], counts[likeliest]) == (0, 0)
    others = np.arange(size) != likeliest
    assert chisquare(counts[others], q[others] * len(rows)).pvalue > 0.01


def test_relaxed_writing_draws_items_and_lets_gradients_pass() -> None:
    """Forward: different items of the shortlist, the first as often as the softmax says; backward: to every choice."""
    draws, size = 4000, 8
    generator = _gan(n_items=60).generator
    items = generator.items(TABLE)
    histories = _histories(random_waiting(1, 60, seed=4)).expand(draws, -1)
    among = Shortlist(torch.arange(0, 40, 5)[None].expand(draws, -1), torch.zeros(draws, size).double())
    luck = _random(draws, 3, size, seed=6).clamp(1e-9, 1 - 1e-6)
    written = write_relaxed(
        generator, items, TABLE.vectors, histories, among, torch.zeros(draws, 1, NOISE).double(), luck
    )
    offered = TABLE.vectors[::5][:size]
    nearest = torch.cdist(written.detach(), offered[None].expand(draws, -1, -1))
    picks = nearest.argmin(dim=2)
    assert nearest.min(dim=2).values.max() < 1e-6
    assert all(len(set(row)) == 3 for row in picks.tolist())
    p = torch.softmax(next_item_logits(generator, items, histories[:1])[0, ::5][:size].double(), dim=0)
    assert chisquare(np.bincount(picks[:, 0], minlength=size), p.detach().numpy() * draws).pvalue > 0.01
    (gradient,) = torch.autograd.grad(written[:, 0].sum(), items.bias)
    assert (gradient[:40:5] != 0).all()
    assert not gradient[1:40:5].any()  # items that were not offered


@torch.inference_mode()
def test_plausibility_is_the_sigmoid_of_the_mean_logit() -> None:
    histories, _, _, written = _written(each=1)
    views = pooled_views(histories.numpy().astype(np.int32), TABLE)
    logits = GAN.discriminator(views, TABLE.vectors[written.items]).numpy()
    found = plausibility(GAN.discriminator, TABLE, views, written.items)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits.mean(axis=1))), rtol=1e-12)


def _source(threshold: float, n_generated: int = 4, retrieval: Retrieval = RETRIEVAL) -> GeneratedCandidates:
    return GeneratedCandidates(_gan(threshold), retrieval, SLATE, n_candidates=8, n_generated=n_generated)


def _median() -> float:
    """A threshold that about half of the written pages pass."""
    return float(np.median(_source(0.0).candidates(random_waiting(50, 60)).plausibility[:, :4]))


@pytest.mark.parametrize("n_generated", [1, 4])
def test_an_open_gate_lets_everything_pass(n_generated: int) -> None:
    observation = random_waiting(50, 60, capacity=8)
    found = _source(0.0, n_generated).candidates(observation)
    assert found.accepted == 1
    assert (found.sources[:, :n_generated] == GENERATOR).all()
    for row in range(50):
        for page in found.items[row].tolist():
            assert len(set(page)) == SLATE
            assert set(page) <= unseen(observation, row, 60)
    retrieved = RetrievalCandidates(RETRIEVAL, SLATE, 8 - n_generated).candidates(observation)
    np.testing.assert_array_equal(found.items[:, n_generated:], retrieved.items)
    np.testing.assert_array_equal(found.sources[:, n_generated:], retrieved.sources)


def test_a_closed_gate_leaves_further_pages_by_similarity() -> None:
    observation = random_waiting(50, 60, length=20)
    found = _source(1.1).candidates(observation)
    assert found.accepted == 0
    assert (found.sources[:, :4] == SIMILARITY).all()
    assert (found.plausibility == 0.5).all()
    ranked = RETRIEVAL.by_history(observation, 5 * SLATE).reshape(50, 5, SLATE)
    np.testing.assert_array_equal(found.items[:, :4], ranked[:, 1:])  # the first one is the retrieved page
    np.testing.assert_array_equal(found.items[:, 4], ranked[:, 0])


def test_a_gate_in_between_passes_what_is_plausible_and_fills_the_rest() -> None:
    observation = random_waiting(200, 60, length=20)
    threshold = _median()
    found = _source(threshold).candidates(observation)
    views = pooled_views(observation.histories, TABLE)
    ranked = RETRIEVAL.by_history(observation, 5 * SLATE).reshape(200, 5, SLATE)
    own = found.sources[:, :4] == GENERATOR
    assert 0.3 < own.mean() < 1
    assert (~own).any(axis=1).sum() > 20
    assert (np.diff(own.astype(int), axis=1) <= 0).all()  # accepted first
    for place in range(4):
        items = torch.from_numpy(found.items[:, place].astype(np.int64))
        with torch.inference_mode():
            judged = plausibility(GAN.discriminator, TABLE, views, items).numpy()
        passed = own[:, place]
        assert (judged[passed] >= threshold).all()
        np.testing.assert_allclose(found.plausibility[passed, place], judged[passed], rtol=1e-6)
        assert (found.plausibility[~passed, place] == 0.5).all()
        assert (found.sources[~passed, place] == SIMILARITY).all()
        np.testing.assert_array_equal(found.items[~passed, place], ranked[~passed, place + 1])
    assert found.accepted is not None
    accepted = found.accepted * 200 * 6  # of 6 sequences for 4 places
    assert accepted == pytest.approx(round(accepted), abs=1e-6)
    assert own.sum() <= round(accepted)


@pytest.mark.parametrize("n_items", [60, 200])
def test_candidates_do_not_depend_on_the_batch(n_items: int) -> None:
    observation = random_waiting(60, n_items)
    source = _source(_median(), retrieval=random_retrieval(n_items, twins=10))
    together = source.candidates(observation)
    order = np.random.default_rng(1).permutation(60)
    for rows in (order, order[:7], *np.arange(30)[:, None]):
        found = source.candidates(observation.take(rows))
        np.testing.assert_array_equal(found.items, together.items[rows])
        np.testing.assert_array_equal(found.sources, together.sources[rows])
        np.testing.assert_array_equal(found.plausibility, together.plausibility[rows])


def test_what_is_written_changes_with_seed_and_step_and_not_with_the_clock() -> None:
    observation, source = random_waiting(60, 60), _source(0.0)
    first = source.candidates(observation).items[:, :4]
    np.testing.assert_array_equal(source.candidates(observation).items[:, :4], first)
    for other in (replace(observation, seeds=observation.seeds + 1), replace(observation, steps=observation.steps + 1)):
        assert (source.candidates(other).items[:, :4] != first).any(axis=2).mean() > 0.5


def test_seen_items_come_last_in_a_small_catalogue() -> None:
    """24 items, of which 18 are seen: written pages of 4 are of the other 6, pages of 8 hold all of them."""
    observation = waiting(np.tile(np.arange(18, dtype=np.int32), (50, 1)))
    retrieval = random_retrieval(24)
    left = [unseen(observation, row, 24) for row in range(50)]
    for row, pages in enumerate(_source(0.0, retrieval=retrieval).candidates(observation).items[:, :4].tolist()):
        assert all(set(page) <= left[row] for page in pages)
    wide = GeneratedCandidates(_gan(0.0), retrieval, 8)
    for row, pages in enumerate(wide.candidates(observation).items[:, :4].tolist()):
        assert all(set(page) >= left[row] for page in pages)


@pytest.mark.parametrize(("windows", "step", "sequences"), [(3, 2, 2), (6, 1, 1), (2, 4, 3)])
def test_windows_are_cut_from_one_sequence(windows: int, step: int, sequences: int) -> None:
    """4 places ask for 6 windows; the first 4 are offered, and overlap as they should."""
    observation = random_waiting(30, 60)
    source = GeneratedCandidates(_gan(0.0), RETRIEVAL, SLATE, windows=windows, window_step=step)
    written = source.sequences(observation).numpy()
    assert written.shape == (30, sequences, SLATE + (windows - 1) * step)
    offered = source.candidates(observation).items[:, :4]
    for place in range(4):
        sequence, window = divmod(place, windows)
        expected = written[:, sequence, window * step : window * step + SLATE]
        np.testing.assert_array_equal(offered[:, place], expected)


def test_windows_are_as_many_as_the_catalogue_has_items_for() -> None:
    source = GeneratedCandidates(_gan(0.0), random_retrieval(9), SLATE, windows=5, window_step=2)
    assert source.sequences(random_waiting(3, 9, length=5, capacity=3)).shape == (
        3,
        2,
        8,
    )  # 9 items: at most 3 windows of 4


def test_renewed_networks_are_copies() -> None:
    observation, source = random_waiting(20, 60), _source(0.0)
    first = source.candidates(observation)
    for parameter in source.gan.generator.parameters():
        parameter.data.mul_(3)
    np.testing.assert_array_equal(source.candidates(observation).items, first.items)  # decides with what it was given
    source.renew(source.gan)
    assert (source.candidates(observation).items[:, :4] != first.items[:, :4]).any(axis=2).mean() > 0.5
    np.testing.assert_array_equal(source.candidates(observation).items[:, 4:], first.items[:, 4:])
