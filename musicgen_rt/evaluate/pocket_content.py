"""Which style a take is in and which parts play, as small classifiers hear it.

Statistics of the log-mel spectrogram and of the constant-Q spectrum, no tempo among them; for the
style also the onsets folded at the asked bar, since a style is known by its drums. Learned from
clips of the generator and their codec's version.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from musicgen_rt.evaluate.pocket_bars import Beats, fold
from musicgen_rt.evaluate.pocket_hearing import ONSET_EDGES, Array, Hearing, audible
from musicgen_rt.train.lm_records import ROLES

_RANGE_DB = 80.0
_PERCENTILES = (10, 50, 90)
_LONGEST_FOLD = (len(ONSET_EDGES) - 1) * 16


@dataclass(frozen=True)
class Content:
    """`style` as heard, and the chance 0-1 that each role plays."""

    style: str
    role_chances: dict[str, float]

    def plays(self, role: str) -> bool:
        """Whether a role is heard."""
        return self.role_chances[role] >= 0.5


class ContentJudge:
    """Classifiers of style and roles. Deterministic by their seed."""

    def __init__(self, seed: int) -> None:
        self._style = _classifier(1.0, seed)
        self._roles = {role: _classifier(3.0, seed) for role in ROLES}

    def fit(
        self, timbres: Array, rhythms: Array, styles: NDArray[np.str_], roles: NDArray[np.bool_]
    ) -> None:
        """Learns from rows of `timbre` and `rhythm`, styles [M] and roles [M, R]."""
        self._style.fit(np.hstack([timbres, rhythms]), styles)
        for index, classifier in enumerate(self._roles.values()):
            classifier.fit(timbres, roles[:, index])

    def content(self, hearing: Hearing, beats: Beats, meter: int) -> Content:
        """What a take is made of."""
        timbre_row = timbre(hearing)[None]
        both = np.hstack([timbre_row, rhythm(beats, meter)[None]])
        chances = {
            role: float(classifier.predict_proba(timbre_row)[0, 1])
            for role, classifier in self._roles.items()
        }
        return Content(str(self._style.predict(both)[0]), chances)


def timbre(hearing: Hearing) -> Array:
    """Levels, their spread and their rises, by band, relative to the take's own mean: [F]."""
    mel = audible(hearing.log_mel, _RANGE_DB)
    mel = mel - mel.mean()
    rises = np.maximum(np.diff(mel, axis=1), 0.0)
    notes = np.log1p(100.0 * hearing.cqt / (hearing.cqt.max() + 1e-9))
    parts = [
        mel.mean(axis=1),
        mel.std(axis=1),
        np.percentile(mel, _PERCENTILES, axis=1).ravel(),
        rises.mean(axis=1),
        rises.std(axis=1),
        np.percentile(rises, 95, axis=1),
        notes.mean(axis=1),
        notes.std(axis=1),
        np.log([rises.mean() + 1e-9]),
    ]
    return np.concatenate(parts)


def rhythm(beats: Beats, meter: int) -> Array:
    """The asked bar's onset profile, by band and sixteenth, then the metre: [81]."""
    features = fold(beats, meter, 0)
    profile = np.zeros(_LONGEST_FOLD)
    if features is not None:
        bands = len(ONSET_EDGES) - 1
        folded = features[: bands * 4 * meter].reshape(bands, -1)
        profile.reshape(bands, -1)[:, : folded.shape[1]] = folded[:, : _LONGEST_FOLD // bands]
    return np.append(profile, float(meter))


def _classifier(alpha: float, seed: int) -> MLPClassifier:
    return make_pipeline(
        StandardScaler(), MLPClassifier((64,), alpha=alpha, max_iter=400, random_state=seed)
    )
