// Reads the data of a comparison's page and shows each part of the page.

const page = JSON.parse(byId("data").textContent);
const waited = (ns) => duration(Math.round(ns * page.rate)) + page.each;

const said = ({ before, after }) =>
  `${waited(before)} before, ${waited(after)} after (${relative(before, after)})`;

const showFlame = flameChart({
  box: byId("flame"),
  at: byId("flame-at"),
  search: byId("flame-search"),
  reset: byId("flame-reset"),
  found: byId("flame-found"),
  merges: document.getElementsByName("merge"),
}, {
  tree: (side, fromLeaf) => changeTree(page, side, fromLeaf),
  colour: ({ data }) => shadeColour(shade(page, data.before, data.after)),
  label: ({ data }) => `${relative(data.before, data.after)} ${data.name}`,
  searched: ({ data }) => data.name,
  empty: (side) => (page.stacks.length ? `No time was waited ${side}.` : "No calls match."),
  describe: ({ data }, total) => `${data.name}: ${said(data)}, ${count(data.beforeCalls, "call")} before, `
    + `${whole.format(data.afterCalls)} after; ${percent(data.value, total)} of the width`,
});

// Returns what a shade means: the least change, in percent of the value before.
function shadeMeaning(number) {
  const part = page.shades[Math.abs(number) - 1];
  if (!number) return "about the same";
  const least = number > 0 ? 100 * (1 / (1 - part) - 1) : 100 * part;
  const word = Math.abs(number) < page.shades.length ? "" : number > 0 ? ", new" : ", gone";
  return `${number > 0 ? "+" : "-"}${Math.round(least)}% or more${word}`;
}

const strongest = page.shades.length;
byId("shades").append(...d3.range(strongest, -strongest - 1, -1).map((number) =>
  make("li", {}, swatch(shadeColour(number)), make("span", {}, shadeMeaning(number)))));
for (const side of ["before", "after"]) byId(side).textContent = page[side];
byId("warnings").append(...page.warnings.map((text) => make("li", {}, make("strong", {}, "Warning: "), text)));
byId("warnings").hidden = !page.warnings.length;
showAnswers(page.answers, page.answers.length > 1);
byId("facts").append(...page.facts.map((text) => make("li", {}, text)));
byId("made").textContent = `Made by httpreport ${page.version}. One file: it fetches nothing and sends nothing.`;

changesTable(byId("peers"), byId("peers-said"), page.heads, page.peers, "Process and peer");
byId("by-route").hidden = !page.routes.length;
changesTable(byId("routes"), byId("routes-said"), page.heads, page.routes, "Route");
byId("by-self-time").hidden = !page.self_times.length;
changesTable(byId("self-times"), byId("self-said"), page.self_heads, page.self_times, "Process, and what it answered");
const sides = [...document.getElementsByName("side")];
const showSide = () => showFlame(sides.find((radio) => radio.checked).value);
sides.forEach((radio) => radio.addEventListener("change", showSide));
showSide();
stacksTable({
  head: document.querySelector("#stacks-table thead tr"),
  body: document.querySelector("#stacks-table tbody"),
  search: byId("stacks-search"),
  more: byId("more"),
  said: byId("stacks-said"),
}, page, waited);
document.documentElement.dataset.ready = "true";
