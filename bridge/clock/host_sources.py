"""All clock sources of a daemon, by name; each is made when it is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.clock.internal import built_in_sources
from bridge.clock.jack import JackSource
from bridge.clock.link import LinkSource
from bridge.clock.midi import MidiFeed, MidiSource
from bridge.clock.osc import OscClock
from bridge.clock.source import ClockSources


@dataclass(frozen=True)
class SourceOptions:
    """What sources begin with: tempo and bars until their host says others."""

    bpm: float = 120.0
    beats_per_bar: int = 4
    is_jack_midi: bool = False


def host_sources(options: SourceOptions, feed: MidiFeed) -> ClockSources:
    """The internal clock, OSC, MIDI (from `feed`), JACK and Link."""
    sources = built_in_sources()
    bpm, beats = options.bpm, options.beats_per_bar
    sources.register(OscClock.name, lambda: OscClock(bpm))
    sources.register(MidiSource.name, lambda: MidiSource(feed, is_jack=options.is_jack_midi))
    sources.register(JackSource.name, lambda: JackSource(bpm, beats))
    sources.register(LinkSource.name, lambda: LinkSource(bpm, beats))
    return sources
