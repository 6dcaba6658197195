// Keeps the state of the page in the hash of its address, so that a reload, a link, and back and forward restore it. A hash may
// come from anybody: it is bounded, unknown keys are ignored, and each value is taken as text by the field that it is for.

const LONGEST_HASH = 1 << 14, LONGEST_VALUE = 1 << 12, SETTLED_MS = 300;

// `fields` has for each key the functions that return the text of a field, empty if it is as at first, and that take one.
// `restored` is called when all fields have taken theirs.
function addressState(fields, restored) {
  let timer = 0;

  function hash() {
    const texts = Object.entries(fields).map(([key, { text }]) => [key, text()]);
    return new URLSearchParams(texts.filter(([, text]) => text)).toString();
  }

  function restore() {
    clearTimeout(timer);
    const given = location.hash.slice(1);
    const values = new URLSearchParams(given.length > LONGEST_HASH ? "" : given);
    for (const [key, { take }] of Object.entries(fields)) take((values.get(key) ?? "").slice(0, LONGEST_VALUE));
    restored();
  }

  // Adds the state to the history. What changes again before it has settled, such as a slider, is one step of it.
  function write() {
    clearTimeout(timer);
    if (timer && hash() !== location.hash.slice(1)) history.pushState(null, "", `#${hash()}`);
    timer = 0;
  }

  function remember() {
    clearTimeout(timer);
    timer = setTimeout(write, SETTLED_MS);
  }

  addEventListener("popstate", restore);
  addEventListener("pagehide", write);
  restore();
  return remember;
}

// Return the functions of a field for a control, of which `""` is the value at first, and for a box to check.
const controlField = (control) => ({ text: () => control.value, take: (text) => { control.value = text; } });
const checkField = (box) => ({ text: () => (box.checked ? "1" : ""), take: (text) => { box.checked = text === "1"; } });
