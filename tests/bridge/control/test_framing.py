"""Packets in a byte stream, against python-osc's SLIP, in whatever pieces they come."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc import slip

from bridge.control.framing import FramingError, LengthFraming, SlipFraming, framing_for
from bridge.control.osc_decode import MAX_PACKET_BYTES

PACKETS = st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8)


def pieces_of(data: st.DataObject, stream: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    return [stream[a:b] for a, b in pairwise(edges) if a < b]


@given(PACKETS, st.data())
def test_slip_as_python_osc_writes_it(packets: list[bytes], data: st.DataObject) -> None:
    framing = SlipFraming()
    stream = b"".join(slip.encode(packet) for packet in packets)
    got = [one for piece in pieces_of(data, stream) for one in framing.feed(piece)]
    assert got == packets
    assert not framing.is_within_packet


@given(st.binary(min_size=1, max_size=80))
def test_python_osc_reads_our_slip(packet: bytes) -> None:
    assert slip.decode(SlipFraming().frame(packet)) == packet


@given(PACKETS, st.data())
def test_lengths_before_packets(packets: list[bytes], data: st.DataObject) -> None:
    framing = LengthFraming()
    stream = b"".join(struct.pack(">I", len(packet)) + packet for packet in packets)
    got = [one for piece in pieces_of(data, stream) for one in framing.feed(piece)]
    assert got == packets
    assert b"".join(framing.frame(packet) for packet in packets) == stream


@pytest.mark.parametrize(
    ("first", "kind"),
    [(0, LengthFraming), (0xC0, SlipFraming), (ord("/"), SlipFraming), (ord("#"), SlipFraming)],
)
def test_the_first_byte_tells_the_framing(first: int, kind: type) -> None:
    assert isinstance(framing_for(first), kind)


@pytest.mark.parametrize("first", [0xFF, 1, ord("G")])
def test_a_stream_that_is_neither(first: int) -> None:
    with pytest.raises(FramingError, match=f"byte {first}"):
        framing_for(first)


@pytest.mark.parametrize("length", [0, MAX_PACKET_BYTES + 1, 0xFFFFFFFF])
def test_a_length_beyond_the_limit(length: int) -> None:
    with pytest.raises(FramingError, match=str(length)):
        list(LengthFraming().feed(struct.pack(">I", length)))


def test_slip_without_an_end() -> None:
    framing = SlipFraming()
    for _ in range(2):
        assert list(framing.feed(b"x" * MAX_PACKET_BYTES)) == []
    with pytest.raises(FramingError, match=str(MAX_PACKET_BYTES)):
        list(framing.feed(b"x" * MAX_PACKET_BYTES))


def test_an_escape_of_nothing() -> None:
    with pytest.raises(FramingError, match="escape"):
        list(SlipFraming().feed(b"\xc0/a\xdbx\xc0"))


def test_packets_before_the_fault_are_delivered() -> None:
    feed = LengthFraming().feed(struct.pack(">I", 4) + b"/a\0\0" + b"\xff\xff\xff\xff")
    assert next(feed) == b"/a\0\0"
    with pytest.raises(FramingError):
        next(feed)


def test_a_packet_that_has_begun_is_noticed() -> None:
    for framing in (LengthFraming(), SlipFraming()):
        assert not framing.is_within_packet
        list(framing.feed(b"\0"))
        assert framing.is_within_packet
