-- Subscribes to the daemon and shows what it says. The builder puts this into the layout's root.
-- TouchOSC calls update() for each frame and onReceiveOSC() for each message that arrives.

local LIGHTS = 8
local ASK_MS, LOST_MS, RENEW_MS = 2000, 3500, 10000
local SLOT_NAMES = { [0] = 'A', [1] = 'B' }
local asked, heard, renewed

local function since(moment)
  return moment and getMillis() - moment or math.huge
end

local function show(name, text)
  self.children[name].values.text = text
end

local shown = {
  ['/mgrt/heartbeat'] = function(phase)
    heard = getMillis()
    show('daemon', 'connected, ' .. phase)
  end,
  ['/mgrt/beat'] = function(bar, beat)
    show('beat', string.format('bar %d, beat %d', bar, beat))
    for light = 1, LIGHTS do
      -- A bar of more beats than there are lights goes round.
      local is_on = (beat - 1) % LIGHTS + 1 == light
      self.children['light_' .. light].values.x = is_on and 1 or 0
    end
  end,
  ['/mgrt/state/clock'] = function(source, bpm, beats)
    show('tempo_name', string.format('tempo %g, %s', bpm, source))
    for light = 1, LIGHTS do
      self.children['light_' .. light].visible = light <= beats
    end
  end,
  ['/mgrt/state/prompt'] = function(slot, text, weight)
    local name = SLOT_NAMES[slot]
    if name then
      show('prompt_' .. slot, string.format('%s, share %.2f: %s', name, weight, text))
    end
  end,
  ['/mgrt/state/attr'] = function(part, value)
    -- A model may have parts for which there are no buttons.
    if self.children['part_' .. part] then
      show('part_' .. part, part .. ': ' .. value)
    end
  end,
  ['/mgrt/state/transport'] = function(is_playing)
    show('play_name', is_playing == 1 and 'playing' or 'play')
  end,
  ['/mgrt/state/freeze'] = function(is_on)
    show('freeze_name', is_on == 1 and 'frozen' or 'freeze')
  end,
  ['/mgrt/state/melody'] = function(mode)
    show('follow_name', mode == 'follow' and 'following' or 'follow')
  end,
  ['/mgrt/error'] = function(where, text)
    show('answer', where .. ': ' .. text)
  end,
  ['/done'] = function(address)
    show('answer', address .. ': done')
  end,
  ['/fail'] = function(address, reason)
    show('answer', address .. ': ' .. reason)
  end,
}

function update()
  if since(heard) > LOST_MS then
    if since(asked) > ASK_MS then
      asked = getMillis()
      show('daemon', 'nobody answers: start musicgen-rt jam')
      sendOSC('/mgrt/notify', 1)
    end
  elseif since(renewed) > RENEW_MS then
    renewed = getMillis()
    sendOSC('/mgrt/status') -- any message keeps the subscription
  end
end

function onReceiveOSC(message)
  local values = {}
  for n, argument in ipairs(message[2]) do
    values[n] = argument.value
  end
  local handle = shown[message[1]]
  if handle then
    handle(table.unpack(values))
  end
end
