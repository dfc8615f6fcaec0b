"""Peers that know items by their ids: by hand, and on logs with a known law."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from zsr_sim.agents import sequential
from zsr_sim.agents.neighbours import ItemNeighbours, consumed_together
from zsr_sim.agents.peers import PEERS, PutAside
from zsr_sim.agents.protocol import Scoring
from zsr_sim.agents.sequential import LENGTH, SequenceModel, windows
from zsr_sim.envs.observation import Observation
from zsr_sim.errors import InputError
from zsr_sim.generation import softmax
from zsr_sim.generation.softmax import cross_entropy
from zsr_sim.interactions import Interactions


def log_of(*histories: list[int]) -> Interactions:
    rows = [(f"u{user:03d}", item, time) for user, items in enumerate(histories) for time, item in enumerate(items)]
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_columns(users, items, times)


def seeing(*histories: list[int]) -> Observation:
    length = max(map(len, histories))
    return Observation.of_histories(np.array([[-1] * (length - len(h)) + h for h in histories], dtype=np.int32))


def tell_nobody(phase: str, done: int, total: int, figures: dict[str, float]) -> None:
    pass


CIRCLE = 12  # items, each followed by the next; a log of this law leaves no doubt


def circles(users: int, length: int = 8) -> Interactions:
    return log_of(*([(user + step) % CIRCLE for step in range(length)] for user in range(users)))


def test_item_neighbours_by_hand() -> None:
    log = log_of([0, 1], [0, 1, 2], [2, 0], [1, 1])
    together = consumed_together(log, 4)
    assert together.toarray().tolist() == [[3, 2, 2, 0], [2, 3, 1, 0], [2, 1, 2, 0], [0, 0, 0, 0]]
    agent = ItemNeighbours(together, 2, decay=0.5)
    scores = agent.scores(seeing([0, 1], [1], []))
    a, b, c = 2 / 3, 2 / np.sqrt(6), 1 / np.sqrt(6)  # 0 and 1, 0 and 2, 1 and 2
    expected = [[a, 0.5 * a, 0.5 * b + c, 0], [a, 0, c, 0], [0, 0, 0, 0]]
    assert scores == pytest.approx(np.array(expected), rel=1e-6)
    assert agent.act(seeing([0, 1])).slates.tolist() == [[2, 3]]
    shrunk = replace(agent, shrinkage=1.0).scores(seeing([1]))
    assert shrunk[0] == pytest.approx([2 / 4, 0, 1 / (np.sqrt(6) + 1), 0])


def test_the_last_item_is_put_aside_to_tune_on() -> None:
    aside = PutAside.of(log_of([3, 1, 2], [5], [4, 0]), seed=0)
    assert aside.targets.tolist() == [2, 0]
    assert aside.histories[:, -3:].tolist() == [[-1, 3, 1], [-1, -1, 4]]
    assert aside.log.items.tolist() == [3, 1, 5, 4]
    with pytest.raises(InputError, match="1 users have two interactions"):
        PutAside.of(log_of([1, 2], [0]), seed=0)


def test_what_is_tuned_on_is_judged_by_hand() -> None:
    class Fixed:
        def scores(self, observation: Observation) -> NDArray[np.float32]:
            return np.tile(np.array([9, 5, 5, 1, 7, 8], dtype=np.float32), (len(observation), 1))

    aside = PutAside.of(log_of([0, 5, 2], [4, 5]), seed=0)
    # 2 ties with 1, behind 4 (0 and 5 are known): third. 5 stands behind 0: second.
    assert aside.ndcg(Fixed(), 6) == pytest.approx((1 / 2 + 1 / np.log2(3)) / 2)


def test_windows_cover_every_transition() -> None:
    log = log_of(list(range(5)), [7], list(range(10, 10 + 3 * LENGTH)))
    rows = windows(log, np.random.default_rng(0))
    assert rows.shape[1] == LENGTH + 1
    assert rows[0].tolist() == [-1] * (LENGTH - 4) + [0, 1, 2, 3, 4]
    both = (rows[:, 1:] >= 0) & (rows[:, :-1] >= 0)
    pairs = set(zip(rows[:, :-1][both].tolist(), rows[:, 1:][both].tolist(), strict=True))
    assert pairs == {(i, i + 1) for i in [*range(4), *range(10, 9 + 3 * LENGTH)]}
    assert windows(log, np.random.default_rng(1)).tolist() != rows.tolist()


def test_the_cross_entropy_and_its_gradients_are_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax, "_CHUNK", 3)
    generator = torch.Generator().manual_seed(0)
    states, table = torch.randn(10, 4, generator=generator), torch.randn(7, 4, generator=generator)
    targets = torch.randint(0, 7, (10,), generator=generator)
    found: list[torch.Tensor | None] = []
    expected: list[torch.Tensor | None] = []
    for results, mine in ((found, True), (expected, False)):
        s, t = states.clone().requires_grad_(), table.clone().requires_grad_()
        loss = cross_entropy(s, t, targets) if mine else torch.nn.functional.cross_entropy(s @ t.T, targets)
        (2 * loss).backward()
        results += [loss, s.grad, t.grad]
    for mine_, torchs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine_, torchs)


@pytest.mark.parametrize("kind", ["sasrec", "gru4rec"])
def test_padding_and_what_comes_later_change_nothing(kind: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SequenceModel(kind, 9, 0.5).eval()
    whole = model(torch.tensor([[-1, 1, 2, 3]]))
    assert torch.isfinite(whole).all()
    torch.testing.assert_close(model(torch.tensor([[-1, 1, 2, 8]]))[:, :3], whole[:, :3])  # no look ahead
    if kind == "sasrec":  # a recurrent network reads padding as zeros, as in training
        torch.testing.assert_close(model(torch.tensor([[-1, -1, 1, 2, 3]]))[:, -3:], whole[:, -3:])


@pytest.mark.parametrize("name", list(PEERS))
def test_a_peer_learns_what_follows_what(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "MOST_EPOCHS", 25)
    monkeypatch.setattr(sequential, "LEARNING_RATE", 1e-2)
    log = circles(120)
    agent = PEERS[name].learn(log, CIRCLE, 2, 0, tell_nobody)
    assert isinstance(agent, Scoring)
    histories = seeing(*([(start + step) % CIRCLE for step in range(4)] for start in range(CIRCLE)))
    scores = agent.scores(histories)
    assert scores.shape == (CIRCLE, CIRCLE)
    following = [(start + 4) % CIRCLE for start in range(CIRCLE)]
    assert agent.act(histories).slates[:, 0].tolist() == following


def test_training_goes_on_while_it_helps_and_a_little_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = iter([0.1, 0.3, 0.2, 0.3, 0.1, 0.2, 0.9])
    told: list[int] = []
    found = sequential.tune(
        "gru4rec", circles(10), CIRCLE, 0.1, 0, lambda _: next(judged), lambda epoch, *_: told.append(epoch)
    )
    assert found == (2, 0.3)
    assert told == [1, 2, 3, 4, 5, 6]  # PATIENCE epochs after the second


def test_the_same_seed_gives_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "MOST_EPOCHS", 2)
    before = torch.get_rng_state()
    found = [PEERS["gru4rec"].learn(circles(30), CIRCLE, 2, seed, tell_nobody) for seed in (3, 3, 4)]
    assert (torch.get_rng_state() == before).all()
    first, again, other = (a.scores(seeing([1, 2])) for a in found if isinstance(a, Scoring))
    assert (first == again).all()
    assert (first != other).any()
