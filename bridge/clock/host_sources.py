"""All clock sources of a daemon, by name; each is made when it is chosen."""

from __future__ import annotations

from bridge.clock.internal import built_in_sources
from bridge.clock.jack import JackSource
from bridge.clock.link import LinkSource
from bridge.clock.midi import MidiFeed, MidiSource
from bridge.clock.osc import OscClock
from bridge.clock.source import ClockSources


def host_sources(feed: MidiFeed, *, is_jack_midi: bool = False) -> ClockSources:
    """The internal clock, OSC, MIDI (from `feed`, or from JACK's MIDI), JACK and Link."""
    sources = built_in_sources()
    sources.register(OscClock.name, lambda session: OscClock(session.bpm))
    sources.register(MidiSource.name, lambda _: MidiSource(feed, is_jack=is_jack_midi))
    sources.register(JackSource.name, JackSource)
    sources.register(LinkSource.name, LinkSource)
    return sources
