// The same client over ZeroMQ, for programs that have it: npm install, in this folder.
//
//   const mgrt = new MgrtZmq();
//   await mgrt.send("/mgrt/prompt/set", 0, "dub techno, deep chords");
//
// Over TCP nothing is lost on the way, and texts and numbers are as long as JSON's.

import { Dealer, Subscriber } from "zeromq";
import { Daemon } from "./daemon.mjs";

// How long to wait for the daemon to take a command before it is thrown away.
const SEND_MS = 2000;

export class MgrtZmq extends Daemon {
  // What is asked of a daemon that is away must not be done by the next one.
  #commands = new Dealer({ immediate: true, linger: 0, sendTimeout: SEND_MS });
  #events = new Subscriber({ linger: 0 });
  #written = Promise.resolve();

  constructor({ commands = "tcp://127.0.0.1:9121", events = "tcp://127.0.0.1:9122" } = {}) {
    super(commands);
    this.#commands.connect(commands);
    this.#events.connect(events);
    this.#events.subscribe("/mgrt/");
    this.#read(this.#commands);
    this.#read(this.#events);
  }

  /** Do it now: the answer's arguments. Rejects with the daemon's reason, or if it is away. */
  async send(address, ...values) {
    const text = JSON.stringify([address, ...values]);
    return this.ask(address, () => this.#say(text));
  }

  /** Leave the daemon. What waits for an answer is rejected. */
  close() {
    super.close();
    this.#commands.close();
    this.#events.close();
  }

  #say(text) {
    // A socket takes one message at a time. If it takes none, silence soon says so.
    const write = () => this.#commands.closed || this.#commands.send(text);
    this.#written = this.#written.then(write).catch(() => {});
  }

  async #read(socket) {
    for await (const frames of socket) this.take(JSON.parse(frames.at(-1).toString()));
  }
}
