"""A wind tunnel for recommendation strategies: simulated users, strategies trained among them, and a verdict.

Item texts (and interaction logs, where there are any) become vectors of a language model; simulated users read slates
of items, click, tire, change and leave; strategies learn in that closed loop; a paired comparison says whether one of
them is better than another, and by how much. Start with ``zsr-sim demo``.
"""

from zsr_sim.envs.registration import register

__version__ = "0.1.0"

register()
