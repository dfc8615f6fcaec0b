"""The compiled discriminator is torch's, window by window."""

import numpy as np
import pytest
import torch

from tests.generation.judged import plausibility
from tests.generation.waiting import random_retrieval, random_waiting
from zsr_sim.generation.gan import item_table, pooled_views
from zsr_sim.generation.judging import Judge, judge_all
from zsr_sim.generation.networks import Discriminator

D, USERS, N_ITEMS = 20, 40, 60
TABLE = item_table(random_retrieval(N_ITEMS, D))


@pytest.mark.parametrize(("each", "windows", "step", "slate", "hidden"), [(5, 1, 5, 4, 48), (2, 3, 2, 5, 12)])
def test_it_judges_as_torch_does(each: int, windows: int, step: int, slate: int, hidden: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        discriminator = Discriminator(D, hidden).eval()
        for parameter in discriminator.parameters():
            parameter.data *= 3  # opinions: plausibilities far from 1/2
    length = slate + (windows - 1) * step
    rng = np.random.default_rng(1)
    written = rng.permuted(np.tile(np.arange(N_ITEMS), (USERS, each, 1)), axis=2)[:, :, :length].astype(np.int64)
    views = pooled_views(random_waiting(USERS, N_ITEMS).histories, TABLE)
    found = np.empty((USERS, each * windows), dtype=np.float32)
    judge_all(Judge.of(discriminator), TABLE.vectors.numpy(), views.numpy(), written, slate, step, found)
    pages = torch.from_numpy(written).unfold(2, slate, step).flatten(1, 2)  # (n, k, slate)
    with torch.inference_mode():
        expected = plausibility(
            discriminator, TABLE, views.repeat_interleave(each * windows, dim=0), pages.flatten(0, 1)
        )
    assert expected.std() > 0.05
    np.testing.assert_allclose(found.ravel(), expected, rtol=0, atol=1e-5)
