"""Numbers about the daemon's work, for /metrics."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# name: (is a gauge, meaning). Gauges go up and down; all others only grow.
METRICS: Mapping[str, tuple[bool, str]] = MappingProxyType(
    {
        "packets_total": (False, "Packets received over all transports."),
        "malformed_total": (False, "Packets dropped because they follow no protocol."),
        "overflow_total": (False, "Packets dropped because too many waited."),
        "messages_total": (False, "Messages executed or refused."),
        "refused_total": (False, "Messages answered with /fail."),
        "coalesced_total": (False, "Values of faders that a later one replaced before its turn."),
        "handler_errors_total": (False, "Messages whose handler failed."),
        "late_total": (False, "Messages that missed their time tag."),
        "replies_suppressed_total": (False, "Replies not sent because of rate limits."),
        "sends_dropped_total": (False, "Replies and events that a client did not take."),
        "events_total": (False, "Events sent to subscribers."),
        "auth_failures_total": (False, "Wrong or replayed answers to a challenge."),
        "connections_refused_total": (False, "TCP connections beyond the limit."),
        "clients": (True, "Subscribed clients."),
        "scheduled": (True, "Messages that wait for their time tag."),
        "inbox": (True, "Packets received and not yet handled."),
        "receive_buffer_bytes": (True, "Size of the UDP socket's receive buffer."),
        "underruns_total": (False, "Times the output ran dry."),
        "fallback": (True, "1 while the last good bars are looping."),
        "lead_seconds": (True, "Music made but not yet heard."),
        "steps_per_second": (True, "Steps of the language model a second."),
        "latency_p50_seconds": (True, "From a command to its sound, median."),
        "latency_p95_seconds": (True, "From a command to its sound, 95th percentile."),
        "peak_dbfs": (True, "Peak level of the output."),
        "loop_gap_max_seconds": (True, "Longest time between two turns of control's loop."),
        "loop_busy_max_seconds": (True, "Most processor time that control took for one turn."),
        "engine_restarts_total": (False, "Times the engine was started again."),
        "playout_restarts_total": (False, "Times the playout was started again."),
    }
)
_PREFIX = "mgrt_"


class Counters:
    """A number for each name of METRICS. [control]"""

    def __init__(self) -> None:
        self._values: dict[str, float] = dict.fromkeys(METRICS, 0)

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def add(self, name: str, count: float = 1) -> None:
        self._values[name] += count

    def set(self, name: str, value: float) -> None:
        if name not in METRICS:
            raise KeyError(name)
        self._values[name] = value

    def text(self) -> str:
        """All of them in Prometheus' text format, version 0.0.4."""
        lines = []
        for name, (is_gauge, doc) in METRICS.items():
            full = _PREFIX + name
            lines.append(f"# HELP {full} {doc}")
            lines.append(f"# TYPE {full} {'gauge' if is_gauge else 'counter'}")
            lines.append(f"{full} {self._values[name]:.10g}")
        return "\n".join(lines) + "\n"
