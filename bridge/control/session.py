"""The session: the one authority on what is to be played, when, and who is owed an answer.

It does no I/O and never waits: requests, messages of the child processes and ticks of time go in,
outcomes come out. Time and positions are handed in, so a test can make them whatever it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.clock.internal import built_in_sources
from bridge.clock.source import ClockSources
from bridge.control.child_state import EngineState, PlayoutState
from bridge.control.client import Client
from bridge.control.engine_messages import take_engine_message
from bridge.control.file_shelf import FileShelf
from bridge.control.handlers import HANDLERS
from bridge.control.held_notes import HeldNotes
from bridge.control.host_following import HostFollowing
from bridge.control.latency_meter import LatencyMeter
from bridge.control.outcome import Outcome
from bridge.control.owed import OwedReplies
from bridge.control.playout_messages import Recording, take_pcm, take_playout_message
from bridge.control.position import Position
from bridge.control.pulse import Pulse
from bridge.control.request import Request
from bridge.control.session_clock import SessionClock
from bridge.control.session_config import SessionConfig
from bridge.control.session_view import SessionView, view_of
from bridge.control.settlement import fail_child, tell_synced
from bridge.control.state import EngineCall, State
from bridge.control.turn import Turn
from bridge.refusal import Refusal
from musicgen_rt.contract.command import Command
from musicgen_rt.contract.timeline import Timeline

INPUT_SUFFIXES = (".mid", ".midi", ".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
SONG_SUFFIXES = (".toml",)
RECORDING_SUFFIXES = (".wav", ".flac")
BANK_SUFFIXES = (".safetensors",)
# Messages to the playout, with what they set.
_PLAYOUT_KEYS = {"gain": "gain_db", "mute": "is_muted", "gate": "is_open"}


class Session:
    """All of a session's state. [control]"""

    def __init__(self, config: SessionConfig, sources: ClockSources | None = None) -> None:
        self.config = config
        self.model = config.model
        self.state = State(config)
        timeline = Timeline.start(
            config.bpm, config.beats_per_bar, frame_rate_hz=config.frame_rate_hz
        )
        sources = built_in_sources() if sources is None else sources
        self.clock = SessionClock(timeline, sources, self.state["clock/source"])
        self.engine = EngineState()
        self.playout = PlayoutState()
        self.owed = OwedReplies()
        self.notes = HeldNotes()
        self.latency = LatencyMeter()
        self.following = HostFollowing()
        self.listeners: dict[str, dict[Client, Client]] = {}
        self.recording: Recording | None = None
        self.late_count = 0
        self.is_pcm_wanted = False
        self.inputs = FileShelf(config.inputs_folder, INPUT_SUFFIXES)
        self.songs = FileShelf(config.inputs_folder, SONG_SUFFIXES)
        self.recordings = FileShelf(config.recordings_folder, RECORDING_SUFFIXES)
        self.banks = FileShelf(config.banks_folder, BANK_SUFFIXES)
        self._pulse = Pulse()

    @property
    def timeline(self) -> Timeline:
        """The one true timeline."""
        return self.clock.timeline

    @property
    def underruns(self) -> int:
        """Since the start, of all playouts."""
        return self.playout.earlier_underruns + self.playout.underruns

    # Requests

    def execute(self, request: Request, position: Position, now_ns: int) -> Outcome:
        """Carry out a request. Raises Refusal, and has then changed nothing."""
        if request.entry.needs_model and not self.engine.is_ready:
            raise Refusal(self.engine.absence)
        outcome = Outcome()
        turn = Turn(self, request, position, now_ns, outcome)
        HANDLERS[request.entry.path](turn, *request.call.args)
        turn.report_lateness()
        tell_synced(self, outcome)
        return outcome

    def release(self, client: Client) -> Outcome:
        """A client has gone: what it held is let go."""
        outcome = Outcome()
        for listeners in self.listeners.values():
            listeners.pop(client, None)
        for pitch in self.notes.let_all_go(client):
            self._command("melody/note_off", (pitch,), outcome)
        return outcome

    def tell_late(self, turn: Turn, late_ms: float) -> None:
        """A request was done, but later than its time tag asked."""
        self.late_count += 1
        turn.outcome.reply(turn.client, "/mgrt/late", turn.request.entry.address, late_ms)

    # The child processes

    def engine_start(self) -> dict[str, Any]:
        """The session's part of the engine's first message."""
        calls = self._engine_calls()
        self.engine.begin(calls)
        return {
            "state": [Command(0, name, args).to_json() for name, args in calls],
            "timeline": self.timeline.to_json(),
            "lead": self.state.lead(),
            "seed": self.state["param/seed"],
        }

    def playout_start(self) -> dict[str, Any]:
        """The session's part of the playout's first message."""
        told = self._playout_settings()
        self.playout.begin(told)
        return {**told, **self.playout.wish}

    def engine_lost(self, reason: str) -> Outcome:
        """The engine has ended. State stays, and goes out again with `engine_start`."""
        self.engine.is_ready = False
        self.engine.steps_per_second = 0.0
        outcome = Outcome()
        fail_child(self, "engine", f"the engine has ended ({reason}): try again", outcome)
        return outcome

    def playout_lost(self, reason: str) -> Outcome:
        """The playout has ended; a recording ends with it."""
        self.playout.end()
        outcome = Outcome()
        fail_child(self, "playout", f"the output has ended ({reason}): try again", outcome)
        if self.recording is not None:
            self.set_recording(None)
            outcome.event("/mgrt/error", "recording", "it has ended with the output")
        return outcome

    def on_engine(self, message: Mapping[str, Any], position: Position, now_ns: int) -> Outcome:
        """Take a message of the engine."""
        outcome = Outcome()
        take_engine_message(self, message, position, now_ns, outcome)
        return outcome

    def on_playout(
        self, message: Mapping[str, Any], payload: bytes, position: Position, now_ns: int
    ) -> Outcome:
        """Take a message of the playout."""
        outcome = Outcome()
        if message["type"] == "pcm":
            take_pcm(self, message, payload, position, outcome)
        else:
            take_playout_message(self, message, position, now_ns, outcome)
        return outcome

    def want_pcm(self, is_wanted: bool) -> Outcome:
        """Somebody listens to the PCM stream, or nobody does any more."""
        self.is_pcm_wanted = is_wanted
        # One that is starting is told when it is ready.
        is_heard = self.playout.is_ready
        return Outcome(playout=[{"type": "pcm", "is_on": is_wanted}] if is_heard else [])

    def send_timeline(self, frame: int, outcome: Outcome) -> None:
        """Tell the children that the timeline is another from `frame` on."""
        message = self.clock.message(frame)
        if self.engine.is_ready:
            outcome.engine.append(message)
        if self.playout.is_ready:
            outcome.playout.append(message)

    def send_changes_since_start(self, position: Position, outcome: Outcome) -> None:
        """The engine is ready: tell it what has changed since it was started."""
        outcome.engine.append(self.clock.message(position.commit_frame))
        outcome.engine.append({"type": "lead", **self.state.lead()})
        calls = self._engine_calls()
        ended = {args[0] for name, args in self.engine.told if name == "melody/note_on"}
        ended -= {pitch for pitch, _ in self.notes.sounding()}
        calls += [("melody/note_off", (pitch,)) for pitch in sorted(ended)]
        for name, args in calls:
            if (name, args) not in self.engine.told:
                self._command(name, args, outcome)

    def send_changes_to_playout(self, position: Position, outcome: Outcome) -> None:
        """The playout is ready: tell it what has changed since it was started."""
        now, told = self._playout_settings(), self.playout.told
        if now["timeline"] != told["timeline"]:
            outcome.playout.append(self.clock.message(position.commit_frame))
        for kind, key in _PLAYOUT_KEYS.items():
            if now[key] != told[key]:
                outcome.playout.append({"type": kind, "id": self.owed.next_id(), key: now[key]})
        if now["pcm"] != told["pcm"]:
            outcome.playout.append({"type": "pcm", "is_on": now["pcm"]})

    def set_recording(self, recording: Recording | None) -> None:
        """A recording has begun or ended."""
        self.recording = recording
        self.state.set("record/is_on", recording is not None)
        self.state.set("record/name", None if recording is None else recording.name)

    # Time

    def tick(self, position: Position, now_ns: int) -> Outcome:
        """Do what is due by now. Call it every 5 to 10 ms."""
        outcome = Outcome()
        if self.clock.take_waiting(position.commit_frame, now_ns):
            self.send_timeline(position.commit_frame, outcome)
        self.following.tick(self, position, now_ns, outcome)
        self._pulse.tick(self, position, now_ns, outcome)
        tell_synced(self, outcome)
        return outcome

    def view(self, position: Position, now_ns: int) -> SessionView:
        """How it is going, for whoever shows it."""
        return view_of(self, position, now_ns)

    def _playout_settings(self) -> dict[str, Any]:
        return {
            "timeline": self.timeline.to_json(),
            "gain_db": self.state["audio/gain_db"],
            "is_muted": self.state["audio/is_muted"],
            "is_open": self.state["transport/is_playing"],
            "pcm": self.is_pcm_wanted,
        }

    def _engine_calls(self) -> list[EngineCall]:
        notes = [("melody/note_on", note) for note in self.notes.sounding()]
        return [*self.state.engine_calls(), *notes]

    def _command(self, name: str, args: tuple[Any, ...], outcome: Outcome) -> None:
        """A command that nobody waits for."""
        if self.engine.is_ready:
            command = Command(self.owed.next_id(), name, args)
            outcome.engine.append(command.to_json())
