// A keyboard of two octaves for fingers, mice and the computer's own keys.

const FIRST_PITCH = 48;
const LAST_PITCH = 72;
const BLACK = new Set([1, 3, 6, 8, 10]);
const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
// The row of a typewriter that lies like a piano's keys, from middle C on.
const TYPED = "awsedftgyhujkolp";
const TYPED_FIRST_PITCH = 60;

/** Put the keys into an element; `play(pitch, isDown)` hears of each. */
export function keyboard(element, play) {
  const keys = new Map();
  const press = (pitch, isDown) => {
    const key = keys.get(pitch);
    if (!key || key.classList.contains("down") === isDown) return;
    key.classList.toggle("down", isDown);
    play(pitch, isDown);
  };
  for (let pitch = FIRST_PITCH; pitch <= LAST_PITCH; pitch += 1) {
    const key = document.createElement("button");
    key.className = BLACK.has(pitch % 12) ? "black" : "white";
    key.dataset.pitch = pitch;
    key.title = `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;
    key.onpointerdown = (event) => {
      // A finger may slide over to the next key.
      key.releasePointerCapture(event.pointerId);
      press(pitch, true);
    };
    key.onpointerenter = (event) => event.buttons && press(pitch, true);
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) {
      key.addEventListener(end, () => press(pitch, false));
    }
    keys.set(pitch, key);
    element.append(key);
  }
  typewriter(press);
}

function typewriter(press) {
  const pitchOf = ({ key, target, ctrlKey, metaKey, altKey }) => {
    const isText = target.matches("input[type=text], input[type=number]");
    const index = isText || ctrlKey || metaKey || altKey ? -1 : TYPED.indexOf(key.toLowerCase());
    return index < 0 ? null : TYPED_FIRST_PITCH + index;
  };
  addEventListener("keydown", (event) => event.repeat || press(pitchOf(event), true));
  addEventListener("keyup", (event) => press(pitchOf(event), false));
  addEventListener("blur", () => {
    for (let pitch = FIRST_PITCH; pitch <= LAST_PITCH; pitch += 1) press(pitch, false);
  });
}
