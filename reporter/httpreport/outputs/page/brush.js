// Lets the user choose a part of a picture by dragging over it.

const DRAGGED = 5; // pixels along an axis: what is shorter chooses all of the axis

// Makes a picture choose what is dragged over, and returns the mark that shows it meanwhile. `area` {left, top, width, height} is
// the part of the picture that can be chosen from, in pixels. `chosen` is called with the first and last pixel of it across and
// down, or null for an axis along which all is chosen: after a click that is both.
function brush(picture, area, chosen) {
  const mark = draw("rect", { class: "brush", width: 0, height: 0 });
  let from = null;

  function place({ clientX, clientY }) {
    const box = picture.getBoundingClientRect(), within = (pixel, size) => Math.max(0, Math.min(size - 1, pixel));
    return [within(clientX - box.left - area.left, area.width), within(clientY - box.top - area.top, area.height)];
  }

  function spans(event) {
    return place(event).map((to, axis) => (Math.abs(to - from[axis]) < DRAGGED ? null : d3.extent([from[axis], to])));
  }

  function show(across, down) {
    const [x0, x1] = across ?? [0, area.width], [y0, y1] = down ?? [0, area.height];
    setAttributes(mark, { x: area.left + x0, y: area.top + y0, width: x1 - x0, height: y1 - y0 });
  }

  function end() {
    from = null;
    setAttributes(mark, { width: 0, height: 0 });
  }

  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = place(event);
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => { if (from && spans(event).some(Boolean)) show(...spans(event)); });
  picture.addEventListener("pointercancel", end);
  picture.addEventListener("pointerup", (event) => {
    if (!from) return;
    const found = spans(event);
    end();
    chosen(...found);
  });
  return mark;
}
