"""The protocol's table as a page of documentation."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from bridge.argument import MAX_NAME_CHARS, Argument, Name, WhenArgument
from bridge.control.address_book import MAX_MATCHES
from bridge.control.bundle_queue import HORIZON_SECONDS, MAX_WAITING
from bridge.control.control_config import ControlConfig
from bridge.control.delivery import REFUSALS, REPLIES
from bridge.control.osc_decode import MAX_ARGUMENTS, MAX_BUNDLE_DEPTH, MAX_PACKET_BYTES
from bridge.entry import Entry
from bridge.protocol import COMMANDS, OUTGOING, PROTOCOL_VERSION

_TITLES = {
    "server": "The daemon",
    "prompt": "Prompts",
    "param": "Parameters",
    "attr": "Attributes",
    "melody": "Melody",
    "clock": "Clock",
    "transport": "Transport",
    "gen": "Generation",
    "bank": "Banks",
    "song": "Songs",
    "audio": "Output",
    "midi": "MIDI",
}

_DEFAULTS = ControlConfig()

_HEAD = f"""# Protocol

Version {PROTOCOL_VERSION}. Written by `musicgen-rt protocol`; change the table in `bridge/`, not \
this page.

| way in | port | what |
|---|---|---|
| OSC over UDP and TCP | {_DEFAULTS.osc_port} | commands and events; TCP with OSC 1.0's length \
prefix or 1.1's SLIP, told apart by the first byte |
| ZeroMQ ROUTER | {_DEFAULTS.command_port} | commands from REQ or DEALER sockets, as JSON arrays: \
`["/mgrt/prompt/set", 0, "deep house"]`; replies the same way |
| ZeroMQ PUB | {_DEFAULTS.publish_port} | events as `[address, {{"sequence": n}}, JSON array]`, \
audio as `["pcm", header, float32 interleaved]` while somebody subscribes to it |
| HTTP | {_DEFAULTS.http_port} | OSCQuery, `/health`, `/metrics` |

## Answers

Every command is answered, to the port it came from: `/done ADDRESS ...` or `/fail ADDRESS \
REASON`, or a message of its own where the tables below name one. Of a fader (marked *fader*) only \
the last of many values counts; one `/done` then answers for all of them, and its last argument \
says how many. A client that receives on another port than it sends from adds `@PORT` as a last \
string.

`when` says when a command is to be heard: `now`, on the next `beat`, on the next `bar`, or a \
number n: on the next bar line that begins a row of n bars. What waits for a line goes with it \
when the tempo changes. A bundle's time tag says it to the millisecond; if it is missed the \
command is done at once and `/mgrt/late ADDRESS MS` follows. Time tags lie at most \
{HORIZON_SECONDS} s ahead. Of what is asked for at one line, jumps (undo, retry, banks) come \
first: a prompt for that line is heard where they lead. `/mgrt/gen/panic` overtakes what waits \
to be read: what came before it is answered with `/fail`, but for prompts and questions.

Beats in answers count from the daemon's start and never go back; bars and beats in events count \
from 1 and begin anew with `/mgrt/transport/reset`.

Numbers are 32-bit. Where a client has only floats, whole ones will do; `1` and `0` are true and \
false. Words of a prompt that arrive one by one are joined; give the weight if a `when` follows. \
Patterns (`?`, `*`, `[a-z]`, `{{this,that}}`) reach up to {MAX_MATCHES} addresses, of those that \
are marked *pattern*.

## Limits

Names of files have 1 to {MAX_NAME_CHARS} letters, digits, spaces, `_ . + -`, do not begin with a \
dot, and never are paths: each kind has a folder of its own, and links there are not followed.

A packet has at most {MAX_PACKET_BYTES} bytes and {MAX_ARGUMENTS} arguments, bundles nest \
{MAX_BUNDLE_DEPTH} deep, {MAX_WAITING} messages may wait for their time. Over UDP a client gets at \
most {REPLIES.per_second:g} answers and {REFUSALS.per_second:g} refusals a second. Malformed \
packets are counted in `/metrics` and not answered. Up to {_DEFAULTS.max_clients} clients \
subscribe; a lease ends {_DEFAULTS.lease_seconds:g} s after the client was last heard of.
"""


def protocol_markdown() -> str:
    """All of it."""
    parts = [_HEAD]
    for group, entries in groupby(COMMANDS, key=lambda entry: entry.group):
        parts.append(f"\n## {_TITLES[group]}\n")
        parts.append(_commands(entries))
    parts.append("\n## Events\n\nTo subscribers (`/mgrt/notify 1`) and to the PUB socket.\n")
    parts.append(_events(entry for entry in OUTGOING if entry.group != "state"))
    parts.append(
        "\n## State\n\nAll of it after `/mgrt/notify 1`, and each again when it changes.\n"
    )
    parts.append(_events(entry for entry in OUTGOING if entry.group == "state"))
    return "".join(parts)


def _commands(entries: Iterable[Entry]) -> str:
    rows = ["\n| address | arguments | answer | |\n|---|---|---|---|\n"]
    for entry in entries:
        marks = [entry.doc, "*fader*" if entry.is_continuous else ""]
        marks += ["*pattern*" if entry.in_patterns else ""]
        marks += ["*needs the model*" if entry.needs_model else ""]
        text = " ".join(mark for mark in marks if mark)
        rows.append(
            f"| `{entry.address}` | {_arguments(entry.all_arguments)} | {_answer(entry)} "
            f"| {_cell(text)} |\n"
        )
    return "".join(rows)


def _events(entries: Iterable[Entry]) -> str:
    rows = ["\n| address | arguments | |\n|---|---|---|\n"]
    rows += [
        f"| `{entry.address}` | {_arguments(entry.arguments)} | {_cell(entry.doc)} |\n"
        for entry in entries
    ]
    return "".join(rows)


def _answer(entry: Entry) -> str:
    names = " ".join(argument.name for argument in entry.answer.arguments)
    address = entry.answer.address if entry.answer.path is not None else "/done ..."
    return f"`{f'{address} {names}'.strip()}`"


def _arguments(arguments: Iterable[Argument]) -> str:
    return "<br>".join(_argument(argument) for argument in arguments)


def _argument(argument: Argument) -> str:
    if isinstance(argument, WhenArgument):
        return f"`[when]` {'bars; ' if argument.bars_only else ''}default {argument.default}"
    if isinstance(argument, Name):
        return f"`{argument.usage}` of a file; {_cell(argument.doc)}"
    text = f"`{argument.usage}` {argument.expected}"
    if argument.is_optional and argument.default is not None:
        text += f"; default {argument.default}"
    return _cell(f"{text}: {argument.doc}" if argument.doc else text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
