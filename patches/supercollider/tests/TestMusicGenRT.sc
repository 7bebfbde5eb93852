// Run in sclang against a daemon that plays at MGRT_PORT, at 120 BPM in 4/4:
//   TestMusicGenRT.run

TestMusicGenRT : UnitTest {
	var mgrt;

	setUp {
		mgrt = MusicGenRT(\test, "127.0.0.1", "MGRT_PORT".getenv.asInteger);
		mgrt.connect;
		this.wait({ mgrt.isConnected }, "not connected", 30);
	}

	tearDown {
		mgrt.freeClock;
		mgrt.disconnect;
	}

	// What a command is answered: [answer, reason].
	asked { |path ... args|
		var found;
		mgrt.ask({ |answer, reason| found = [answer, reason] }, path, *args);
		this.wait({ found.notNil }, "no answer to" + path, 30);
		^found ? [nil, nil]
	}

	test_promptIsDoneAndTold {
		this.assert(this.asked("prompt/set", 2, "string quartet", 0.25)[0].notNil, "it is done");
		this.wait({ (mgrt.state[\prompt2] ? [])[0] == 'string quartet' }, "state was not told", 30);
		this.assertFloatEquals(mgrt.state[\prompt2][1], 0.25, "its weight is told");
	}

	test_refusalNamesTheRange {
		var answer = this.asked("clock/tempo", 5.0);
		this.assert(answer[0].isNil, "it is refused");
		this.assert(answer[1].contains("20 to 999"), "the range is named");
	}

	test_unknownAddressIsRefused {
		this.assert(this.asked("prompt/sett", 0)[1].contains("did you mean"), "with a proposal");
	}

	test_methodsSendWhatTheDaemonTakes {
		var probe = MusicGenRTProbe(\probe, "127.0.0.1", mgrt.addr.port).connect;
		probe.prompt(0, "jazz trio", 1, 2, \bar).weight(0, 0.5, 4).negative("vocals");
		probe.set(\cfg, 2.5).attr(\drums, \off, \bar).melody(\follow).noteOn(60).noteOff(60);
		probe.melody(\off).gain(-6).gain(0).mute(false).play.retry.undo(1).freeze(true).freeze(false);
		probe.clearPrompt(2).saveBank(1).tempo_(2);
		this.wait({ probe.isSettled }, "not all was answered", 60);
		this.assertEquals(probe.reasons.asArray, [], "nothing is refused");
		probe.disconnect;
	}

	test_beatsComeInOrder {
		var heard = List.new, listener = { |who, what ... args|
			if(what == \beat) { heard.add((args[0] - 1) * 4 + args[1]) };
		};
		mgrt.addDependant(listener);
		this.wait({ heard.size >= 4 }, "no beats", 30);
		mgrt.removeDependant(listener);
		this.assertEquals(heard.asArray.keep(4).differentiate.drop(1), [1, 1, 1], "one after another");
	}

	test_patternPlaysMelodyNotes {
		var told = List.new, listener;
		this.asked("melody/mode", \follow);
		listener = OSCFunc({ |msg| told.add(msg[1]) }, '/done', mgrt.addr);
		Pbind(
			\type, \mgrt, \mgrt, mgrt, \midinote, Pseq([60, [64, 67], \rest, 72]),
			\dur, 0.1, \amp, 0.5
		).play(TempoClock(2));
		// Each note is answered when it begins and when it ends.
		this.wait({ told.size >= 8 }, "the notes were not played", 30);
		listener.free;
		this.assertEquals(told.occurrencesOf('/mgrt/melody/note_on'), 4, "four begin");
		this.assertEquals(told.occurrencesOf('/mgrt/melody/note_off'), 4, "four end");
	}

	test_clockFollowsTheDaemon {
		var clock = TempoClock(1), sync;
		mgrt.followedBy(clock);
		sync = mgrt.clockSync;
		this.wait({ clock.beats > 1 and: { (clock.tempo - 2).abs < 0.3 } }, "no tempo", 30);
		// The clock's beats are the daemon's: a beat event falls on a whole one, from 0 on.
		this.wait({ sync.errorBeats.abs < 0.25 }, "not on the beat", 30);
		this.assert((clock.tempo - 2).abs <= (2 * 0.25 * 0.2 + 0.001), "it runs at 120 BPM");
		clock.stop;
	}

	test_clockFollowsAChangeOfTempo {
		var clock = TempoClock(2);
		mgrt.followedBy(clock);
		[1.5, 2].do { |tempo|
			mgrt.tempo = tempo;
			// As far as it is off the beat it is bent.
			this.wait({
				mgrt.bpm == (tempo * 60)
				and: { (clock.tempo - tempo).abs < (tempo * 0.03) }
				and: { mgrt.clockSync.errorBeats.abs < 0.15 }
			}, "not on the beat at %".format(tempo), 60);
		};
		this.assert((clock.tempo - 2).abs < 0.06, "it runs at 120 BPM again");
		clock.stop;
	}

	test_daemonFollowsAClocksTempo {
		var clock = TempoClock(1.5);
		mgrt.follows(clock);
		this.wait({ (mgrt.state[\clock] ? [])[1] == 90 }, "the tempo was not taken", 30);
		clock.tempo = 2;
		this.wait({ (mgrt.state[\clock] ? [])[1] == 120 }, "the change was not taken", 30);
		this.assertEquals(mgrt.state[\clock][1], 120.0, "it is 120 again");
		clock.stop;
	}

	test_daemonFollowsAClocksBeats {
		var clock = TempoClock(1), off = List.new, listener;
		mgrt.follows(clock);
		this.wait({ (mgrt.state[\clock] ? [])[0] == 'osc' }, "the clock was not taken", 30);
		listener = { |who, what|
			// What a clock plays sounds later by the latency, as with a server.
			var beats = clock.secs2beats(thisThread.seconds - mgrt.latency);
			if(what == \beat) { off.add(beats - beats.round) };
		};
		mgrt.addDependant(listener);
		// Beats that went on as they were could not be on both.
		[0, 0.5].do { |jump|
			clock.beats = clock.beats + jump;
			off.clear;
			this.wait({
				off.size >= 3 and: { off.asArray.keep(-3).every { |beats| beats.abs < 0.15 } }
			}, "not on its beats after a jump of %".format(jump), 60);
		};
		mgrt.removeDependant(listener);
		clock.tempo = 2;
		this.wait({ (mgrt.state[\clock] ? [])[1] == 120 }, "the tempo was not taken", 30);
		clock.stop;
	}

	test_quarkInstalls {
		var quark = Quark.fromLocalPath("MGRT_QUARK".getenv);
		this.assertEquals(quark.data[\name], quark.name, "it describes itself");
		this.assert(quark.isCompatible, "it fits this release");
		Quarks.install("MGRT_QUARK".getenv);
		this.assert(Quarks.isInstalled("MusicGenRT"), "it is installed");
	}

	test_helpHasEveryMethod {
		var path = "MGRT_QUARK".getenv +/+ "HelpSource/Classes/MusicGenRT.schelp";
		var described = Set.new, collect;
		var present = (MusicGenRT.methods ++ MusicGenRT.class.methods).collect(_.name).reject { |name|
			var text = name.asString;
			// Setters are described by their getters; what begins with pr is nobody's.
			text.endsWith("_") or: { text.beginsWith("pr") and: { text[2].isUpper } }
			or: { [\init, \initClass].includes(name) }
		};
		collect = { |node|
			if(node.id == \METHODNAMES) {
				node.children.do { |one| described.add(one.text.asSymbol) };
			};
			node.children.do(collect);
		};
		collect.value(SCDoc.parseFileFull(path));
		this.assertEquals(described.asArray.sort, present.asSet.asArray.sort, "all, and no other");
	}

	test_commandsToNobodyAreRefused {
		var other = MusicGenRT(\nobody, "127.0.0.1", "MGRT_SPARE_PORT".getenv.asInteger);
		var reasons = List.new;
		other.connect;
		other.ask({ |answer, reason| reasons.add(reason) }, "sync", 1);
		this.wait({ other.isAbsent }, "the absence was not noticed", 30);
		other.ask({ |answer, reason| reasons.add(reason) }, "sync", 2);
		this.assert(reasons.every { |reason| reason.contains("nobody answers") }, "both are told why");
		this.assertEquals(reasons.size, 2, "at once");
		other.disconnect;
	}

	// MGRT_PROGRAM and MGRT_FLAGS start another daemon, at MGRT_SPARE_PORT.
	test_bootStartsADaemonAndQuitEndsIt {
		var other = MusicGenRT(\booted, "127.0.0.1", "MGRT_SPARE_PORT".getenv.asInteger);
		MusicGenRT.program = "MGRT_PROGRAM".getenv;
		other.boot("MGRT_FLAGS".getenv);
		this.wait({ other.isConnected }, "it was not started", 60);
		this.assert(other.isConnected, "it answers");
		other.quit;
		this.assert(other.isConnected.not, "it is left");
	}

	test_disconnectRefusesCommands {
		mgrt.disconnect;
		this.assert(mgrt.isConnected.not, "it is away");
		mgrt.ask({ |answer, reason|
			this.assert(reason.contains("not connected"), "a command says so");
		}, "status");
	}
}

// Counts what its methods are answered.
MusicGenRTProbe : MusicGenRT {
	var <reasons, asked = 0, answered = 0;

	init {
		super.init;
		reasons = List.new;
	}

	isSettled { ^asked == answered }

	send { |path ... args|
		asked = asked + 1;
		this.ask({ |answer, reason|
			answered = answered + 1;
			if(answer.isNil) { reasons.add(path + reason) };
		}, path, *args)
	}
}
