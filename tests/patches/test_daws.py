"""The scripts for REAPER, Ardour and Bitwig, run with stand-ins for what these programs offer.

What they send is taken by the protocol's table, in the order in which things happen, and then by
a daemon.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from bridge.protocol import BY_ADDRESS
from tests.bridge.daemon_rig import DaemonProcess, free_ports
from tests.patches.conftest import TONE
from tests.patches.script import Script
from tests.patches.stand_in import lines_of
from tests.programs import requires_program

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
local settings = { port = os.getenv("MGRT_PORT"), program = os.getenv("MGRT_PROGRAM") }

-- Without a program nothing is started: nobody answers then.
local function run(command, wait_ms)
  print(command)
  if not settings.program then return wait_ms > 0 and "69\\n" or nil end
  local process = io.popen(command)
  local said = process:read("a")
  local _, _, code = process:close()
  return wait_ms > 0 and code .. "\\n" .. said or nil
end

reaper = {
  GetExtState = function(_, name) return settings[name] or "" end,
  ExecProcess = run,
  ShowConsoleMsg = function(text) io.write("console: ", text) end,
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
import dgram from "node:dgram";
import fs from "node:fs";
import vm from "node:vm";
const { decode, encode } = await import(process.env.MGRT_OSC);
const settings = { "OSC port": 9120, "Port for answers": 9125 };
if (process.env.MGRT_PORTS) {
  [settings["OSC port"], settings["Port for answers"]] = JSON.parse(process.env.MGRT_PORTS);
}
const isReal = Boolean(process.env.MGRT_PORTS);
const socket = isReal && dgram.createSocket("udp4");
const watched = {}, heard = {};
const clock = { ms: 0, task: null };
const names = ["dub techno", "-silent", "jazz trio"];
const say = (...words) => console.log(JSON.stringify(words));
const value = (name) => ({ addValueObserver: (f) => (watched[name] = f),
  addRawValueObserver: (f) => (watched[name] = f) });
const scene = (n) => ({ name: () => ({ markInterested() {}, get: () => names[n] ?? "" }) });
const receive = (port) => dgram.createSocket("udp4")
  .on("message", (packet) => heard[decode(packet)[0]]?.()).bind(port, "127.0.0.1");
const osc = {
  createAddressSpace: () => ({
    registerMethod: (address, types, about, f) => (heard[address] = f) }),
  createUdpServer: () => ({ start: (port) => isReal && receive(port) }),
  connectToUdpServer: (host, port) => ({ sendMessage: (...words) => {
    say(host, port, ...words);
    if (isReal) socket.send(encode(...words), port, host);
  } }),
};
const host = {
  setShouldFailOnDeprecatedUse() {}, defineController() {}, println() {},
  showPopupNotification: (text) => say("shown", text),
  scheduleTask: (f, ms) => (isReal ? setTimeout(f, ms) : (clock.task = f)),
  getPreferences: () => ({ getNumberSetting: (label) => ({ getRaw: () => settings[label] }) }),
  getOscModule: () => osc,
  createTransport: () => ({ tempo: () => ({ value: () => value("tempo") }),
    isPlaying: () => value("playing") }),
  createMainTrackBank: () => ({ sceneBank: () => ({ getScene: scene }),
    getItemAt: () => ({ clipLauncherSlotBank: () => ({
      addIsPlayingObserver: (f) => (watched.clip = f) }) }) }),
};
const context = vm.createContext({ loadAPI() {}, host });
if (!isReal) context.Date = { now: () => clock.ms };
vm.runInContext(fs.readFileSync(process.argv[2], "utf8"), context);
context.init();
watched.tempo(126.5);
watched.playing(true);
for (const index of [0, 1, 2]) watched.clip(index, true);
watched.clip(2, false);
if (!isReal) {
  heard["/mgrt/heartbeat"]();
  for (clock.ms = 2000; clock.ms < 12000; clock.ms += 2000) {
    if (clock.ms < 8000) heard["/mgrt/heartbeat"]();
    clock.task();
  }
  watched.playing(false);
}
"""

BITWIG_SCRIPT = PATCHES / "bitwig" / "musicgen-rt.control.js"

# As playing begins all is sent again.
PLAYED = [
    ("/mgrt/clock/tempo", 120.0),
    ("/mgrt/clock/signature", 4, 4),
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


def reaper_commands(lines: list[str]) -> list[tuple[Any, ...]]:
    """What the command lines send, but for the question whether the daemon is there."""
    words = [shlex.split(line) for line in lines if not line.startswith("console: ")]
    sent = [(line[6], *map(as_number, line[7:])) for line in words]
    return [one for one in sent if one != ("/mgrt/status",)]


def test_reaper_sends_what_changes_and_says_that_nobody_is_there(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, "lua5.4", REAPER, PATCHES / "reaper" / "musicgen-rt.lua")
    program = "musicgen-rt send --timeout 3 --port 9120 "
    said = [line for line in lines if line.startswith("console: ")]
    assert len(said) == 1
    assert "nobody answers at port 9120: start the daemon with musicgen-rt jam" in said[0]
    assert all(line.replace('"', "").startswith(program) for line in lines if line not in said)
    sent = reaper_commands(lines)
    assert sent == PLAYED
    check(sent)


def test_what_reaper_starts_reaches_the_daemon(daemon: DaemonProcess, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("musicgen-rt")
    told = daemon.client
    assert told.ask("/mgrt/notify", 1, seconds=60)[0] == "/done"
    lines = lines_of(
        *(tmp_path, "lua5.4", REAPER, PATCHES / "reaper" / "musicgen-rt.lua"),
        MGRT_PROGRAM=str(program),
        MGRT_PORT=str(daemon.ports()["osc"]),
    )
    assert [line for line in lines if "console: " in line] == ["console: musicgen-rt: connected"]
    assert reaper_commands([line for line in lines if str(program) in line]) == PLAYED
    told.send("/mgrt/refresh")
    told.wait(lambda m: m[:3] == ("/mgrt/state/prompt", 0, "jazz trio"), 60)
    told.wait(lambda m: m[:3] == ("/mgrt/state/clock", "internal", 126.5), 60)
    told.wait(lambda m: m == ("/mgrt/state/transport", 0), 60)


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


OSC = {"MGRT_OSC": (PATCHES / "node" / "osc.mjs").as_uri()}
HOST = ["127.0.0.1", 9120]


def test_bitwig_sends_tempo_transport_and_scenes(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in lines_of(tmp_path, "node", BITWIG, BITWIG_SCRIPT, **OSC)]
    notify, tempo = ("/mgrt/notify", 1, "@9125"), ("/mgrt/clock/tempo", 126.5)
    play, stop = ("/mgrt/transport/play",), ("/mgrt/transport/stop",)
    first, last = (("/mgrt/prompt/set", 0, name) for name in ("dub techno", "jazz trio"))
    absent = "nobody answers at port 9120: start the daemon with musicgen-rt jam"
    expected = [
        *(notify, tempo, play, first, last),
        *(("shown", "musicgen-rt: connected"), tempo, play, last),
        *(("shown", f"musicgen-rt: {absent}"), notify, stop),
    ]
    assert [tuple(line[2:] if line[:2] == HOST else line) for line in lines] == expected
    check([one for one in expected if one != notify and one[0] != "shown"])


def test_bitwig_finds_the_daemon_again_and_tells_it_all(tmp_path: Path) -> None:
    osc, answers, *others = free_ports()
    driver = tmp_path / "bitwig.mjs"
    driver.write_text(BITWIG)
    words: list[str | Path] = [requires_program("node"), driver, BITWIG_SCRIPT]
    with Script(words, tmp_path, {**OSC, "MGRT_PORTS": json.dumps([osc, answers])}) as bitwig:
        for turn in ("first", "second"):
            bitwig.wait_for("nobody answers")
            (tmp_path / turn).mkdir()
            flags = ("--output", "null", "--no-play")
            ports = (osc, *others, 0)
            with DaemonProcess(tmp_path / turn, *flags, module=TONE, ports=ports) as daemon:
                bitwig.wait_for("connected")
                daemon.until(lambda: _is_told(daemon))


def _is_told(daemon: DaemonProcess) -> bool:
    """Whether a daemon has what Bitwig plays."""
    daemon.client.ask("/mgrt/notify", 1, seconds=60)
    daemon.client.ask("/mgrt/sync", 1, seconds=60)
    wanted = {
        ("/mgrt/state/prompt", 0, "jazz trio"),
        ("/mgrt/state/clock", "internal", 126.5),
        ("/mgrt/state/transport", 1),
    }
    return wanted <= {message[:3] for message in daemon.client.received}
