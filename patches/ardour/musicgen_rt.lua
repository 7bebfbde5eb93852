ardour {
	["type"]    = "EditorHook",
	name        = "musicgen-rt",
	author      = "The musicgen-rt developers",
	license     = "Apache-2.0",
	description = "The musicgen-rt daemon follows transport and tempo. A location marker's name, where playing begins, is the prompt.",
}

function action_params ()
	return { ["uri"] = { title = "OSC address of the daemon", default = "osc.udp://localhost:9120" } }
end

function signals ()
	local wanted = LuaSignal.Set ()
	wanted:add ({ [LuaSignal.TransportStateChange] = true, [LuaSignal.TempoMapChanged] = true })
	return wanted
end

function factory (params)
	local daemon = ARDOUR.LuaOSC.Address (params["uri"] or "osc.udp://localhost:9120")

	-- The name of the last marker at or before a sample, nil if there is none.
	local function marker_before (sample)
		local name, place = nil, -1
		for location in Session:locations ():list ():iter () do
			local start = location:start ():samples ()
			if location:is_mark () and start <= sample and start > place then
				name, place = location:name (), start
			end
		end
		return name
	end

	return function (signal, ref, ...)
		local sample = Session:transport_sample ()
		local map = Temporal.TempoMap.read ()
		daemon:send ("/mgrt/clock/tempo", "f", map:quarters_per_minute_at (Temporal.timepos_t (sample)))
		map = nil
		if signal ~= LuaSignal.TransportStateChange then
			return
		end
		if not Session:transport_rolling () then
			daemon:send ("/mgrt/transport/stop", "")
			return
		end
		local name = marker_before (sample)
		if name then
			daemon:send ("/mgrt/prompt/set", "is", 0, name)
		end
		daemon:send ("/mgrt/transport/play", "")
	end
end
