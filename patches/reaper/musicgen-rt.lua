-- musicgen-rt for REAPER: the daemon follows transport, tempo map and regions.
--
-- Load it in the action list (ReaScript, Load...) and run it; run it again to end it. The name of the
-- region under the play cursor is the prompt of slot 0; regions whose name begins with a minus sign
-- are left out. A tempo or metre change of the tempo map is passed on when it is reached. REAPER's
-- console says whether the daemon is there: at the start, and when playing ends. When playing begins
-- the daemon is told all of it, so it may be started, and started again, at any time.
--
-- REAPER's Lua has no sockets: commands go through the daemon's own command line. Where REAPER does
-- not find it, or the port is another one, in the ReaScript console:
--   reaper.SetExtState("musicgen-rt", "program", "/path/to/musicgen-rt", true)
--   reaper.SetExtState("musicgen-rt", "port", "9120", true)

local SECTION = "musicgen-rt"
local NO_WAIT = -1     -- of ExecProcess: start it and go on
local PATIENCE_MS = 4000
local PLAYING = 1      -- bit of GetPlayState

local function setting(name, default)
  local value = reaper.GetExtState(SECTION, name)
  if value == "" then return default end
  return value
end

local program = setting("program", "musicgen-rt")
local port = setting("port", "9120")

-- ExecProcess starts no shell; words are kept together by double quotes alone.
local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', " ") .. '"'
end

local function command(address, ...)
  local words = { quoted(program), "send", "--timeout", "3", "--port", port, address }
  for _, value in ipairs({ ... }) do
    if type(value) == "number" then
      words[#words + 1] = string.format("%.10g", value)
    else
      words[#words + 1] = quoted(value)
    end
  end
  return table.concat(words, " ")
end

local function send(...)
  reaper.ExecProcess(command(...), NO_WAIT)
end

local is_here

-- Ask the daemon whether it is there. REAPER waits for the answer, so never while it plays.
local function look()
  local said = reaper.ExecProcess(command("/mgrt/status"), PATIENCE_MS) or ""
  local found = said:match("^%d+") == "0" -- what the process returned comes first
  if found == is_here then return end
  is_here = found
  local absent = "nobody answers at port " .. port .. ": start the daemon with musicgen-rt jam, then play"
  reaper.ShowConsoleMsg("musicgen-rt: " .. (found and "connected" or absent) .. "\n")
end

-- The name of the region at a time in seconds, nil outside of all regions.
local function region_at(seconds)
  local _, index = reaper.GetLastMarkerAndCurRegion(0, seconds)
  if index < 0 then return nil end
  local _, _, _, _, name = reaper.EnumProjectMarkers(index)
  if name == "" or name:sub(1, 1) == "-" then return nil end
  return name
end

local told = {}

-- Send only what is another value than the last one.
local function tell(name, value, address, ...)
  if value == nil or told[name] == value then return end
  told[name] = value
  send(address, ...)
end

local was_playing = false

local function follow()
  local is_playing = reaper.GetPlayState() & PLAYING ~= 0
  -- A daemon that was started since then knows nothing.
  if is_playing and not was_playing then told = {} end
  local seconds = is_playing and reaper.GetPlayPosition() or reaper.GetCursorPosition()
  local beats, unit, bpm = reaper.TimeMap_GetTimeSigAtTime(0, seconds)
  tell("tempo", bpm, "/mgrt/clock/tempo", bpm)
  tell("metre", beats .. "/" .. unit, "/mgrt/clock/signature", beats, unit)
  local name = region_at(seconds)
  tell("prompt", name, "/mgrt/prompt/set", 0, name)
  if is_playing and not was_playing then
    send("/mgrt/transport/play")
  elseif was_playing and not is_playing then
    send("/mgrt/transport/stop")
    look()
  end
  was_playing = is_playing
  reaper.defer(follow)
end

look()
follow()
