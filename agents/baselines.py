"""Strategies without learning: the same retrieval on every page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsr_sim.agents.distribution import PageDistribution, seen_items
from zsr_sim.encoders.history import pooled
from zsr_sim.envs.noise import Purpose, uniforms
