// Play the daemon from Node.js: a prompt, then a phrase, a note a beat, and the bars.
//
//   node client.mjs [--port 9120] [--prompt TEXT] [--bars 8]
//   node client.mjs --zeromq [--commands tcp://127.0.0.1:9121] [--events tcp://127.0.0.1:9122]

import { parseArgs } from "node:util";
import { Mgrt } from "./mgrt.mjs";

const PHRASE = [60, 64, 67, 72, 69, 65, 62, 67];

const { values } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "9120" },
    zeromq: { type: "boolean", default: false },
    commands: { type: "string" },
    events: { type: "string" },
    prompt: { type: "string", default: "jazz trio with brushes" },
    bars: { type: "string", default: "8" },
  },
});
let beats = 0;

// ZeroMQ is a package, which OSC does without.
async function client() {
  if (!values.zeromq) return new Mgrt({ host: values.host, port: Number(values.port) });
  const { MgrtZmq } = await import("./zeromq.mjs");
  return new MgrtZmq({ commands: values.commands, events: values.events });
}
const mgrt = await client();

// What is refused is said; the music goes on.
function say(address, ...args) {
  return mgrt.send(address, ...args).catch((error) => console.log(`refused: ${error.message}`));
}

mgrt.on("lost", (reason) => console.log(reason));
mgrt.on("connected", async () => {
  console.log("connected");
  const answer = await say("/mgrt/prompt/set", 0, values.prompt);
  if (answer) console.log(`${values.prompt}: heard from beat ${answer[0].toFixed(2)}`);
  await say("/mgrt/melody/mode", "follow");
});
mgrt.on("/mgrt/beat", async (bar, beat, bpm) => {
  console.log(`bar ${bar} beat ${beat} at ${bpm} BPM`);
  say("/mgrt/melody/note_off", PHRASE.at((beats - 1) % PHRASE.length), "beat");
  say("/mgrt/melody/note_on", PHRASE[beats % PHRASE.length], 100, "beat");
  beats += 1;
  if (beats === 4 * Number(values.bars)) {
    await say("/mgrt/melody/mode", "off");
    mgrt.removeAllListeners();
    mgrt.close();
  }
});
