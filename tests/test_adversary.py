"""The ablation of the adversarial phase."""

from pathlib import Path

from tests.command_line import at
from zsr_sim.adversary import ablation
from zsr_sim.config import load_settings


def test_no_adversarial_steps_make_no_difference(tmp_path: Path) -> None:
    with at(tmp_path):
        settings = load_settings(None, ["generator.likelihood_steps=10", "generator.adversarial_steps=0"])
        rows = ablation("films", settings, seed=0, users=30)
    assert list(rows) == ["hr@10", "ndcg@10", "frechet", "diversity", "return", "written"]
    for row in rows.values():
        assert row.likelihood.mean == row.adversarial.mean > 0
        assert row.difference.ci95 == (0, 0)
