"""The keeper: decides which output the music goes to, and tells control.

It is the device that is wished for, or the null output until there is one. The wish is that of the
start message, until a request for another device has found one; so a request that fails changes
nothing, and a device that is gone is hunted by the wish that it was found by.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from bridge.playout.device_hunter import DeviceHunter, Found, Missing
from bridge.playout.options import NULL_RATE_HZ, PlayoutOptions
from bridge.playout.output import NullOutput, Output
from bridge.playout.player import Player, Post

# How long the start waits for the device before it plays to the null output.
_DEVICE_SECONDS = 1.0
_NULL_CHANNELS = 2


class OutputKeeper:
    """The output, the wish, and the search under way. [pump]"""

    def __init__(self, options: PlayoutOptions, clock_ns: Callable[[], int], post: Post) -> None:
        self._options = options
        self._clock_ns = clock_ns
        self._post = post
        self._wish = options.wish
        self._wants_device = options.wants_device
        self._hunter: DeviceHunter | None = None
        self._reason: str | None = None
        self._output = (self._first_device() if self._wants_device else None) or self._null()

    @property
    def output(self) -> Output:
        """Where the music goes; `step` changes the player's."""
        return self._output

    def ask(self, name: str | None, id: int) -> None:
        """Look for another device; the answer to the request `id` comes with the result."""
        if self._hunter is not None:
            self._hunter.stop()
            if self._hunter.id is not None:
                self._fail(self._hunter.id, "a later choice of a device took its place")
        wish = self._wish.named(name)
        self._hunter = DeviceHunter(wish, id=id, is_stream_open=self._plays_device)

    def step(self, player: Player) -> None:
        """Take the search's result, if there is one."""
        if self._hunter is None:
            return
        try:
            result = self._hunter.results.get_nowait()
        except queue.Empty:
            return
        if isinstance(result, Found):
            self._take(player, self._hunter, result)
        elif isinstance(result, Missing):
            self._go_without(self._hunter, result)
        else:
            self._make_room(player, self._hunter)

    def announce(self) -> None:
        """Tell control where the music goes, and by which wish: a fresh playout is to have it."""
        info = self._output.info
        self._post(
            {
                "type": "ready",
                "output": info.kind,
                "device": info.device,
                "wish": self._told_wish(),
                "host_api": info.host_api,
                "rate_hz": info.rate_hz,
                "channels": info.channels,
                "block_frames": info.block_frames,
                "latency_ms": round(1000 * info.latency_seconds, 2),
                "reason": self._reason,
            }
        )

    def _told_wish(self) -> dict[str, Any]:
        """What a fresh playout's start message is to have in place of this one's."""
        wish: dict[str, Any] = {"device_name": self._wish.name}
        if self._wants_device and not self._options.wants_device:
            wish["output"] = "device"
        return wish

    @property
    def _plays_device(self) -> bool:
        return self._output.info.kind == "device"

    def _first_device(self) -> Output | None:
        self._hunter = DeviceHunter(self._wish)
        try:
            result = self._hunter.results.get(timeout=_DEVICE_SECONDS)
        except queue.Empty:
            self._reason = "the audio drivers do not answer"
            return None
        if isinstance(result, Found):
            self._hunter = None
            return result.output
        if isinstance(result, Missing):
            self._reason = result.reason
        return None

    def _take(self, player: Player, hunter: DeviceHunter, found: Found) -> None:
        self._hunter = None
        self._wish, self._wants_device = hunter.wish, True
        self._change(player, found.output, None)
        if hunter.id is not None:
            self._post({"type": "applied", "id": hunter.id, "sample": player.session.position})

    def _go_without(self, hunter: DeviceHunter, missing: Missing) -> None:
        """A hunt goes on; after a request's search all is as it was."""
        if hunter.id is None:
            if missing.reason != self._reason:
                self._reason = missing.reason
                self.announce()
            return
        self._fail(hunter.id, missing.reason)
        is_hunting = self._wants_device and not self._plays_device
        self._hunter = DeviceHunter(self._wish) if is_hunting else None

    def _make_room(self, player: Player, hunter: DeviceHunter) -> None:
        """Close the device that plays, so that PortAudio may look for the one asked for."""
        reason = f"the device {hunter.wish.name!r} is new, and is being opened"
        self._change(player, self._null(), reason)
        self._hunter = DeviceHunter(hunter.wish, id=hunter.id)

    def _change(self, player: Player, output: Output, reason: str | None) -> None:
        player.change_output(output)
        self._output, self._reason = output, reason
        self.announce()

    def _fail(self, id: int, reason: str) -> None:
        self._post({"type": "failed", "id": id, "reason": reason})

    def _null(self) -> NullOutput:
        wish = self._options.wish
        return NullOutput(
            wish.rate_hz or NULL_RATE_HZ,
            wish.channels or _NULL_CHANNELS,
            self._clock_ns,
            kind="null" if self._wants_device else self._options.output,
        )
