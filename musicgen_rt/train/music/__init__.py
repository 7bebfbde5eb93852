"""Procedural music with exact ground truth: training data and test material without end."""

from musicgen_rt.train.music.caption import Caption, captions
from musicgen_rt.train.music.clip import Clip, generate_clip
from musicgen_rt.train.music.export import export
from musicgen_rt.train.music.frames import FrameLabels, frame_labels
from musicgen_rt.train.music.truth import Truth, truth_from_json

__all__ = [
    "Caption",
    "Clip",
    "FrameLabels",
    "Truth",
    "captions",
    "export",
    "frame_labels",
    "generate_clip",
    "truth_from_json",
]
