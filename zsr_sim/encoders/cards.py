"""What was found of a model when it was last read: so nobody reads it again whose vectors are all in the cache."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "ZSR_SIM_CACHE"
_SUFFIX = ".card.json"


@dataclass(frozen=True)
class Card:
    """How many tokens a model reads, and the length of its vectors, d_text."""

    max_length: int
    dimensions: int


def cache_folder() -> Path:
    """Where vectors and cards are kept: the environment variable ZSR_SIM_CACHE, else the user's cache folder."""
    return Path(os.environ.get(FOLDER_VARIABLE) or platformdirs.user_cache_dir("zsr-sim"))


def read_card(content: str) -> Card | None:
    """The card of a model with these files and this recipe (SHA-256, hex); None where there is none that is whole."""
    try:
        card = Card(**json.loads((cache_folder() / f"{content}{_SUFFIX}").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    sizes = (card.max_length, card.dimensions)
    return card if all(type(size) is int and size > 0 for size in sizes) else None


def write_card(content: str, card: Card) -> None:
    """Keep what was found of a model; a folder that cannot be written costs reading it again, not the run."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix="unfinished-", delete=False) as aside:
            json.dump(asdict(card), aside)
        os.replace(aside.name, folder / f"{content}{_SUFFIX}")
    except OSError as error:
        logger.debug("card not kept in %s: %s", folder, error)  # the vector cache says the same, and aloud
