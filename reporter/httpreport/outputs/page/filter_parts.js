// The parts of the page's filter. Of each part, `value` returns what `select` takes, and `none` is that if it is not set; `said`
// returns what it is called, empty if it is not set; `remove` removes it; `text` and `take` are those of a field in the hash.

// The shortest duration: a slider, and a field in ms. `slowest` is the longest duration in ns, and `range` a range of durations
// for a logarithm.
function thresholdPart(page, slider, field, { slowest, range }) {
  const last = Number(slider.max), positions = d3.scaleLog(range, [0, last]).clamp(true);

  // The ends of the slider are exactly the floor and the slowest call; values between them have three digits.
  function atPosition(position) {
    if (position <= 0) return page.floor_ns;
    return position >= last ? slowest : Math.min(slowest, Number(positions.invert(position).toPrecision(3)));
  }

  function moveSlider(ns) {
    slider.value = ns <= page.floor_ns ? 0 : positions(Math.max(ns, range[0]));
    slider.setAttribute("aria-valuetext", `${ns / 1e6} milliseconds`);
  }

  function set(ns) {
    field.value = ns / 1e6;
    moveSlider(ns);
  }

  // Rounds as httpreport rounds -t.
  const typed = () => Math.round((Number(field.value) || 0) * 1e6);

  slider.addEventListener("input", () => set(atPosition(Number(slider.value))));
  field.addEventListener("input", () => moveSlider(typed()));
  return {
    typed, set, none: page.floor_ns,
    value: () => Math.max(page.floor_ns, typed()),
    said: () => (typed() > page.floor_ns ? `At least ${duration(typed())}` : ""),
    remove: () => set(page.floor_ns),
    text: () => (typed() === page.floor_ns ? "" : String(typed() / 1e6)),
    take: (text) => set(isMilliseconds(text) ? Math.round(text * 1e6) : page.floor_ns),
  };
}

const isMilliseconds = (text) => /^\d{1,12}(\.\d{1,6})?$/.test(text);

// The longest duration: a field in ms.
function atMostPart(field) {
  const value = () => (Number(field.value) > 0 ? Math.round(Number(field.value) * 1e6) : Infinity);
  const set = (ns) => { field.value = ns === null ? "" : ns / 1e6; };
  return {
    value, set, none: Infinity,
    said: () => (value() < Infinity ? `At most ${duration(value())}` : ""),
    remove: () => set(null),
    text: () => field.value,
    take: (text) => { field.value = isMilliseconds(text) ? text : ""; },
  };
}

// The time in which calls begin: the first and the last step between the first and the last start, in a hidden field.
function timePart(page, field) {
  const remove = () => { field.value = ""; };

  function value() {
    const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(field.value) ?? [];
    return Number(first) <= Number(last) && last < page.moments ? [Number(first), Number(last)] : null;
  }

  return {
    value, remove, none: null,
    set: (steps) => { field.value = steps.join("-"); },
    said: () => (value() ? `Time ${value().map((step) => clockAt(page, step)).join(" to ")}` : ""),
    ...controlField(field),
  };
}

// Returns the time of day of a step, in UTC.
function clockAt(page, step) {
  return d3.utcFormat("%H:%M:%S.%L")(new Date(page.first_ms + ((page.last_ms - page.first_ms) * step) / (page.moments - 1)));
}

// A box to check.
const checkPart = (box, said) => ({
  none: false,
  value: () => box.checked,
  said: () => (box.checked ? said : ""),
  remove: () => { box.checked = false; },
  ...checkField(box),
});

// A field with a label.
const fieldPart = (control) => ({
  none: "",
  value: () => (control.id === "process" ? control.value : control.value.trim()), // names may end with spaces
  said: () => (control.value.trim() ? `${control.labels[0].textContent} ${control.value}` : ""),
  remove: () => { control.value = ""; },
  ...controlField(control),
});
