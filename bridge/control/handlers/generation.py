"""Commands that take music back, hold it, keep it and bring it again."""

from __future__ import annotations

from collections.abc import Callable

from bridge.control.turn import Turn
from bridge.refusal import Refusal


def _retry(turn: Turn, bars: int) -> None:
    turn.ask_engine("gen/retry", bars, at_bar_line=True)


def _undo(turn: Turn, bars: int) -> None:
    turn.ask_engine("gen/undo", bars, at_bar_line=True)


def _infill(turn: Turn, first: int, last: int, bars: int) -> None:
    if first > last or (bars and last > bars):
        most = f" of {bars}" if bars else ""
        raise Refusal(f"bars {first} to {last}{most}: expected first, then last, of what is played")
    turn.ask_engine("gen/infill", first, last, bars, at_bar_line=True)


def _freeze(turn: Turn, is_on: bool, bars: int) -> None:
    turn.ask_engine(
        "gen/freeze",
        int(is_on),
        bars,
        sets={"freeze/is_on": is_on, "freeze/bars": bars},
        at_bar_line=True,
    )


def _continue(turn: Turn, name: str) -> None:
    turn.ask_engine("gen/continue", str(turn.session.inputs.existing(name)), at_bar_line=True)


def _panic(turn: Turn) -> None:
    for fader in turn.session.owed.waiting_faders():
        turn.release_fader(fader)
    turn.ask_engine("gen/panic", sets={"freeze/is_on": False}, is_urgent=True)
    turn.session.notes.clear()
    turn.outcome.is_clearing_schedule = True


def _bank_save(turn: Turn, bank: int) -> None:
    path = turn.session.banks.replaceable(_bank_name(bank))
    turn.ask_engine("bank/save", str(path), sets={"bank": bank})


def _bank_load(turn: Turn, bank: int) -> None:
    turn.ask_engine("bank/load", _kept(turn, bank), sets={"bank": bank}, at_bar_line=True)


def _bank_recall(turn: Turn, bank: int) -> None:
    turn.ask_engine("bank/recall", _kept(turn, bank))


def _bank_forget(turn: Turn) -> None:
    turn.ask_engine("bank/forget")


def _kept(turn: Turn, bank: int) -> str:
    """The path of a bank's file. Raises Refusal for an empty bank."""
    try:
        return str(turn.session.banks.existing(_bank_name(bank)))
    except Refusal as refusal:
        raise Refusal(f"bank {bank} is empty: save one with /mgrt/bank/save first") from refusal


def _bank_name(bank: int) -> str:
    return f"bank-{bank:03}.safetensors"


HANDLERS: dict[str, Callable[..., None]] = {
    "gen/retry": _retry,
    "gen/undo": _undo,
    "gen/infill": _infill,
    "gen/freeze": _freeze,
    "gen/continue": _continue,
    "gen/panic": _panic,
    "bank/save": _bank_save,
    "bank/load": _bank_load,
    "bank/recall": _bank_recall,
    "bank/forget": _bank_forget,
}
