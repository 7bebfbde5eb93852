// A client of the musicgen-rt daemon, shaped like Server: boot or connect, then play.
// Methods that send take an optional last argument `when` (now, \beat, \bar or a number of bars)
// where the protocol does.

MusicGenRT {
	classvar <>default, <>program = "musicgen-rt";

	var <name, <addr, <isConnected = false;
	// Where the daemon is, as it said last. Bars and beats count from 1.
	var <bar = 0, <beat = 0, <bpm = 120, <state;
	// Seconds that events of patterns leave ahead of their time.
	var <>latency = 0.2;
	// Whether it is known that nobody answers.
	var <isAbsent = false;
	var responders, keeper, lastHeardSeconds, nextSendSeconds, waiting, whenConnected;
	// What keeps a TempoClock and the daemon together, if anything does.
	var <clockSync;

	*initClass {
		Class.initClassTree(Event);
		Event.addEventType(\mgrt, {
			var mgrt = ~mgrt ? MusicGenRT.default;
			if(mgrt.isNil) { Error("no MusicGenRT: make one first, or name one with \\mgrt").throw };
			mgrt.playEvent(~detunedFreq.value, ~amp.value, ~sustain.value, ~timingOffset ? 0);
		});
	}

	*new { |name = \mgrt, host = "127.0.0.1", port = 9120|
		^super.newCopyArgs(name, NetAddr(host, port)).init
	}

	init {
		state = IdentityDictionary.new;
		waiting = Dictionary.new;
		whenConnected = List.new;
		if(default.isNil) { default = this };
	}

	// Connection

	// Start the daemon as a program of this machine, then connect. `flags` as for musicgen-rt jam.
	boot { |flags = ""|
		var command = "% jam --no-view --osc-port % %".format(program, addr.port, flags);
		command.unixCmd({ |code|
			if(code != 0) { "%: the daemon has ended with code %".format(name, code).warn };
		}, false);
		this.connect;
	}

	// Find the daemon, and find it again when it has been away.
	connect {
		if(keeper.notNil) { ^this };
		lastHeardSeconds = Main.elapsedTime;
		nextSendSeconds = 0;
		isAbsent = false;
		responders = [
			['/done', { |msg| this.prAnswer(msg[1], msg.drop(2), nil) }],
			['/fail', { |msg| this.prAnswer(msg[1], nil, msg.drop(2).join($ )) }],
			['/mgrt/heartbeat', { this.prFound }],
			['/mgrt/beat', { |msg| this.prBeat(*msg.drop(1)) }],
			['/mgrt/state/prompt', { |msg| state.put(("prompt" ++ msg[1]).asSymbol, msg.drop(2)) }],
			['/mgrt/state/param', { |msg| state.put(msg[1], msg[2]) }],
			['/mgrt/state/clock', { |msg| state.put(\clock, msg.drop(1)) }],
			['/mgrt/state/melody', { |msg| state.put(\melody, msg.drop(1)) }],
			['/mgrt/synced', { |msg| this.prAnswer('/mgrt/sync', msg.drop(1), nil) }],
			['/mgrt/status.reply', { |msg| this.prAnswer('/mgrt/status', msg.drop(1), nil) }],
			['/mgrt/version.reply', { |msg| this.prAnswer('/mgrt/version', msg.drop(1), nil) }],
		].collect { |pair| OSCFunc(pair[1], pair[0], addr).permanent_(true) };
		keeper = SkipJack({ this.prKeep }, 1, name: name);
		this.prKeep;
	}

	disconnect {
		if(keeper.isNil) { ^this };
		addr.sendMsg("/mgrt/notify", 0);
		keeper.stop;
		keeper = nil;
		responders.do(_.free);
		this.prLost("disconnected");
	}

	// End the daemon itself.
	quit {
		addr.sendMsg("/mgrt/quit");
		this.disconnect;
	}

	doWhenConnected { |action|
		if(isConnected) { action.value(this) } { whenConnected.add(action) };
	}

	// Any command of the protocol, without its /mgrt/: mgrt.send("prompt/weight", 0, 0.5, 8)
	// A refusal is posted.
	send { |path ... args|
		this.ask(nil, path, *args)
	}

	// The same; action.value(answer, reason): the answer's arguments, or nil and why it was refused.
	ask { |action, path ... args|
		var address = ("/mgrt/" ++ path).asSymbol;
		if(keeper.isNil) { ^this.prRefused(action, address, "not connected: call connect or boot") };
		if(isAbsent) { ^this.prRefused(action, address, "nobody answers: start the daemon, or boot") };
		waiting[address] = waiting[address].add(action);
		addr.sendMsg(address, *args.reject(_.isNil));
	}

	// Prompts, parameters, parts

	prompt { |slot = 0, text, weight = 1, rampBeats = 0, when|
		this.send("prompt/set", slot, text, weight.asFloat, rampBeats.asFloat, when)
	}

	weight { |slot = 0, weight = 1, rampBeats = 0, when|
		this.send("prompt/weight", slot, weight.asFloat, rampBeats.asFloat, when)
	}

	clearPrompt { |slot = 0, when| this.send("prompt/clear", slot, when) }
	negative { |text| this.send("prompt/negative", text) }

	// temperature, top_k, top_p, cfg, cfg_melody, seed, lead_ms, context_bars
	set { |param, value, when| this.send("param/set/" ++ param, value, when) }

	attr { |attribute, value = \free, when| this.send("attr/set", attribute, value, when) }

	// Melody

	melody { |mode = \follow, when| this.send("melody/mode", mode, when) }
	noteOn { |pitch = 60, velocity = 100, when| this.send("melody/note_on", pitch, velocity, when) }
	noteOff { |pitch = 60, when| this.send("melody/note_off", pitch, when) }

	// Notes at their time, as the event type \mgrt plays them; `sustain` in beats of the thread's clock.
	playEvent { |freqs, amps = 0.1, sustain = 1, offset = 0|
		var clock = thisThread.clock;
		var tempo = if(clock.respondsTo(\tempo)) { clock.tempo } { 1 };
		var begin = latency + (offset / tempo), length = sustain / tempo;
		if(keeper.isNil) { ^this.prRefused(nil, '/mgrt/melody/note_on', "not connected") };
		[freqs.asArray, amps.asArray].flop.do { |pair|
			var pitch = pair[0].cpsmidi.round.asInteger.clip(0, 127);
			var velocity = (pair[1] * 127).round.asInteger.clip(1, 127);
			addr.sendBundle(begin, ["/mgrt/melody/note_on", pitch, velocity]);
			// A bundle lies at most 10 s ahead: the end is sent when the note has begun.
			SystemClock.sched(max(0, length - 0.1), {
				addr.sendBundle(begin + min(length, 0.1), ["/mgrt/melody/note_off", pitch]);
				nil
			});
		}
	}

	// Time

	tempo { ^bpm / 60 }
	tempo_ { |beatsPerSecond, when| this.send("clock/tempo", (beatsPerSecond * 60).asFloat, when) }
	play { |when| this.send("transport/play", when) }
	stop { |when| this.send("transport/stop", when) }
	reset { |when| this.send("transport/reset", when) }

	// A TempoClock that runs on the daemon's beat: its beats are the daemon's, counted from 0.
	followedBy { |clock|
		this.freeClock;
		clockSync = MusicGenRTClock(this, clock ? TempoClock.default).follow;
	}

	// The daemon takes the tempo of a TempoClock, and its beats where the daemon can.
	follows { |clock|
		this.freeClock;
		clockSync = MusicGenRTClock(this, clock ? TempoClock.default).lead;
	}

	freeClock {
		clockSync !? { clockSync.free };
		clockSync = nil;
	}

	// Taking back

	retry { |bars = 1, when| this.send("gen/retry", bars, when) }
	undo { |bars = 1, when| this.send("gen/undo", bars, when) }
	freeze { |isOn = true, bars = 1, when| this.send("gen/freeze", isOn.binaryValue, bars, when) }
	panic { this.send("gen/panic") }
	saveBank { |bank = 0| this.send("bank/save", bank) }
	loadBank { |bank = 0, when| this.send("bank/load", bank, when) }

	// Output

	gain { |db = 0, rampMs = 20, when| this.send("audio/gain_db", db.asFloat, rampMs, when) }
	mute { |isOn = true, when| this.send("audio/mute", isOn.binaryValue, when) }
	record { |isOn = true, file| this.send("audio/record", isOn.binaryValue, file) }

	// The daemon's sound in a synth: two inputs of the server, connected over JACK.
	*ar { |firstInput = 0, level = 1| ^SoundIn.ar([firstInput, firstInput + 1], level) }

	// Inside

	// Subscribe until heartbeats come, which they do once a second; then keep the subscription, as
	// any message does.
	prKeep {
		var now = Main.elapsedTime;
		if(isAbsent.not and: { now - lastHeardSeconds > 3.5 }) { this.prLost("nobody answers") };
		if(now >= nextSendSeconds) {
			if(isConnected) { addr.sendMsg("/mgrt/status") } { addr.sendMsg("/mgrt/notify", 1) };
			nextSendSeconds = now + if(isConnected) { 10 } { 2 };
		}
	}

	prFound {
		lastHeardSeconds = Main.elapsedTime;
		isAbsent = false;
		if(isConnected) { ^this };
		isConnected = true;
		"%: connected to % %".format(name, addr.hostname, addr.port).postln;
		this.changed(\connected, true);
		whenConnected.copy.do(_.value(this));
		whenConnected.clear;
	}

	// What was asked is refused; that nobody is there is posted, unless it was our wish.
	prLost { |reason|
		var asked = waiting, wasConnected = isConnected;
		waiting = Dictionary.new;
		isConnected = false;
		isAbsent = true;
		nextSendSeconds = 0;
		asked.keysValuesDo { |address, actions|
			actions.do { |action| this.prRefused(action, address, reason) }
		};
		if(keeper.notNil) {
			"%: % at % %: start the daemon with musicgen-rt jam, or boot".format(
				name, reason, addr.hostname, addr.port
			).warn;
		};
		if(wasConnected) { this.changed(\connected, false) };
	}

	prBeat { |newBar, newBeat, newBpm|
		bar = newBar;
		beat = newBeat;
		bpm = newBpm;
		this.changed(\beat, bar, beat, bpm);
	}

	// Of a fader one answer is for all that asked before: its last argument says how many.
	prAnswer { |address, values, reason|
		var actions = waiting[address] ? [];
		var count = if(values.notNil and: { values.size == 2 }) { values[1].asInteger.max(1) } { 1 };
		waiting[address] = actions.drop(count);
		if(reason.notNil) { ^this.prRefused(actions.first, address, reason) };
		actions.keep(count).do { |action| action.value(values) };
	}

	prRefused { |action, address, reason|
		if(action.isNil) { "%: % %".format(name, address, reason).warn } { action.value(nil, reason) };
	}
}
