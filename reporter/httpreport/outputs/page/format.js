// Formats numbers and makes elements. Recorded text only ever becomes a text node or an attribute.

const whole = new Intl.NumberFormat("en-US");

const count = (number, what) => `${whole.format(number)} ${what}${number === 1 ? "" : "s"}`;
const percent = (part, all) => `${(all ? (100 * part) / all : 0).toFixed(1)}%`;

// Returns a duration in ns as text, with three digits and a unit that suits it, by the rule of httpcapture/durations.py.
function duration(ns) {
  if (!ns) return "0 ms";
  let power = 0;
  const rounded = () => Math.floor((Math.round(ns) + Math.floor(10 ** power / 2)) / 10 ** power);
  while (rounded() >= 1000 && power < 9) power++;
  const decimals = 2 - ((power + 2) % 3);
  return `${whole.format(rounded() / 10 ** decimals)} ${["ns", "us", "ms", "s"][Math.ceil(power / 3)]}`;
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
