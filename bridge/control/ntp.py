"""NTP times, as OSC's time tags carry them, to times of the monotonic clock."""

from __future__ import annotations

_ERA_SECONDS = 2**32
_UNIX_EPOCH_SECONDS = 2_208_988_800  # 1970 in seconds since 1900
_SECOND_NS = 10**9


def monotonic_from_ntp(ntp: int, *, wall_ns: int, now_ns: int) -> int:
    """The monotonic time of a time tag, when wall clock and monotonic clock show these times.

    Seconds since 1900 have 32 bits and begin again in 2036: the nearest such time is meant.
    """
    seconds, fraction = divmod(ntp, 2**32)
    tag_ns = seconds * _SECOND_NS + (fraction * _SECOND_NS >> 32)
    era_ns = _ERA_SECONDS * _SECOND_NS
    ahead_ns = (tag_ns - _UNIX_EPOCH_SECONDS * _SECOND_NS - wall_ns) % era_ns
    if ahead_ns >= era_ns // 2:
        ahead_ns -= era_ns
    return now_ns + ahead_ns
