// What a client knows of the daemon, whatever carries its messages: whether it is there, and which
// answers are waited for.

import { EventEmitter } from "node:events";

// Heartbeats come once a second.
const SILENCE_MS = 3500;
// Those that are answered by a message of their own.
const OWN_ANSWER = /^(.*)\.(reply|challenge)$/;

/** Events: "connected", "lost" (with the reason), and each address that the daemon sends. */
export class Daemon extends EventEmitter {
  #place;
  #waiting = new Map(); // address -> what to do with its answers, in order
  #watch = null;
  #isConnected = false;
  #absence = null; // why nobody answers, once that is known

  constructor(place) {
    super();
    this.#place = place;
    this.#await();
  }

  get isConnected() {
    return this.#isConnected;
  }

  /** Forget the daemon. What waits for an answer is rejected. */
  close() {
    clearTimeout(this.#watch);
    this.#forget("closed");
  }

  /** `carry` a command; a promise of its answer. */
  ask(address, carry) {
    if (this.#absence) throw new Error(this.#absence);
    return new Promise((resolve, reject) => {
      const queue = this.#waiting.get(address) ?? [];
      this.#waiting.set(address, [...queue, { resolve, reject }]);
      carry();
    });
  }

  /** A message has come from the daemon. */
  take([address, ...values]) {
    if (address === "/mgrt/heartbeat") this.#find();
    if (address === "/done") this.#settle(values[0], values.slice(1), "resolve");
    else if (address === "/fail") {
      const error = new Error(values.join(" "));
      // With nobody to hear it, a refusal must not vanish.
      if (!this.#settle(values[0], error, "reject")) this.emit("/fail", ...values);
    } else {
      const asked = OWN_ANSWER.exec(address)?.[1] ?? address.replace("/synced", "/sync");
      this.#settle(asked, values, "resolve");
      this.emit(address, ...values);
    }
  }

  /** The way to the daemon is broken. */
  lose(reason) {
    this.#isConnected = false;
    const text = `${reason} at ${this.#place}: start the daemon with musicgen-rt jam`;
    this.#absence = text;
    this.#forget(text);
    this.emit("lost", text);
  }

  #settle(address, value, how) {
    const queue = this.#waiting.get(address) ?? [];
    // Of a fader one answer is for all that asked before: its last argument says how many.
    const count = how === "resolve" && value.length === 2 ? Math.max(1, value[1]) : 1;
    const answered = queue.splice(0, count);
    for (const one of answered) one[how](value);
    return answered.length > 0;
  }

  #await() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.lose("nobody answers"), SILENCE_MS);
  }

  #find() {
    this.#await();
    this.#absence = null;
    if (!this.#isConnected) {
      this.#isConnected = true;
      this.emit("connected");
    }
  }

  #forget(reason) {
    const waiting = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const one of waiting) one.reject(new Error(reason));
  }
}
