// The daemon, as the page sees it: JSON arrays over a WebSocket to serve.py.
//
//   const mgrt = new Mgrt();
//   mgrt.on("/mgrt/beat", (bar, beat, bpm) => console.log(bar, beat, bpm));
//   mgrt.send("/mgrt/prompt/set", 0, "dub techno, deep chords");
//
// "connected" and "lost" (with the reason) come too, and each address that the daemon sends.

const RETRY_MS = 2000;

export class Mgrt {
  #listeners = new Map();
  #socket = null;
  #isConnected = false;

  constructor(url = `ws://${location.host}/line`) {
    this.url = url;
    this.#open();
  }

  get isConnected() {
    return this.#isConnected;
  }

  /** Hear of an address. */
  on(address, listener) {
    this.#listeners.set(address, [...(this.#listeners.get(address) ?? []), listener]);
  }

  /** Ask the daemon; "/done" or "/fail" come as events. False while there is no way to it. */
  send(address, ...values) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify([address, ...values]));
    return true;
  }

  #open() {
    this.#socket = new WebSocket(this.url);
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#socket.onclose = () => {
      this.#lose("this page's server has ended: start it again with python serve.py");
      setTimeout(() => this.#open(), RETRY_MS);
    };
  }

  #take([address, ...values]) {
    if (address === "/mgrt/heartbeat" && !this.#isConnected) {
      this.#isConnected = true;
      this.#emit("connected");
    }
    if (address === "/fail" && values[0] === "/mgrt/heartbeat") this.#lose(values[1]);
    else this.#emit(address, ...values);
  }

  #lose(reason) {
    this.#isConnected = false;
    this.#emit("lost", reason);
  }

  #emit(address, ...values) {
    for (const listener of this.#listeners.get(address) ?? []) listener(...values);
  }
}
