"""Which device a name means."""

from __future__ import annotations

import pytest

from bridge.playout.device_list import JACK, Device, DeviceWish, choose
from bridge.playout.output import DeviceError


def _device(index: int, name: str, host_api: str, is_default: bool = False) -> Device:
    return Device(index, name, host_api, 2, 48000, is_default)


STUDIO = [
    _device(0, "HDA Intel: ALC257 (hw:0,0)", "ALSA", is_default=True),
    _device(1, "Scarlett 2i2 USB: Audio (hw:1,0)", "ALSA"),
    _device(2, "system", JACK),
    _device(3, "Scarlett", JACK),
]


@pytest.mark.parametrize(
    ("name", "is_jack", "index"),
    [
        (None, False, 0),
        (None, True, 2),
        ("system", False, 2),
        ("SYSTEM", True, 2),
        ("2i2", False, 1),
        ("alc257", False, 0),
        ("hw:1,0", False, 1),
        ("Scarlett", False, 3),
        ("scar", False, 3),  # several drivers have it: the one made for music
        ("system, JACK", False, 2),
    ],
)
def test_by_name_or_part(name: str | None, is_jack: bool, index: int) -> None:
    assert choose(STUDIO, DeviceWish(name=name, is_jack=is_jack)).index == index


@pytest.mark.parametrize(
    ("name", "is_jack", "message"),
    [
        ("Focusrite", False, "no device is named 'Focusrite': there are .*Scarlett 2i2"),
        ("2i2", True, "no device is named '2i2'"),
        ("hw:", False, "several devices are named 'hw:'"),
    ],
)
def test_a_name_that_fits_none_or_several_lists_what_there_is(
    name: str, is_jack: bool, message: str
) -> None:
    with pytest.raises(DeviceError, match=message):
        choose(STUDIO, DeviceWish(name=name, is_jack=is_jack))


def test_without_devices_it_says_what_to_do() -> None:
    with pytest.raises(DeviceError, match="null output"):
        choose([], DeviceWish())
    with pytest.raises(DeviceError, match="no JACK server runs"):
        choose(STUDIO[:2], DeviceWish(is_jack=True))
