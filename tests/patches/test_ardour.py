"""The script in Ardour's own engine and Lua, without its window, against a daemon.

The window is what would load the script and call it when transport or tempo change; here a driver
does so. Session, transport, tempo map, markers and OSC are Ardour's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge.daemon_rig import DaemonProcess, OscClient
from tests.patches.script import Script
from tests.programs import requires_program

SCRIPT = Path(__file__).resolve().parents[2] / "patches" / "ardour" / "musicgen_rt.lua"
# At samples of 48 kHz, minutes apart: the driver looks once a second whether Ardour is rolling.
MARKERS = {"later": 480_000_000, "jazz trio": 14_400_000, "dub techno": 0}

BEGIN = """
io.stdout:setvbuf("no")
AudioEngine:set_backend("None (Dummy)", "", "")
"""
NEW = """
create_session("{folder}/song", "song", 48000):save_state("", false, false, false, false, false)
quit()
"""
# Does what it reads: plays from a sample on, stops, changes the tempo.
PLAY = """
Session = load_session("{folder}/song", "song")
function ardour(about) assert(about.type == "EditorHook") end
-- Of the window, which this engine does without.
LuaSignal = {{ TransportStateChange = 1, TempoMapChanged = 2, Set = function()
  return {{ add = function(_, wanted) assert(wanted[1] and wanted[2]) end }}
end }}
dofile("{script}")
signals()
local hook = factory({{ uri = "osc.udp://127.0.0.1:{port}" }})
local by_user = ARDOUR.TransportRequestSource.TRS_UI

local function until_rolling(wanted)
  while Session:transport_rolling() ~= wanted do sleep(1) end
  hook(LuaSignal.TransportStateChange)
  print("rolling", wanted)
end

for line in io.lines() do
  local what, value = line:match("(%S+) ?(%S*)")
  if what == "play" then
    Session:request_locate(
      tonumber(value), false, ARDOUR.LocateTransportDisposition.MustStop, by_user)
    while Session:transport_sample() ~= tonumber(value) do sleep(1) end
    Session:request_roll(by_user)
    until_rolling(true)
  elseif what == "stop" then
    Session:request_stop(false, false, by_user)
    until_rolling(false)
  elseif what == "tempo" then
    local map = Temporal.TempoMap.write_copy()
    map:set_tempo(Temporal.Tempo(tonumber(value), tonumber(value), 4), Temporal.timepos_t(0))
    Temporal.TempoMap.update(map)
    map = nil
    hook(LuaSignal.TempoMapChanged)
    print("tempo", value)
  end
end
quit()
"""


def engine() -> str:
    """The program of Ardour that runs Lua; its name has the version."""
    names = [name for name in ("ardour9-lua", "ardour8-lua") if shutil.which(name)]
    return requires_program(*names[:1] or ["ardour7-lua"])


def run(folder: Path, text: str) -> Script:
    """A program in Ardour's Lua."""
    driver = folder / "driver.lua"
    driver.write_text(BEGIN + text)
    return Script([engine(), driver], folder, {"HOME": str(folder)}, is_driven=True)


@pytest.fixture
def ardour(daemon: DaemonProcess, tmp_path: Path) -> Iterator[Script]:
    """Ardour with markers in its session and our script."""
    with run(tmp_path, NEW.format(folder=tmp_path)) as new:
        assert new.wait_end() == 0, new.printed
    session = tmp_path / "song" / "song.ardour"
    text = session.read_text()
    assert text.count("<Locations/>") == 1
    marks = "".join(
        f'<Location id="{9000 + n}" name="{name}" start="a{sample * 5880}" end="a{sample * 5880}" '
        'flags="IsMark" locked="0" timestamp="0" cue="0"/>'
        for n, (name, sample) in enumerate(MARKERS.items())
    )
    session.write_text(text.replace("<Locations/>", f"<Locations>{marks}</Locations>"))
    port = daemon.ports()["osc"]
    with run(tmp_path, PLAY.format(folder=tmp_path, script=SCRIPT, port=port)) as playing:
        yield playing


def test_a_daemon_follows_ardours_transport_tempo_and_markers(
    ardour: Script, ear: OscClient
) -> None:
    for sample, marker in ((48_000, "dub techno"), (16_000_000, "jazz trio")):
        ardour.say(f"play {sample}\n")
        ear.wait(lambda m, name=marker: m[:3] == ("/mgrt/state/prompt", 0, name), 60)  # type: ignore[misc]
        ardour.wait_for("rolling true")
        ardour.say("stop\n")
        ear.wait(lambda m: m == ("/mgrt/state/transport", 0), 60)
    ardour.say("tempo 93\n")
    ear.wait(lambda m: m[:3] == ("/mgrt/state/clock", "internal", 93.0), 60)
