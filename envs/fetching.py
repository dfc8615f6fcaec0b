"""What a user's page reads and writes, brought to the cache while the user before is served."""

from __future__ import annotations

from zsr_sim.compiled import fetch, inlined
from zsr_sim.envs.tables import ItemColumns, PageColumns, UserColumns

_LINE = 16  # floats in a line of the cache


@inlined
def fetch_user(i: int, following: int, items: ItemColumns, users: UserColumns, page: PageColumns) -> None:
    """Have user i and what is on the page brought to the cache: waiting for them takes as long as all laws together.

    `following`: the user after that, of whom the page alone is fetched.

    None of it can be left out: without the tastes alone a step takes a quarter longer, without the short columns an
    eighth.
    """
    for j in range(page.slates.shape[1]):
        item = max(page.slates[i, j], 0)
        fetch(items.facts, (item, 0))
        for column in range(0, items.vectors.shape[1], _LINE):
            fetch(items.vectors, (item, column))
    for interest in range(users.tastes.shape[1]):
        for column in range(0, users.tastes.shape[2], _LINE):
            fetch(users.tastes, (i, interest, column))
    for column in range(0, users.histories.shape[1], _LINE):
        fetch(users.histories, (i, column))
    for column in range(0, users.traits.shape[1], _LINE):
        fetch(users.traits, (i, column))
    place, shown = users.steps[i] % users.shown.shape[1], users.shown.shape[2]
    fetch(users.shown, (i, place, 0))
    fetch(users.boredom, (i, 0))
    # These rows begin anywhere in a line, so they may end in one more.
    fetch(users.histories, (i, users.histories.shape[1] - 1))
    fetch(users.traits, (i, users.traits.shape[1] - 1))
    fetch(users.shown, (i, place, shown - 1))
    fetch(users.boredom, (i, users.boredom.shape[1] - 1))
    fetch(users.pending, (i, 0))
    fetch(users.seeds, (i,))
    fetch(users.ids, (i,))
    fetch(users.steps, (i,))
    fetch(users.satisfaction, (i,))
    fetch(users.patience, (i,))
    fetch(users.sessions, (i,))
    fetch(users.moods, (i, 0))
    fetch(page.clicks, (i, 0))
    fetch(page.likes, (i, 0))
    fetch(page.purchases, (i, 0))
    fetch(page.skips, (i, 0))
    fetch(page.unavailable, (i, 0))
    fetch(page.dwell, (i, 0))
    fetch(page.probabilities, (i, 0))
    fetch(page.amounts, (i, 0))
    fetch(page.slates, (following, 0))  # this function reads it when that user is next
