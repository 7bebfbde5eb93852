// A TempoClock and the daemon on one beat. Either one follows the other.

MusicGenRTClock {
	// Farther off than this many beats the clock jumps; nearer it runs faster or slower.
	classvar <maxSlewBeats = 0.25;
	// Part of the error that is made up within a beat.
	classvar <slew = 0.2;

	var mgrt, <clock, task, isLeading = false;
	// Clock minus daemon at the last beat, in beats.
	var <errorBeats = 0;

	*new { |mgrt, clock| ^super.newCopyArgs(mgrt, clock) }

	// The clock follows the daemon's beats.
	follow { mgrt.addDependant(this) }

	// The daemon follows the clock's tempo, and its beats if it takes them.
	lead {
		isLeading = true;
		clock.addDependant(this);
		mgrt.addDependant(this);
		this.prSendTempo;
		mgrt.ask({ |answer, reason|
			if(answer.isNil) {
				"%: follows the tempo only: %".format(mgrt.name, reason).postln;
			} {
				this.prSendBeats;
			}
		}, "clock/source", "osc");
	}

	free {
		mgrt.removeDependant(this);
		clock.removeDependant(this);
		task !? { task.stop };
		if(isLeading and: { mgrt.isConnected }) { mgrt.ask({}, "clock/source", "internal") };
	}

	update { |changed, what ... args|
		if(changed === mgrt and: { what == \beat } and: { isLeading.not }) { this.prFollow(*args) };
		if(changed === clock and: { what == \tempo }) { this.prSendTempo };
	}

	prFollow { |bar, beat, bpm|
		var beatsPerBar = mgrt.state[\clock] !? { |values| values[2] } ? 4;
		var wanted = (bar - 1) * beatsPerBar + (beat - 1);
		errorBeats = clock.secs2beats(thisThread.seconds) - wanted;
		if(errorBeats.abs > maxSlewBeats) {
			clock.beats = wanted;
			clock.tempo = bpm / 60;
		} {
			clock.tempo = bpm / 60 * (1 - (slew * errorBeats));
		}
	}

	prSendTempo { mgrt.send("clock/tempo", (clock.tempo * 60).asFloat) }

	prSendBeats {
		task = Routine {
			loop {
				mgrt.addr.sendBundle(mgrt.latency,
					["/mgrt/clock/beat", thisThread.beats.asFloat, (clock.tempo * 60).asFloat]);
				1.wait;
			}
		}.play(clock, quant: 1);
	}
}
