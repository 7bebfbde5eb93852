"""Recalling banks over the wire: names made from numbers, on the next bar line, or when asked."""

from __future__ import annotations

from pathlib import Path

from tests.bridge.control.rig import Rig


def test_a_bank_is_recalled_on_a_bar_line_and_forgotten(rig: Rig, tmp_path: Path) -> None:
    (reply,) = rig.send("/mgrt/bank/recall", 7)
    assert "bank 7 is empty" in reply[2]
    path = tmp_path / "banks" / "bank-007.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    rig.send("/mgrt/bank/recall", 7, 2)
    assert rig.engine[0]["frame"] == 200
    assert rig.commands() == [("bank/recall", str(path))]
    rig.apply()
    rig.send("/mgrt/bank/forget", 2)
    assert rig.commands() == [("bank/forget",)]
