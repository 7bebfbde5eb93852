// A client of the musicgen-rt daemon for Node.js 18 or later, over OSC. Needs no packages.
//
//   const mgrt = new Mgrt();
//   mgrt.on("/mgrt/beat", (bar, beat, bpm) => console.log(bar, beat, bpm));
//   await mgrt.send("/mgrt/prompt/set", 0, "dub techno, deep chords");
//
// Events: "connected", "lost", and each address that the daemon sends, with its arguments.

import dgram from "node:dgram";
import { Daemon } from "./daemon.mjs";
import { bundle, decode, encode } from "./osc.mjs";

const RETRY_MS = 2000;
const RENEW_MS = 10000;

export class Mgrt extends Daemon {
  #socket = dgram.createSocket("udp4");
  #retry;
  #renew;

  constructor({ host = "127.0.0.1", port = 9120 } = {}) {
    super(`${host}:${port}`);
    this.host = host;
    this.port = port;
    this.#socket.on("message", (packet) => this.#read(packet));
    this.#socket.on("error", (error) => this.lose(error.message));
    this.#retry = setInterval(() => this.isConnected || this.#subscribe(), RETRY_MS);
    // Any message keeps the subscription.
    this.#renew = setInterval(() => this.#say(encode("/mgrt/status")), RENEW_MS);
    this.#subscribe();
  }

  /** Do it now: the answer's arguments. Rejects with the daemon's reason, or if it is away. */
  async send(address, ...values) {
    const packet = encode(address, ...values);
    return this.ask(address, () => this.#say(packet));
  }

  /** Do it at a time of Date.now(), at most 10 s ahead. The answer comes when it is done. */
  async sendAt(dueMs, address, ...values) {
    const packet = bundle(dueMs, encode(address, ...values));
    return this.ask(address, () => this.#say(packet));
  }

  /** Leave the daemon. What waits for an answer is rejected. */
  close() {
    super.close();
    clearInterval(this.#retry);
    clearInterval(this.#renew);
    this.#say(encode("/mgrt/notify", 0), () => this.#socket.close());
  }

  #say(packet, then = () => {}) {
    this.#socket.send(packet, this.port, this.host, then);
  }

  #subscribe() {
    this.#say(encode("/mgrt/notify", 1));
  }

  #read(packet) {
    let message;
    try {
      message = decode(packet);
    } catch (error) {
      this.emit("/mgrt/error", "mgrt.mjs", `what came is no OSC: ${error.message}`);
      return;
    }
    this.take(message);
  }
}
