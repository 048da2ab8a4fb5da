"""From scores of flows to anomalies of hosts, and from all findings to the alerts of a day."""


import numpy as np
import pandas as pd

from network_anomalies.detection.columns import encode_events
from network_anomalies.detection.model import Model, group_conversations

MOST_ALERTS = 50
_NATS_PER_DOUBLING = 2.0
_WORDS = {
    "source": "an unfamiliar source",
    "destination": "an unfamiliar destination",
    "protocol": "a protocol unusual for it",
    "size": "sizes unusual for it",
    "pace": "an unusual pace",
    "spread": "unusually many flows or partners",
    "scan": "the same size sent to unusually many",
    "shape": "unusual bytes or durations",
}


def flag_conversations(events: pd.DataFrame, scores: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Return the conversation-hours of a slice that reach the model's alert score.

    Args:
        events: whole hours of events.
        scores: what ``score`` returned for them.
        model: the model that scored them.

    Returns:
        Frame with ``src_ip``, ``dst_ip``, ``protocol`` (categories), ``hour``, ``flows``, ``first`` and ``last``
        (microseconds since 1970), ``score``, ``excess`` over the alert score, and the strongest ``facet``.
    """
    coded = encode_events(events)
    high = scores["score"].to_numpy() >= model.alert_score
    talk = group_conversations(coded)
    rows = talk.first[high[talk.first]]
    last = np.zeros(len(talk), dtype=np.int64)
    np.maximum.at(last, talk.codes, coded.micros)
    first = np.full(len(talk), np.iinfo(np.int64).max)
    np.minimum.at(first, talk.codes, coded.micros)
    groups = talk.codes[rows]
    return pd.DataFrame(
        {
            "src_ip": pd.Categorical.from_codes(coded.source[rows], coded.sources),
            "dst_ip": pd.Categorical.from_codes(coded.destination[rows], coded.destinations),
            "protocol": pd.Categorical.from_codes(coded.protocol[rows], coded.protocols),
            "hour": coded.hour[rows],
            "flows": talk.sizes[groups],
            "first": first[groups],
            "last": last[groups],
            "score": scores["score"].to_numpy()[rows],
            "excess": scores["score"].to_numpy()[rows] - model.alert_score,
            "facet": scores["facet_1"].astype("str").to_numpy()[rows],
        }
    )
