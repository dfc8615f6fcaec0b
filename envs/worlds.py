"""Named worlds: each isolates one phenomenon, so that a strategy's gain or loss there has one reason."""

from typing import NamedTuple


class NamedWorld(NamedTuple):
    """What a world is for, and the settings that make it so (`WorldSettings`; all others keep their defaults)."""

    words: str
    settings: dict[str, float | str]


_STATIC: dict[str, float | str] = {
    "repeat_penalty": 0.0,
    "boredom": 0.0,
    "drift_rate": 0.0,
    "leave_bias": -30.0,
    "leave_bias_sd": 0.0,
    "leave_slope": 0.0,
}

WORLDS: dict[str, NamedWorld] = {
    "standard": NamedWorld("the default: boredom, taste drift, and users who leave when dissatisfied", {}),
    "static": NamedWorld("no page changes anything: the best next page is the best plan; a negative control", _STATIC),
    "drift": NamedWorld(
        "tastes follow what is clicked and flee what is passed over: a strategy shapes its users",
        _STATIC | {"drift_rate": 0.1, "aversion_rate": 0.01},
    ),
    "boredom": NamedWorld(
        "each click on a topic tires of it, and it recovers: variety pays later what it costs now",
        _STATIC | {"boredom": 1.5, "boredom_memory": 0.9},
    ),
    "clickbait": NamedWorld(
        "what draws clicks disappoints, and the disappointed leave: clicks today against visits tomorrow",
        _STATIC
        | {
            "appeal_weight": 1.0,
            "quality_correlation": -0.7,
            "quality_share": 1.0,
            "leave_bias": -1.0,
            "leave_slope": 8.0,
        },
    ),
    "retention": NamedWorld(
        "sessions end, and the satisfied come back sooner and more often: retention against clicks",
        _STATIC | {"leave_bias": -1.0, "leave_slope": 4.0, "return_rate": 0.1, "return_slope": 6.0},
    ),
    "catalogue-churn": NamedWorld(
        "items are released and expire, topics have seasons: what was best yesterday is gone",
        _STATIC | {"item_lifetime": 10, "season_weight": 0.5},
    ),
    "everything": NamedWorld(
        "all laws at once, and users who differ in all of them; for speed, and for strategies that claim to be robust",
        {
            "aversion_rate": 0.01,
            "appeal_weight": 1.0,
            "quality_correlation": 0.3,
            "quality_share": 0.5,
            "season_weight": 0.5,
            "item_lifetime": 40,
            "purchase_delay": 3.0,
            "patience": 10.0,
            "return_rate": 0.1,
            "leave_mood": 0.5,
            "return_mood": 0.5,
            "reward_like": 0.5,
            "reward_purchase": 5.0,
            "affinity_weight_sd": 0.2,
            "appeal_weight_sd": 0.3,
            "examination_decay_sd": 0.3,
            "drift_rate_sd": 0.3,
            "boredom_memory_sd": 0.3,
            "like_rate_sd": 0.5,
            "purchase_rate_sd": 0.5,
            "purchase_delay_sd": 0.3,
            "patience_sd": 0.3,
            "return_rate_sd": 0.3,
        },
    ),
}
