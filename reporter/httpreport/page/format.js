// How numbers are written, and how elements are made: recorded text only ever becomes a text node or an attribute.

const twoDigits = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat("en-US");
const rough = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

const milliseconds = (ns) => `${twoDigits.format(ns / 1e6)} ms`;
const count = (number, what) => `${whole.format(number)} ${what}${number === 1 ? "" : "s"}`;
const percent = (part, all) => `${(all ? (100 * part) / all : 0).toFixed(1)}%`;

// A duration with three digits, in the unit that suits it.
function roughly(ns) {
  const [size, unit] = ns >= 1e9 ? [1e9, "s"] : ns >= 1e6 ? [1e6, "ms"] : ns >= 1e3 ? [1e3, "µs"] : [1, "ns"];
  return `${rough.format(ns / size)} ${unit}`;
}

function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  return element;
}

function make(tag, attributes = {}, ...children) {
  const element = setAttributes(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = setAttributes(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes);
  element.append(...children);
  return element;
}

const byId = (id) => document.getElementById(id);
