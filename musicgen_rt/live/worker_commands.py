"""From commands to actions: everything is checked, read and encoded here, before its moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from musicgen_rt.contract.command import Command
from musicgen_rt.errors import ParameterError
from musicgen_rt.live import take
from musicgen_rt.live.action import Action, Run
from musicgen_rt.live.asked_tempo import LONGEST_WORDS, is_told_beats, with_words
from musicgen_rt.live.controls import (
    Edit,
    attribute_edits,
    checked_whole,
    clear_edits,
    parameter_edits,
    prompt_edits,
    require_melody_ability,
    weight_edits,
)
from musicgen_rt.live.infill import require_infill
from musicgen_rt.live.melody_plan import read_melody
from musicgen_rt.live.melody_state import MelodyState
from musicgen_rt.live.song_edits import recall_edits
from musicgen_rt.live.song_file import read_song
from musicgen_rt.live.stage import Stage

MAX_BARS = 1024
# What a panic leaves as it is.
PROMPT_KEYS = ("prompt/", "weight/", "negative", "seed", "context_bars")
_SWITCH = {"on": True, "off": False, "free": None}

Builder = Callable[..., Run]


def prepare(command: Command, stage: Stage) -> Action:
    """The action of a command. Raises a MusicgenRTError that says what is wrong with it."""
    group = next((group for group in _GROUPS if command.name in group), None)
    if group is None:
        raise ParameterError(f"command {command.name!r}: this engine does not know it")
    try:
        run = group[command.name](stage, *command.args)
    except TypeError as error:
        raise ParameterError(f"{command.name} with {list(command.args)!r}: {error}") from error
    is_unheard = _UNHEARD.get(command.name, _always_heard)
    frame, sample = command.frame, command.sample
    if sample is not None and group is _CHANGES:
        frame = sample // stage.player.hop_samples
    return Action(
        command.name,
        run,
        command.id,
        frame,
        sample if group is _CHANGES else None,
        is_jump=group is _JUMPS,
        is_urgent=command.name == "gen/panic",
        is_unheard=lambda: is_unheard(stage),
    )


def _edits(stage: Stage, edits: list[Edit]) -> Run:
    return lambda frame: stage.player.apply(edits, frame)


# Prompts, parameters, attributes


def _prompt_set(stage: Stage, slot: int, text: str, weight: float, ramp_frames: int = 0) -> Run:
    edits = prompt_edits(slot, text, weight, ramp_frames)
    words = None if is_told_beats(stage.engine.model.config) else LONGEST_WORDS
    stage.engine.parts.conditions.check(with_words(text, words))
    return _edits(stage, edits)


def _prompt_weight(stage: Stage, slot: int, weight: float, ramp_frames: int = 0) -> Run:
    return _edits(stage, weight_edits(slot, weight, ramp_frames))


def _prompt_clear(stage: Stage, slot: int) -> Run:
    return _edits(stage, clear_edits(slot))


def _prompt_negative(stage: Stage, text: str | None) -> Run:
    if text is not None:
        stage.engine.parts.conditions.check(text)
    return _edits(stage, [Edit("negative", text)])


def _param_set(stage: Stage, name: str, value: float) -> Run:
    return _edits(stage, parameter_edits(name, value, 0))


def _attr_set(stage: Stage, name: str, value: str) -> Run:
    if value not in _SWITCH:
        raise ParameterError(f"{name} is {value!r}: expected {', '.join(_SWITCH)}")
    return _edits(stage, attribute_edits(name, _SWITCH[value], stage.engine.model.config))


# Melody

MelodyTurn = Callable[[MelodyState, int], MelodyState]


def _melody(stage: Stage, turn: MelodyTurn) -> Run:
    """Change the melody's state by `turn`, which is told the stream's frame."""

    def run(frame: int) -> None:
        at = stage.player.stream_frame_of(frame)
        stage.melody.change(at, lambda state: turn(state, at))

    return run


def _heard_turn(stage: Stage, turn: Callable[[MelodyState, int, float], MelodyState]) -> Run:
    """As `_melody`, with what was heard when the command came: played notes belong there."""
    came_at = stage.player.heard_frame()

    def on_stream(state: MelodyState, frame: int) -> MelodyState:
        return turn(state, frame, stage.place_heard_at(came_at))

    return _melody(stage, on_stream)


def _melody_mode(stage: Stage, mode: str) -> Run:
    if mode != "off":
        require_melody_ability(stage.engine.model.config)
    return _melody(stage, lambda state, frame: state.with_mode(mode, frame, _timeline_of(stage)))


def _note_on(stage: Stage, pitch: int, velocity: int) -> Run:
    require_melody_ability(stage.engine.model.config)
    pitch = checked_whole("pitch", pitch, 0, 127)
    velocity = checked_whole("velocity", velocity, 1, 127)
    return _heard_turn(
        stage,
        lambda state, frame, heard: state.note_on(
            pitch, velocity, frame, heard, _timeline_of(stage)
        ),
    )


def _note_off(stage: Stage, pitch: int) -> Run:
    pitch = checked_whole("pitch", pitch, 0, 127)
    return _heard_turn(
        stage,
        lambda state, frame, heard: state.note_off(pitch, frame, heard, _timeline_of(stage)),
    )


def _loop_bars(stage: Stage, bars: int) -> Run:
    return _melody(stage, lambda state, _: state.with_loop_bars(bars))


def _melody_line(stage: Stage, line: str) -> Run:
    MelodyState().with_line(line)  # refused now, not at its moment
    return _melody(stage, lambda state, _: state.with_line(line))


def _melody_release(stage: Stage, release: str) -> Run:
    MelodyState().with_release(release)
    return _melody(stage, lambda state, _: state.with_release(release))


def _melody_file(stage: Stage, path: str) -> Run:
    require_melody_ability(stage.engine.model.config)
    # The line in force now: a file is read before its moment.
    melody = read_melody(Path(path), stage.melody.at(stage.player.stream_end).line)
    name = Path(path).name
    return _melody(
        stage, lambda state, frame: state.with_file(melody, frame, _timeline_of(stage), name)
    )


def _melody_clear(stage: Stage) -> Run:
    return _melody(stage, lambda state, _: state.cleared())


def _timeline_of(stage: Stage) -> Any:
    timeline = stage.engine.timeline
    assert timeline is not None
    return timeline


# Jumps


def _undo(stage: Stage, bars: int) -> Run:
    bars = checked_whole("bars", bars, 1, MAX_BARS)
    return lambda frame: stage.undo(bars, frame)


def _retry(stage: Stage, bars: int) -> Run:
    bars = checked_whole("bars", bars, 1, MAX_BARS)
    return lambda frame: stage.retry(bars, frame)


def _infill(stage: Stage, first_bar: int, last_bar: int, of_bars: int) -> Run:
    """Bars `first_bar` to `last_bar`, counted from 1 and both included."""
    require_infill(stage.engine.model.config)
    of_bars = checked_whole("bars", of_bars, 0, MAX_BARS)
    last = checked_whole("last", last_bar, 1, of_bars or MAX_BARS)
    bars = range(checked_whole("first", first_bar, 1, last) - 1, last)
    return lambda frame: {"frame": stage.infill(bars, of_bars, frame)}


def _freeze(stage: Stage, is_on: int, bars: int = 1) -> Run:
    bars = checked_whole("bars", bars, 1, MAX_BARS)
    if is_on:
        return lambda frame: stage.freeze(bars, frame)
    return stage.release


def _continue(stage: Stage, path: str) -> Run:
    session, stream_frame = stage.session_after_file(Path(path))
    return lambda frame: stage.begin_continued(session, stream_frame, frame)


def _bank_load(stage: Stage, path: str) -> Run:
    session, stream_frame, melody = stage.session_of(take.load(Path(path)))
    return lambda frame: stage.begin(session, stream_frame, frame, melody, takes_hands=True)


def _bank_recall(stage: Stage, path: str) -> Run:
    """The bank's bars in front of all windows from a frame on, the first of which begins there."""
    memory = take.memory(stage.engine, take.load(Path(path)), stage.identity)

    def run(frame: int) -> None:
        player = stage.player
        score = stage.engine.session.stream.score
        # At the frame itself another recall has its own.
        usual = score.target_at("context_bars", player.open_frame_of(frame + 1))
        here, next_frame = recall_edits(usual)
        player.apply([Edit("memory", memory), *here], frame)
        player.apply(list(next_frame), frame + 1)

    return run


def _song_load(stage: Stage, path: str) -> Run:
    song = read_song(Path(path)).song
    stage.song.check(song)
    # At once: what was sent right after it may name its sections.
    stage.song.load(song)
    return lambda _: {"sections": len(song.sections), "bars": song.bars}


def _song_section(stage: Stage, name: str | None = None) -> Run:
    stage.song.index(name)

    def run(frame: int) -> None:
        # Another song may have been loaded since.
        stage.song.begin(stage.song.index(name), stage.player.open_frame_of(frame))

    return run


def _song_stop(stage: Stage) -> Run:
    return lambda frame: stage.song.stop(stage.player.open_frame_of(frame))


def _bank_forget(stage: Stage) -> Run:
    return _edits(stage, [Edit("memory", None)])


def _reset(stage: Stage) -> Run:
    return lambda frame: stage.begin(stage.fresh_session(), 0, frame)


def _panic(stage: Stage) -> Run:
    def run(frame: int) -> None:
        stage.begin(stage.fresh_session(PROMPT_KEYS), 0, frame, MelodyState())

    return run


def _bank_save(stage: Stage, path: str) -> Run:
    def run(_: int) -> Mapping[str, Any]:
        kept = stage.take(stage.heard_bar())
        take.save(kept, Path(path))
        return {"detail": f"{kept.frames} frames"}

    return run


_CHANGES: Mapping[str, Builder] = {
    "prompt/set": _prompt_set,
    "prompt/weight": _prompt_weight,
    "prompt/clear": _prompt_clear,
    "prompt/negative": _prompt_negative,
    "param/set": _param_set,
    "attr/set": _attr_set,
    "melody/mode": _melody_mode,
    "melody/note_on": _note_on,
    "melody/note_off": _note_off,
    "melody/loop_bars": _loop_bars,
    "melody/line": _melody_line,
    "melody/release": _melody_release,
    "melody/file": _melody_file,
    "melody/clear": _melody_clear,
    "bank/save": _bank_save,
    "bank/recall": _bank_recall,
    "bank/forget": _bank_forget,
    "song/load": _song_load,
    "song/play": _song_section,
    "song/section": _song_section,
    "song/stop": _song_stop,
}
_JUMPS: Mapping[str, Builder] = {
    "gen/undo": _undo,
    "gen/retry": _retry,
    "gen/infill": _infill,
    "gen/freeze": _freeze,
    "gen/continue": _continue,
    "gen/panic": _panic,
    "bank/load": _bank_load,
    "transport/reset": _reset,
}
_GROUPS = (_CHANGES, _JUMPS)


def _always_heard(_: Stage) -> bool:
    return False


def _nobody_follows(stage: Stage) -> bool:
    player = stage.player
    return not stage.melody.is_listening_from(player.stream_frame_of(player.free_frame()))


_UNHEARD: Mapping[str, Callable[[Stage], bool]] = {
    "melody/note_on": _nobody_follows,
    "melody/note_off": _nobody_follows,
    "melody/loop_bars": lambda _: True,
    "bank/save": lambda _: True,
    "song/load": lambda _: True,
}
