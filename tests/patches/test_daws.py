"""The scripts for REAPER, Ardour and Bitwig, run with stand-ins for what these programs offer.

What they would send is taken by the protocol's table, in the order in which things happen. The
programs themselves do not run without a screen.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from bridge.protocol import BY_ADDRESS
from tests.bridge.daemon_rig import DaemonProcess
from tests.patches.stand_in import lines_of

PATCHES = Path(__file__).resolve().parents[2] / "patches"

REAPER = """
local now = { playing = 0, seconds = 0, bpm = 120, region = -1 }
local steps = {
  function() now = { playing = 0, seconds = 0, bpm = 120, region = -1 } end,
  function() now = { playing = 1, seconds = 1, bpm = 120, region = 0 } end,
  function() now = { playing = 1, seconds = 2, bpm = 120, region = 0 } end,
  function() now = { playing = 1, seconds = 3, bpm = 126.5, region = 1 } end,
  function() now = { playing = 1, seconds = 4, bpm = 126.5, region = 2 } end,
  function() now = { playing = 0, seconds = 5, bpm = 126.5, region = -1 } end,
}
local names = { [0] = 'dub "techno"; deep', [1] = "-silent", [2] = "jazz trio" }
local again
local settings = { port = os.getenv("MGRT_PORT") or "9120", program = os.getenv("MGRT_PROGRAM") }
reaper = {
  GetExtState = function(_, name) return settings[name] or "" end,
  ExecProcess = function(command) print(command) end,
  GetPlayState = function() return now.playing end,
  GetPlayPosition = function() return now.seconds end,
  GetCursorPosition = function() return now.seconds end,
  TimeMap_GetTimeSigAtTime = function() return 4, 4, now.bpm end,
  GetLastMarkerAndCurRegion = function() return -1, now.region end,
  EnumProjectMarkers = function(index) return 1, true, 0, 9, names[index], index end,
  defer = function(f) again = f end,
}
steps[1]()
dofile(arg[1])
for step = 2, #steps do
  steps[step]()
  again()
end
"""

ARDOUR = """
local rolling, hook = false, nil
local function mark(name, start)
  return {
    is_mark = function() return true end,
    name = function() return name end,
    start = function() return { samples = function() return start end } end,
  }
end
local marks = { mark("dub techno", 100), mark("jazz trio", 200), mark("later", 900) }
function ardour(about) assert(about.type == "EditorHook") end
LuaSignal = { TransportStateChange = 1, TempoMapChanged = 2, Set = function()
  return { add = function(_, wanted) assert(wanted[1] and wanted[2]) end }
end }
ARDOUR = { LuaOSC = { Address = function(uri)
  assert(uri == "osc.udp://localhost:9120")
  return { send = function(_, ...) print(table.concat({ ... }, "|")) end }
end } }
Temporal = {
  timepos_t = function(sample) return sample end,
  TempoMap = { read = function()
    return { quarters_per_minute_at = function() return 126.5 end }
  end },
}
Session = {
  transport_sample = function() return 300 end,
  transport_rolling = function() return rolling end,
  locations = function() return { list = function() return { iter = function()
    local index = 0
    return function() index = index + 1; return marks[index] end
  end } end } end,
}
dofile(arg[1])
signals()
hook = factory({})
hook(LuaSignal.TempoMapChanged)
rolling = true
hook(LuaSignal.TransportStateChange)
rolling = false
hook(LuaSignal.TransportStateChange)
"""

BITWIG = """
import fs from "node:fs";
import vm from "node:vm";
const watched = {};
const names = ["dub techno", "-silent", "jazz trio"];
const value = (name) => ({ addValueObserver: (f) => (watched[name] = f),
  addRawValueObserver: (f) => (watched[name] = f) });
const scene = (n) => ({ name: () => ({ markInterested() {}, get: () => names[n] ?? "" }) });
const osc = { createAddressSpace: () => ({}),
  connectToUdpServer: (host, port) => ({
    sendMessage: (...words) => console.log(JSON.stringify([host, port, ...words])) }) };
const host = {
  setShouldFailOnDeprecatedUse() {}, defineController() {}, println() {},
  getPreferences: () => ({ getNumberSetting: (...all) => ({ getRaw: () => all.at(-1) }) }),
  getOscModule: () => osc,
  createTransport: () => ({ tempo: () => ({ value: () => value("tempo") }),
    isPlaying: () => value("playing") }),
  createMainTrackBank: () => ({ sceneBank: () => ({ getScene: scene }),
    getItemAt: () => ({ clipLauncherSlotBank: () => ({
      addIsPlayingObserver: (f) => (watched.clip = f) }) }) }),
};
const context = vm.createContext({ loadAPI() {}, host });
vm.runInContext(fs.readFileSync(process.argv[2], "utf8"), context);
context.init();
watched.tempo(126.5);
watched.playing(true);
for (const index of [0, 1, 2]) watched.clip(index, true);
watched.clip(2, false);
watched.playing(false);
"""

PROGRAM = [sys.executable, "-m", "bridge"]

PLAYED = [
    ("/mgrt/clock/tempo", 120.0),
    ("/mgrt/clock/signature", 4, 4),
    ("/mgrt/prompt/set", 0, "dub  techno ; deep"),
    ("/mgrt/transport/play",),
    ("/mgrt/clock/tempo", 126.5),
    ("/mgrt/prompt/set", 0, "jazz trio"),
    ("/mgrt/transport/stop",),
]


def check(messages: list[tuple[Any, ...]]) -> None:
    """Give messages to the protocol's table, which raises for what it does not take."""
    for address, *values in messages:
        BY_ADDRESS[address].call(values)


def as_number(word: str) -> Any:
    """A word of a command line as the daemon's command takes it."""
    try:
        return float(word)
    except ValueError:
        return word


def test_reaper_sends_what_changes(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, "lua5.4", REAPER, PATCHES / "reaper" / "musicgen-rt.lua")
    words = [shlex.split(line) for line in lines]
    assert all(line[:4] == ["musicgen-rt", "send", "--port", "9120"] for line in words)
    sent = [(line[4], *map(as_number, line[5:])) for line in words]
    assert sent == PLAYED
    check(sent)


def test_what_reaper_starts_reaches_the_daemon(daemon: DaemonProcess, tmp_path: Path) -> None:
    lines = lines_of(tmp_path, "lua5.4", REAPER, PATCHES / "reaper" / "musicgen-rt.lua")
    command = next(shlex.split(line) for line in lines if "prompt/set" in line)
    command[:4] = ["send", "--port", str(daemon.ports()["osc"])]
    result = subprocess.run(
        [*PROGRAM, *command], check=False, capture_output=True, text=True, timeout=100
    )
    assert result.stdout.startswith("/done /mgrt/prompt/set"), result


def test_reapers_own_surface_sends_the_tempo() -> None:
    text = (PATCHES / "reaper" / "musicgen-rt.ReaperOSC").read_text()
    patterns = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert patterns == [["TEMPO", "f/mgrt/clock/tempo"]]  # f: a float as it is, in BPM


def test_ardour_sends_transport_tempo_and_the_marker(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, "lua5.4", ARDOUR, PATCHES / "ardour" / "musicgen_rt.lua")
    sent = []
    for line in lines:
        address, types, *words = line.split("|")
        kinds = {"i": int, "f": float, "s": str}
        sent.append((address, *(kinds[t](word) for t, word in zip(types, words, strict=True))))
    tempo = ("/mgrt/clock/tempo", 126.5)
    assert sent == [
        *(tempo, tempo, ("/mgrt/prompt/set", 0, "jazz trio"), ("/mgrt/transport/play",)),
        *(tempo, ("/mgrt/transport/stop",)),
    ]
    check(sent)


def test_bitwig_sends_tempo_transport_and_scenes(tmp_path: Path) -> None:
    script = PATCHES / "bitwig" / "musicgen-rt.control.js"
    lines = [json.loads(line) for line in lines_of(tmp_path, "node", BITWIG, script)]
    assert {tuple(line[:2]) for line in lines} == {("127.0.0.1", 9120)}
    sent = [tuple(line[2:]) for line in lines]
    assert sent == [
        ("/mgrt/clock/tempo", 126.5),
        ("/mgrt/transport/play",),
        ("/mgrt/prompt/set", 0, "dub techno"),
        ("/mgrt/prompt/set", 0, "jazz trio"),
        ("/mgrt/transport/stop",),
    ]
    check(sent)
