"""OSC packets against python-osc, and against whatever a network can send."""

from __future__ import annotations

import contextlib
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle import OscBundle as ReferenceBundle
from pythonosc.osc_message import OscMessage as ReferenceMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from bridge.control.osc_decode import (
    IMMEDIATELY,
    MAX_ARGUMENTS,
    MAX_ARRAY_DEPTH,
    MAX_BUNDLE_DEPTH,
    MAX_PACKET_BYTES,
    Impulse,
    MidiBytes,
    OscBundle,
    OscError,
    OscMessage,
    Rgba,
    TimeTag,
    decode_packet,
)
from bridge.control.osc_encode import encode_message
from tests.bridge.control.rig import bundle, osc

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
FLOAT32 = st.floats(width=32, allow_nan=False)
TYPED = st.one_of(
    st.tuples(st.just("i"), INT32),
    st.tuples(st.just("h"), INT64),
    st.tuples(st.just("f"), FLOAT32),
    st.tuples(st.just("d"), st.floats(allow_nan=False)),
    st.tuples(st.just("s"), TEXT),
    st.tuples(st.just("b"), st.binary(min_size=1, max_size=40)),  # python-osc builds no others
    st.tuples(st.sampled_from("TFN"), st.none()),
)
CONSTANTS = {"T": True, "F": False, "N": None}


def padded(data: bytes) -> bytes:
    return data + bytes(4 - len(data) % 4)


def raw(tags: str, body: bytes = b"", address: bytes = b"/a") -> bytes:
    return padded(address) + padded(b"," + tags.encode()) + body


@given(st.lists(TYPED, max_size=12))
def test_messages_that_python_osc_builds_are_read(typed: list[tuple[str, Any]]) -> None:
    builder = OscMessageBuilder("/mgrt/param/set/cfg")
    for tag, value in typed:
        builder.add_arg(CONSTANTS.get(tag, value), tag)
    message = decode_packet(bytes(builder.build().dgram))
    expected = tuple(CONSTANTS.get(tag, value) for tag, value in typed)
    assert message == OscMessage("/mgrt/param/set/cfg", expected)
    assert isinstance(message, OscMessage)
    assert [type(one) for one in message.args] == [type(one) for one in expected]


def test_nested_arrays_as_python_osc_builds_them() -> None:
    builder = OscMessageBuilder("/a")
    builder.add_arg([1, ["x", 2.5], []])
    assert decode_packet(bytes(builder.build().dgram)) == OscMessage("/a", ((1, ("x", 2.5), ()),))


@pytest.mark.parametrize(
    ("tag", "body", "value"),
    [
        ("t", struct.pack(">Q", 1), TimeTag(1)),
        ("I", b"", Impulse.IMPULSE),
        ("S", b"sym\0", "sym"),
        ("c", struct.pack(">i", 65), "A"),
        ("r", b"\x01\x02\x03\x04", Rgba(b"\x01\x02\x03\x04")),
        ("m", b"\0\x90\x40\x7f", MidiBytes(b"\0\x90\x40\x7f")),
    ],
)
def test_the_rarer_types(tag: str, body: bytes, value: Any) -> None:
    assert decode_packet(raw(tag, body)) == OscMessage("/a", (value,))


def test_not_a_number_and_infinity_are_values() -> None:
    message = decode_packet(raw("ff", struct.pack(">ff", math.nan, math.inf)))
    assert isinstance(message, OscMessage)
    assert math.isnan(message.args[0])
    assert message.args[1] == math.inf


def test_a_message_without_tags_has_no_arguments() -> None:
    assert decode_packet(b"/mgrt/status\0\0\0\0") == OscMessage("/mgrt/status")


def test_bundles_as_python_osc_builds_them() -> None:
    seconds = 1_790_000_000.25
    packet = bundle(seconds, osc("/a", 1), bundle(0, osc("/b", "x")))
    decoded = decode_packet(packet)
    assert isinstance(decoded, OscBundle)
    assert decoded.elements[0] == OscMessage("/a", (1,))
    inner = decoded.elements[1]
    assert isinstance(inner, OscBundle)
    assert inner.elements == (OscMessage("/b", ("x",)),)
    reference = ReferenceBundle(packet)
    assert decoded.time_tag / 2**32 - 2_208_988_800 == pytest.approx(reference.timestamp, abs=1e-6)


def test_a_bundle_for_at_once() -> None:
    packet = b"#bundle\0" + struct.pack(">Q", 1)
    assert decode_packet(packet) == OscBundle(IMMEDIATELY, ())


def nested(depth: int) -> bytes:
    packet = osc("/mgrt/status")
    for _ in range(depth):
        packet = b"#bundle\0" + struct.pack(">Q", 1) + struct.pack(">i", len(packet)) + packet
    return packet


def element(size: int, data: bytes = b"") -> bytes:
    return b"#bundle\0" + struct.pack(">Qi", 1, size) + data


MALFORMED = {
    "empty": b"",
    "not a multiple of 4": b"/a\0",
    "too long": b"/a\0\0,s\0\0" + b"x" * MAX_PACKET_BYTES,
    "no slash": b"abc\0,\0\0\0",
    "address without an end": b"/abc",
    "address with a space": padded(b"/a b") + padded(b","),
    "address with a hash": padded(b"/a#b") + padded(b","),
    "address beyond ASCII": padded("/ä".encode()) + padded(b","),
    "address of 256": padded(b"/" + b"a" * 255) + padded(b","),
    "dirt in the padding": b"/a\0x,\0\0\0",
    "tags without a comma": padded(b"/a") + padded(b"i") + bytes(4),
    "tags without an end": padded(b"/a") + b",iii",
    "unknown tag": raw("x"),
    "tag beyond ASCII": padded(b"/a") + padded(",ä".encode()),
    "too many arguments": raw("T" * (MAX_ARGUMENTS + 1)),
    "missing argument": raw("ii", bytes(4)),
    "missing 64-bit argument": raw("hs", bytes(4)),
    "more than announced": raw("i", bytes(8)),
    "more text than announced": raw("s", b"abc\0abc\0"),
    "text without an end": raw("s", b"abcd"),
    "text that is no UTF-8": raw("s", b"\xff\xfe\0\0"),
    "half a UTF-8 letter": raw("s", b"ab\xc3\0"),
    "surrogate in UTF-8": raw("s", b"\xed\xa0\x80\0"),
    "blob of -1": raw("b", struct.pack(">i", -1)),
    "blob of 2 GB": raw("b", struct.pack(">i", 2**31 - 1)),
    "blob beyond the end": raw("b", struct.pack(">i", 8) + bytes(4)),
    "dirt behind a blob": raw("b", struct.pack(">i", 1) + b"a\0\0x"),
    "character that is none": raw("c", struct.pack(">i", -5)),
    "array without an end": raw("[i", bytes(4)),
    "array without a beginning": raw("i]", bytes(4)),
    "arrays too deep": raw("[" * (MAX_ARRAY_DEPTH + 1) + "]" * (MAX_ARRAY_DEPTH + 1)),
    "bundle without a time": b"#bundle\0",
    "bundle with half a time": b"#bundle\0" + bytes(4),
    # The first loops for ever in python-osc's server.
    "bundle element of -4": element(-4) + bytes(4),
    "bundle element of 0": element(0) + bytes(4),
    "bundle element of 3": element(3, bytes(4)),
    "bundle element beyond the end": element(64, bytes(4)),
    "bundle element that is nothing": element(4, b"abcd"),
    "half a size": b"#bundle\0" + struct.pack(">Q", 1) + b"\0\0",
    "bundles too deep": nested(MAX_BUNDLE_DEPTH + 1),
    "bundles 1500 deep": nested(1500),
    "too many elements": b"#bundle\0" + struct.pack(">Q", 1) + 2000 * (b"\0\0\0\x04/a\0\0"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_packet_is_an_error_and_nothing_else(name: str) -> None:
    with pytest.raises(OscError):
        decode_packet(MALFORMED[name])


def test_bundles_may_nest_as_deep_as_promised() -> None:
    assert isinstance(decode_packet(nested(MAX_BUNDLE_DEPTH)), OscBundle)


@given(st.binary(max_size=200), st.sampled_from([b"", b"/a\0\0,", b"#bundle\0" + bytes(8)]))
def test_any_bytes_are_a_packet_or_an_error(data: bytes, head: bytes) -> None:
    packet = head + data
    with contextlib.suppress(OscError):
        decode_packet(packet[: len(packet) // 4 * 4])


@given(st.data())
def test_a_packet_that_was_damaged_is_a_packet_or_an_error(data: st.DataObject) -> None:
    packet = bytearray(bundle(0, osc("/mgrt/prompt/set", 0, "deep house", 1.0), osc("/b", b"xyz")))
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(OscError):
        decode_packet(bytes(packet))


@given(st.lists(st.one_of(INT32, FLOAT32, TEXT, st.binary(max_size=9), st.none()), max_size=9))
def test_python_osc_reads_what_is_encoded(args: list[Any]) -> None:
    message = ReferenceMessage(encode_message("/done", args))
    assert message.address == "/done"
    assert message.params == args


def test_true_and_false_are_sent_as_numbers() -> None:
    assert ReferenceMessage(encode_message("/a", [True, False])).params == [1, 0]


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**63 - 1])
def test_a_64_bit_number_has_a_float_beside_it(value: int) -> None:
    whole, twin = ReferenceMessage(encode_message("/a", [value])).params
    assert whole == value
    assert twin == pytest.approx(value, rel=1e-6)


def test_a_number_beyond_32_bit_floats_becomes_infinite() -> None:
    assert ReferenceMessage(encode_message("/a", [1e300, -1e300])).params == [math.inf, -math.inf]


@pytest.mark.parametrize("value", [2**63, object(), ("a",)])
def test_what_cannot_be_sent_is_an_error(value: Any) -> None:
    with pytest.raises(OscError):
        encode_message("/a", [value])


def test_a_zero_does_not_cut_a_text_short() -> None:
    assert ReferenceMessage(encode_message("/a", ["ab\0cd", 1])).params == ["abcd", 1]
