// A pad whose two directions are two values.

/** `move(x, y)` hears of each place, both 0 to 1 from the lower left; gives a function that shows one. */
export function pad(element, move) {
  const dot = element.firstElementChild;
  const show = (x, y) => {
    dot.style.left = `${100 * x}%`;
    dot.style.bottom = `${100 * y}%`;
  };
  const take = (event) => {
    const { left, bottom, width, height } = element.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    const [x, y] = [(event.clientX - left) / width, (bottom - event.clientY) / height].map(inside);
    show(x, y);
    move(x, y);
  };
  element.onpointerdown = (event) => {
    element.setPointerCapture(event.pointerId);
    take(event);
  };
  element.onpointermove = (event) => element.hasPointerCapture(event.pointerId) && take(event);
  return show;
}
