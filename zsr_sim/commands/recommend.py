"""The work behind `zsr-sim recommend`: the best items for given histories, also of people and items nobody has met."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from zsr_sim.agents.protocol import AgentError, CheckedAgent, Explaining, Scoring
from zsr_sim.catalogue import Catalogue
from zsr_sim.commands.job import Setup
from zsr_sim.commands.rankers import find_ranker
from zsr_sim.config import MADE_UP, with_users
from zsr_sim.console import Phases, Screen
from zsr_sim.datasets.histories import NOBODY, Histories, read_candidates, read_histories, read_profiles
from zsr_sim.datasets.tables import SUFFIXES
from zsr_sim.encoders.cache import VectorCache, encode_texts
from zsr_sim.encoders.text import load_encoder
from zsr_sim.envs.observation import Observation
from zsr_sim.envs.population import HISTORY_LENGTH
from zsr_sim.errors import InputError
from zsr_sim.evaluation.next_item import best_items, block_rows, item_scores
from zsr_sim.experiment import Scene, make_scene
from zsr_sim.generation.retrieval import Retrieval
from zsr_sim.interactions import id_keys
from zsr_sim.runs import require_file, write_whole

TOLD = 3  # history items that are named for a recommendation
_NO_REASON = {
    "history": "nothing in the history spoke for it",
    "profile": "because of the profile",
    "nothing": "as for anybody new: neither a known item nor a profile",
}


@dataclass(frozen=True)
class Request(Setup):
    """What a person asked for. k: items for each user, fewer where there are no more that are new to the user."""

    data: str
    agent: str
    histories: Path | None
    out: Path
    k: int = 20
    keep_seen: bool = False
    candidates: Path | None = None
    profiles: Path | None = None
    explain: bool = False


@dataclass(frozen=True)
class Recommended:
    """The best items of some users: items int32 (n, k), best first, -1 for none; scores float32 (n, k).

    shares: float64 (n, k, length), beside the histories: what spoke for each item; None where nobody asked.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    shares: NDArray[np.float64] | None


def recommend(request: Request, screen: Screen) -> dict[str, Any]:
    """Write the file of recommendations, whole or not at all; returns what was done."""
    suffix = _suffix(request)
    settings = request.settings()
    ranker = find_ranker(request.agent)
    if ranker.in_the_loop and request.candidates is not None:
        raise InputError(
            f"--candidates: {ranker.label} is trained in the loop, among the items of {request.data}: zsr-sim train "
            f"--agent {ranker.label} --out runs/NAME first, then name that run folder"
        )
    with Phases(screen) as phases:
        # Who is not trained in the loop needs no users, so none are fitted.
        world = settings.world if ranker.in_the_loop else with_users(settings.world, MADE_UP)
        scene = make_scene(request.data, world, request.encoder, phases.encoding)
        histories, texts = _people(request, scene)
        scene, allowed = _scene_of_candidates(_whole_log(scene), request)
        scene = scene.reading(settings.history)
        agent = ranker.build(
            scene, settings, request.seed, lambda name, done, total, _: phases.show(name, done, total, "")
        )
    if request.explain and not isinstance(agent, Explaining):
        raise InputError(
            f"--explain: {agent.name} cannot say which items spoke for another; similarity, bayes and hybrid can"
        )
    for note in histories.notes:
        screen.line(note)
    if scene.dataset.interactions is None:
        screen.line(f"{scene.dataset.catalogue.name} has no log: what counts as popular is made up")
    profiles = _profiles(scene, histories, texts)
    parts = _ranked(agent, histories, profiles, allowed, request)
    table = _table(parts, histories, scene.dataset.catalogue)
    write_whole(request.out, _content(table, suffix, request.out.suffix == ".gz"))
    explained = _explanations(parts, histories, profiles, scene.dataset.catalogue) if request.explain else []
    for entry in explained:
        screen.line(_words(entry, scene.dataset.catalogue))
    left = len(histories) - table["user_id"].nunique()
    if left:
        why = "they have had every candidate" if isinstance(agent, Scoring) else "no candidate is on its pages for them"
        screen.line(f"{left:,} of {len(histories):,} users get nothing from {agent.name}: {why}")
    screen.line(f"{len(table):,} recommendations for {len(histories):,} users: {request.out}")
    return {
        "agent": agent.name,
        "out": str(request.out),
        "users": len(histories),
        "recommendations": len(table),
        "candidates": int(allowed.sum()),
        "unknown_interactions": histories.unknown,
        "users_without_known_items": histories.strangers,
        "users_without_recommendations": left,
        "users_known_by_profile": int(((np.diff(histories.starts) == 0) & profiles.any(axis=1)).sum()),
    } | ({"explanations": explained} if request.explain else {})


def _people(request: Request, scene: Scene) -> tuple[Histories, dict[str, str]]:
    """Whom to recommend to, and what is known of some of them as text: the profiles that were given, and the data's."""
    if request.histories is None and request.profiles is None:
        raise InputError("recommend: for whom? name --histories, --profiles, or both")
    known = {} if request.profiles is None else read_profiles(request.profiles)
    histories = NOBODY if request.histories is None else read_histories(request.histories, scene.dataset.catalogue)
    return histories.with_users(known), (scene.dataset.profiles or {}) | known


def _profiles(scene: Scene, histories: Histories, texts: dict[str, str]) -> NDArray[np.float32]:
    """Where each user's profile lies in the item space, float32 (n, d); zeros for users without one."""
    rows = [row for row, name in enumerate(histories.user_ids) if texts.get(name, "").strip()]
    profiles = np.zeros((len(histories), scene.vectors.shape[1]), dtype=np.float32)
    if rows:
        profiles[rows] = scene.place([texts[histories.user_ids[row]] for row in rows])
    return profiles


def _suffix(request: Request) -> str:
    """How the file is written; raises InputError for a name that does not say, or one of the inputs."""
    name = request.out.name.removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in SUFFIXES or (suffix == ".parquet" and name != request.out.name):
        raise InputError(f"--out {request.out}: expected a name that ends in .csv, .jsonl (each also .gz) or .parquet")
    for given in (request.histories, request.candidates, request.profiles):
        if given is not None and given.exists() and request.out.exists() and given.samefile(request.out):
            raise InputError(f"--out {request.out} is a file that is read; choose another name")
    require_file(request.out)
    return suffix


def _whole_log(scene: Scene) -> Scene:
    """The scene with everybody's log to learn from: nobody is kept back for a comparison here."""
    log = scene.dataset.interactions
    if log is None:
        return scene
    return scene.learning_from(log)


def _scene_of_candidates(scene: Scene, request: Request) -> tuple[Scene, NDArray[np.bool_]]:
    """The scene, with the new items that the candidates bring, and what may be recommended, bool (n_items,)."""
    n = len(scene.dataset.catalogue)
    if request.candidates is None:
        return scene, np.ones(n, dtype=np.bool_)
    rows, new = read_candidates(request.candidates, scene.dataset.catalogue)
    if new is not None:
        scene = _with_items(scene, new, request.encoder)
    allowed = np.zeros(len(scene.dataset.catalogue), dtype=np.bool_)
    allowed[rows] = True
    return scene, allowed


def _with_items(scene: Scene, new: Catalogue, encoder: str | None) -> Scene:
    """The scene with more items, which nobody has consumed; its users and their world stay as they are."""
    old = scene.dataset.catalogue
    joined = Catalogue(
        old.name, old.item_ids + new.item_ids, old.texts + new.texts, old.titles + new.titles,
        pd.concat([old.columns, new.columns], ignore_index=True),
    )  # fmt: skip
    more, _ = encode_texts(new.texts, load_encoder(encoder), VectorCache())
    text_vectors = np.concatenate([scene.text_vectors, more])
    vectors = scene.space.project(text_vectors)
    popularity = np.concatenate([scene.retrieval.popularity, np.zeros(len(new), dtype=np.float32)])
    return replace(
        scene, dataset=replace(scene.dataset, catalogue=joined), text_vectors=text_vectors, vectors=vectors,
        retrieval=Retrieval(vectors, popularity),
    )  # fmt: skip


def _ranked(
    agent: CheckedAgent, histories: Histories, profiles: NDArray[np.float32], allowed: NDArray[np.bool_],
    request: Request,
) -> list[Recommended]:  # fmt: skip
    """The best items for everybody; an agent that fails is told with the id that a person knows the user by."""
    try:
        return list(_blocks(agent, histories, profiles, allowed, request))
    except AgentError as error:
        keys = id_keys(histories.user_ids).tolist()
        raise error.known_as(dict(zip(keys, histories.user_ids, strict=True))) from error


def _blocks(
    agent: CheckedAgent, histories: Histories, profiles: NDArray[np.float32], allowed: NDArray[np.bool_],
    request: Request,
) -> Iterator[Recommended]:  # fmt: skip
    """The best items, so many users at once that their scores fit into memory."""
    whole = Observation.of_histories(histories.windows(HISTORY_LENGTH), request.seed)
    whole = replace(
        whole, users=id_keys(histories.user_ids), profiles=profiles
    )  # luck that does not depend on who else is in the file
    step = block_rows(len(allowed))
    for start in range(0, len(histories), step):
        observation = whole.take(slice(start, start + step))
        eligible = np.tile(allowed, (len(observation), 1))
        if not request.keep_seen:
            for row in range(len(observation)):
                eligible[row, histories.seen(start + row)] = False
        scores = item_scores(agent, observation, partial(_enough, eligible, request.k))  # (rows, n_items)
        if not isinstance(agent, Scoring):
            eligible &= scores > 0  # others were never on any of its pages
        scores[~eligible] = -np.inf
        items = best_items(scores, request.k)
        best = np.take_along_axis(scores, np.maximum(items, 0).astype(np.int64), axis=1)
        yield Recommended(items, best, _shares(agent, observation, items) if request.explain else None)


def _enough(eligible: NDArray[np.bool_], k: int, scores: NDArray[np.float32]) -> bool:
    """Whether the pages so far hold k items for everybody, or all that there are for who has fewer."""
    found = ((scores > 0) & eligible).sum(axis=1)
    return bool((found >= np.minimum(eligible.sum(axis=1), k)).all())


def _shares(agent: CheckedAgent, observation: Observation, items: NDArray[np.int32]) -> NDArray[np.float64]:
    assert isinstance(agent, Explaining)  # `recommend` has refused others
    columns = [agent.explain(observation, np.maximum(column, 0)) for column in items.T]
    return np.stack(columns, axis=1)


def _table(parts: Sequence[Recommended], histories: Histories, catalogue: Catalogue) -> pd.DataFrame:
    items = np.concatenate([part.items for part in parts])
    users, ranks = np.nonzero(items >= 0)
    return pd.DataFrame(
        {
            "user_id": pd.array(np.array(histories.user_ids, dtype=object)[users], dtype="str"),
            "item_id": pd.array(np.array(catalogue.item_ids, dtype=object)[items[users, ranks]], dtype="str"),
            "rank": ranks + 1,
            "score": np.concatenate([part.scores for part in parts])[users, ranks],
        }
    )


def _content(table: pd.DataFrame, suffix: str, zipped: bool) -> bytes:
    if suffix == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        return buffer.getvalue()
    if suffix == ".csv":
        text = table.to_csv(index=False, lineterminator="\n")
    else:
        text = table.to_json(orient="records", lines=True, force_ascii=False, double_precision=8)
    return gzip.compress(text.encode(), mtime=0) if zipped else text.encode()


def _explanations(
    parts: Sequence[Recommended], histories: Histories, profiles: NDArray[np.float32], catalogue: Catalogue
) -> list[dict[str, Any]]:
    """For every recommendation the history items that spoke for it most, ready for JSON.

    known_by: what the user is known by, "history", "profile" or "nothing".
    """
    known_by = np.where(np.diff(histories.starts) > 0, "history", np.where(profiles.any(axis=1), "profile", "nothing"))
    windows = histories.windows(HISTORY_LENGTH)
    entries, user = [], 0
    for part in parts:
        assert part.shares is not None
        for items, shares in zip(part.items, part.shares, strict=True):
            distinct, places = np.unique(windows[user], return_inverse=True)  # consumed twice, it speaks once
            for rank, item in enumerate(items[items >= 0]):
                total = np.bincount(places, shares[rank])
                spoke = [j for j in np.argsort(-total, kind="stable")[:TOLD] if total[j] > 0]
                entries.append(
                    {
                        "user_id": histories.user_ids[user],
                        "item_id": catalogue.item_ids[item],
                        "rank": rank + 1,
                        "known_by": str(known_by[user]),
                        "because": [
                            {"item_id": catalogue.item_ids[distinct[j]], "share": float(total[j])} for j in spoke
                        ],
                    }
                )
            user += 1
    return entries


def _words(entry: dict[str, Any], catalogue: Catalogue) -> str:
    """One recommendation in words: "u7, 1st: Heat (1995), because of Ronin (1998) 41 %, Casino (1995) 30 %"."""
    because = ", ".join(
        f"{_title(catalogue, reason['item_id'])} {100 * reason['share']:.0f} %" for reason in entry["because"]
    )
    told = f"because of {because}" if because else _NO_REASON[entry["known_by"]]
    return f"{_printable(entry['user_id'])}, {entry['rank']}: {_title(catalogue, entry['item_id'])}, {told}"


def _title(catalogue: Catalogue, item_id: str) -> str:
    return _printable(catalogue.titles[catalogue.index[item_id]])


def _printable(text: str) -> str:
    """Text from data on one line, without characters that move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
