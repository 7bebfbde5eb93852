"""Which session sample a sample of the device is, through resampling, delays and standstills."""

from __future__ import annotations

from collections import deque

# Of blocks of a few milliseconds: more than any queue holds.
_MAX_POINTS = 256


class PositionMap:
    """Two piecewise linear maps: device sample -> place in the stream -> session sample. [pump]

    The stream is all that enters the resampler: music, and silence while the playhead stands.
    """

    def __init__(self, position: int) -> None:
        self._streamed = 0
        self._given = 0
        self._stream = _Polyline(0.0, float(position))
        self._device = _Polyline(0.0, 0.0)

    def add_stream(self, count: int, position: int) -> None:
        """`count` samples entered the resampler; the playhead is at `position` after them."""
        self._streamed += count
        self._stream.add(float(self._streamed), float(position))

    def add_device(self, count: int, consumed: float, delay_samples: int) -> None:
        """`count` samples left for the device.

        The resampler's next output is at `consumed` in the stream; what leaves is late by
        `delay_samples`.
        """
        self._given += count
        self._device.add(float(self._given + delay_samples), consumed)

    def device_sample_of_next(self) -> float:
        """The device's sample at which the next of the stream will leave, at the pace of the last.

        Before anything was given it is the first.
        """
        return self._device.inverse_beyond(float(self._streamed))

    def session_sample(self, device_sample: float) -> float:
        """The session sample that is the device's sample number `device_sample`."""
        return self._stream.at(self._device.at(device_sample))


class _Polyline:
    """The last points of a growing function; level beyond its ends."""

    def __init__(self, x: float, y: float) -> None:
        self._points: deque[tuple[float, float]] = deque([(x, y)], _MAX_POINTS)

    def add(self, x: float, y: float) -> None:
        if x > self._points[-1][0]:
            self._points.append((x, y))

    def inverse_beyond(self, y: float) -> float:
        """The x at which the function gets to `y`, if it goes on as it did last."""
        (left_x, left_y), (right_x, right_y) = self._points[0], self._points[-1]
        if right_y == left_y:
            return right_x
        return right_x + (y - right_y) * (right_x - left_x) / (right_y - left_y)

    def at(self, x: float) -> float:
        right_x, right_y = self._points[-1]
        if x >= right_x:
            return right_y
        # What is asked for was added a short while ago.
        for left_x, left_y in reversed(self._points):
            if left_x <= x:
                return left_y + (right_y - left_y) * (x - left_x) / (right_x - left_x)
            right_x, right_y = left_x, left_y
        return right_y
