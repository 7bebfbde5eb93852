// A client of the musicgen-rt daemon for Node.js 18 or later, over OSC. Needs no packages.
//
//   const mgrt = new Mgrt();
//   mgrt.on("/mgrt/beat", (bar, beat, bpm) => console.log(bar, beat, bpm));
//   await mgrt.send("/mgrt/prompt/set", 0, "dub techno, deep chords");
//
// Events: "connected", "lost", and each address that the daemon sends, with its arguments.

import dgram from "node:dgram";
import { EventEmitter } from "node:events";
import { bundle, decode, encode } from "./osc.mjs";

const RETRY_MS = 2000;
const RENEW_MS = 10000;
// Heartbeats come once a second.
const SILENCE_MS = 3500;
// Those that are answered by a message of their own.
const OWN_ANSWER = /^(.*)\.(reply|challenge)$/;

export class Mgrt extends EventEmitter {
  #socket = dgram.createSocket("udp4");
  #waiting = new Map(); // address -> what to do with its answers, in order
  #watch = null;
  #retry;
  #renew;
  #isConnected = false;
  #absence = null; // why nobody answers, once that is known

  constructor({ host = "127.0.0.1", port = 9120 } = {}) {
    super();
    this.host = host;
    this.port = port;
    this.#socket.on("message", (packet) => this.#take(packet));
    this.#socket.on("error", (error) => this.#lose(error.message));
    this.#retry = setInterval(() => this.#isConnected || this.#subscribe(), RETRY_MS);
    // Any message keeps the subscription.
    this.#renew = setInterval(() => this.#say(encode("/mgrt/status")), RENEW_MS);
    this.#await();
    this.#subscribe();
  }

  get isConnected() {
    return this.#isConnected;
  }

  /** Do it now: the answer's arguments. Rejects with the daemon's reason, or if it is away. */
  async send(address, ...values) {
    return this.#ask(address, encode(address, ...values));
  }

  /** Do it at a time of Date.now(), at most 10 s ahead. The answer comes when it is done. */
  async sendAt(dueMs, address, ...values) {
    return this.#ask(address, bundle(dueMs, encode(address, ...values)));
  }

  /** Leave the daemon. What waits for an answer is rejected. */
  close() {
    clearInterval(this.#retry);
    clearInterval(this.#renew);
    clearTimeout(this.#watch);
    this.#forget("closed");
    this.#say(encode("/mgrt/notify", 0), () => this.#socket.close());
  }

  #ask(address, packet) {
    if (this.#absence) throw new Error(this.#absence);
    return new Promise((resolve, reject) => {
      const queue = this.#waiting.get(address) ?? [];
      this.#waiting.set(address, [...queue, { resolve, reject }]);
      this.#say(packet);
    });
  }

  #say(packet, then = () => {}) {
    this.#socket.send(packet, this.port, this.host, then);
  }

  #subscribe() {
    this.#say(encode("/mgrt/notify", 1));
  }

  #take(packet) {
    let message;
    try {
      message = decode(packet);
    } catch (error) {
      this.emit("/mgrt/error", "mgrt.mjs", `what came is no OSC: ${error.message}`);
      return;
    }
    const [address, ...values] = message;
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
    this.#watch = setTimeout(() => this.#lose("nobody answers"), SILENCE_MS);
  }

  #find() {
    this.#await();
    this.#absence = null;
    if (!this.#isConnected) {
      this.#isConnected = true;
      this.emit("connected");
    }
  }

  #lose(reason) {
    this.#isConnected = false;
    const text = `${reason} at ${this.host}:${this.port}: start the daemon with musicgen-rt jam`;
    this.#absence = text;
    this.#forget(text);
    this.emit("lost", text);
  }

  #forget(reason) {
    const waiting = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    for (const one of waiting) one.reject(new Error(reason));
  }
}
