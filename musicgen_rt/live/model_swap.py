"""Another model while the old one plays: loaded beside it, begun on a bar line, or refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from musicgen_rt.errors import CheckpointError, MusicgenRTError, UnsupportedError
from musicgen_rt.live.action import Action
from musicgen_rt.live.build import EngineOptions
from musicgen_rt.live.conductor import Conductor
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.worker_inbox import Message
from musicgen_rt.live.worker_outbox import Outbox
from musicgen_rt.model.musicgen import MusicGen

Load = Callable[..., MusicGen]


class ModelSwap:
    """At most one change of models at a time. One thread, the engine's, beside the loading one."""

    def __init__(
        self, conductor: Conductor, outbox: Outbox, load: Load, changed: Callable[[Engine], None]
    ) -> None:
        """`load` is MusicGen.load, `changed` is told when another engine plays."""
        self._conductor, self._outbox = conductor, outbox
        self._load, self._changed = load, changed
        self._thread: threading.Thread | None = None
        self._identity: int | None = None
        self._loaded: MusicGen | MusicgenRTError | None = None

    def begin(self, message: Message) -> None:
        """Load what `message` names. Raises UnsupportedError during another swap."""
        if self._thread is not None:
            raise UnsupportedError("another model is being loaded: wait for it")
        self._identity = message["id"]
        source = str(message["model"])
        options = {key: message[key] for key in ("device", "weights") if message.get(key)}
        self._loaded = None
        self._thread = threading.Thread(
            target=self._run, args=(source, options), name="swap", daemon=True
        )
        self._thread.start()

    def poll(self) -> None:
        """If the model is there, have it begin at the next bar line."""
        if self._thread is None or self._thread.is_alive():
            return
        self._thread.join()
        loaded, self._thread = self._loaded, None
        try:
            if loaded is None:
                raise CheckpointError("the model cannot be loaded, for an unknown reason")
            if isinstance(loaded, MusicgenRTError):
                raise loaded
            stage = self._conductor.stage
            _require_alike(loaded, stage.engine.model)
            engine = Engine(loaded, _options_of(stage.engine))
            run = partial(self._change_over, engine)
            self._conductor.add(Action("swap", run, self._identity, is_jump=True))
        except MusicgenRTError as error:
            self._outbox.failed(self._identity, str(error))

    def _change_over(self, engine: Engine, frame: int) -> None:
        self._conductor.stage.change_over(engine, frame)
        self._changed(engine)

    def _run(self, source: str, options: dict[str, str]) -> None:
        try:
            self._loaded = self._load(source, **options)
        except MusicgenRTError as error:
            self._loaded = error
        except Exception as error:
            self._loaded = CheckpointError(f"{source}: {type(error).__name__}: {error}")


def _require_alike(new: MusicGen, old: MusicGen) -> None:
    """Raise UnsupportedError unless both make the same kind of samples."""
    for name in ("sampling_rate_hz", "hop_samples", "channels"):
        found, expected = getattr(new.config, name), getattr(old.config, name)
        if found != expected:
            raise UnsupportedError(
                f"{new.source}: {name} is {found}, expected {expected} as of the model that "
                "plays; start again with this one"
            )


def _options_of(engine: Engine) -> EngineOptions:
    """The old engine's options, with the window left to the new checkpoint."""
    return EngineOptions(
        history_seconds=engine.options.history_seconds,
        compile_step=engine.options.compile_step,
        prefill_chunk_frames=engine.options.prefill_chunk_frames,
    )
