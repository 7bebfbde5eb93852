// What is on the page, and what it does.

import { keyboard } from "./keys.js";
import { Mgrt } from "./mgrt.js";
import { pad } from "./pad.js";

const SLOTS = 4;
const SUGGESTIONS = [
  "warm house groove with a round bass",
  "dub techno, deep chords",
  "jazz trio with brushes",
  "drum and bass, rolling",
];
const VELOCITY = 100;
const NEXT = { free: "on", on: "off", off: "free" };
// The ends of the pad.
const [CFG_LOW, CFG_HIGH, HEAT_LOW, HEAT_HIGH] = [1, 6, 0.5, 1.5];

const mgrt = new Mgrt();
const at = (id) => document.getElementById(id);
const when = () => document.querySelector("#when input:checked").value;
const show = (text, isRefusal = false) => {
  at("answer").textContent = text;
  at("answer").classList.toggle("refusal", isRefusal);
};
const send = (address, ...values) => {
  if (!mgrt.isConnected) show(`not sent: ${at("daemon").textContent}`, true);
  else mgrt.send(address, ...values);
};

// The daemon

mgrt.on("connected", () => {
  document.body.classList.remove("alone");
  at("daemon").textContent = "connected";
  show("connected");
  mgrt.send("/mgrt/refresh");
});
mgrt.on("lost", (reason) => {
  document.body.classList.add("alone");
  at("daemon").textContent = reason;
});
mgrt.on("/fail", (address, ...reason) => show(reason.join(" "), true));
mgrt.on("/done", (address, first, second) => {
  const name = address.replace("/mgrt/", "");
  if (name === "clock/tap") show(`tap ${first}${second ? `, ${second.toFixed(1)} BPM` : ""}`);
  else if (Number.isFinite(first)) show(`${name}: heard from beat ${first.toFixed(2)}`);
  else if (first !== undefined) show(`${name}: ${first}`);
});
mgrt.on("/mgrt/heartbeat", (phase, leadMs, speed, underruns, peakDb) => {
  if (phase !== "playing") at("daemon").textContent = phase;
  else at("daemon").textContent = "connected";
  at("lead").textContent = `${(leadMs / 1000).toFixed(1)} s`;
  at("level").textContent = `${peakDb.toFixed(1)} dB`;
  at("underruns").textContent = underruns;
});

// Clock and transport

let beatsInBar = 0;
mgrt.on("/mgrt/state/clock", (source, bpm, beats) => {
  if (document.activeElement !== at("tempo")) at("tempo").value = Math.round(bpm * 100) / 100;
  at("tempo").disabled = source !== "internal";
  if (beats === beatsInBar) return;
  beatsInBar = beats;
  at("beats").replaceChildren(...Array.from({ length: beats }, () => document.createElement("i")));
});
mgrt.on("/mgrt/beat", (bar, beat) => {
  at("bar").textContent = bar;
  [...at("beats").children].forEach((light, n) => light.classList.toggle("on", n === beat - 1));
});
mgrt.on("/mgrt/state/transport", (isPlaying) => at("play").classList.toggle("on", !!isPlaying));
mgrt.on("/mgrt/state/freeze", (isOn) => at("freeze").classList.toggle("on", !!isOn));
mgrt.on("/mgrt/state/record", (isOn) => at("record").classList.toggle("on", !!isOn));
mgrt.on("/mgrt/state/audio", (gainDb) => (at("gain").control.value = gainDb));
at("tempo").onchange = ({ target }) => send("/mgrt/clock/tempo", Number(target.value));
at("gain").oninput = ({ target }) => send("/mgrt/audio/gain_db", Number(target.value));
const isOn = (id) => at(id).classList.contains("on");
const BUTTONS = {
  tap: () => send("/mgrt/clock/tap"),
  play: () => send("/mgrt/transport/play"),
  stop: () => send("/mgrt/transport/stop"),
  retry: () => send("/mgrt/gen/retry"),
  undo: () => send("/mgrt/gen/undo", 1),
  undo4: () => send("/mgrt/gen/undo", 4),
  panic: () => send("/mgrt/gen/panic"),
  freeze: () => send("/mgrt/gen/freeze", Number(!isOn("freeze"))),
  record: () => send("/mgrt/audio/record", Number(!isOn("record"))),
  follow: () => send("/mgrt/melody/mode", isOn("follow") ? "off" : "follow"),
};
for (const [id, press] of Object.entries(BUTTONS)) at(id).onclick = press;

// Prompts

const rows = SUGGESTIONS.slice(0, SLOTS).map((suggestion, slot) => {
  const row = document.createElement("div");
  row.className = "prompt";
  row.style.setProperty("--hue", 30 + 85 * slot);
  row.innerHTML = `<input type="text" id="prompt${slot}" maxlength="2000" spellcheck="false"
    aria-label="prompt ${slot}"><input type="range" id="weight${slot}" min="0" max="1"
    step="0.01" value="0" aria-label="weight of prompt ${slot}"><output>0.00</output>`;
  const [text, weight, output] = row.children;
  text.placeholder = suggestion;
  let asked = "";
  const set = () => {
    asked = text.value ||= suggestion;
    send("/mgrt/prompt/set", slot, text.value, Number(weight.value), 0, when());
  };
  text.onkeydown = ({ key }) => key === "Enter" && set();
  text.onchange = () => text.value === asked || set();
  weight.oninput = () => {
    if (!text.value) set();
    else send("/mgrt/prompt/weight", slot, Number(weight.value), 0, when());
  };
  at("prompts").append(row);
  return { row, text, weight, output };
});
mgrt.on("/mgrt/state/prompt", (slot, words, share) => {
  if (slot >= SLOTS) return;
  const { row, text, weight, output } = rows[slot];
  if (document.activeElement !== text) text.value = words;
  if (!weight.matches(":active")) weight.value = share;
  output.textContent = share.toFixed(2);
  row.style.setProperty("--share", words ? Math.min(1, Math.max(0, share)) : 0);
});

// Pad

const params = { cfg: 3, temperature: 1 };
const place = pad(at("xy"), (x, y) => {
  send("/mgrt/param/set/cfg", CFG_LOW + x * (CFG_HIGH - CFG_LOW));
  send("/mgrt/param/set/temperature", HEAT_LOW + y * (HEAT_HIGH - HEAT_LOW));
});
mgrt.on("/mgrt/state/param", (name, value) => {
  if (!(name in params)) return;
  params[name] = value;
  const x = (params.cfg - CFG_LOW) / (CFG_HIGH - CFG_LOW);
  const y = (params.temperature - HEAT_LOW) / (HEAT_HIGH - HEAT_LOW);
  place(Math.min(1, Math.max(0, x)), Math.min(1, Math.max(0, y)));
});

// Parts: whatever the model knows

mgrt.on("/mgrt/state/attr", (name, value) => {
  const id = `attr-${name}`;
  const chip = at(id) ?? document.createElement("button");
  Object.assign(chip, { id, className: value, textContent: name.replaceAll("_", " ") });
  chip.title = `${name}: ${value}`;
  chip.onclick = () => send("/mgrt/attr/set", name, NEXT[value], when());
  if (!chip.parentElement) at("attributes").append(chip);
});

// Melody

mgrt.on("/mgrt/state/melody", (mode) => at("follow").classList.toggle("on", mode === "follow"));
keyboard(at("keys"), (pitch, isDown) => {
  if (isDown) send("/mgrt/melody/note_on", pitch, VELOCITY);
  else send("/mgrt/melody/note_off", pitch);
});
