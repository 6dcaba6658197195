// Unpacks the data of the page, connects its parts, and shows everything again when a filter changes.

const data = JSON.parse(byId("data").textContent);
const page = { ...data, groups: unpackGroups(data), trees: unpackTrees(data) };
const calls = unpackCalls(page), several = page.hosts.length > 1;
const slowest = calls.duration[0] ?? page.floor_ns;
const shortest = Math.max(1000, calls.duration.at(-1) ?? page.floor_ns); // a logarithm needs a positive one
const range = [shortest, Math.max(slowest, shortest * 1.1)];

const filters = pageFilters(page, { slowest, range }, change);
const showLatency = latencyPicture(
  { box: byId("latency"), said: byId("latency-shades"), line: byId("latency-at") }, page, calls, range,
  filters.chooseSpans);

// The tables of groups: the key, the title, the field of groups (selection.js), its values, how they are called, and what a
// click on one does.
const itself = (name) => name;
const TABLES = [
  ["host", "Host", 5, page.hosts, itself, (name) => filters.choose("host", name)],
  ["process", "Process", 0, page.names, ([text]) => text, (name) => filters.choose("process", asked(name))],
  ["peer", "Peer", 3, page.peers, itself, (name) => filters.choose("peer", name)],
  ["route", "Route", 8, page.routes, ([text]) => text, (name) => filters.choose("route", name)],
  ["workload", "Container, pod or unit", 9, page.workloads, ([, name]) => name, (_, [, , name, id, pod, namespace]) => {
    filters.choose("container", name || id);
    if (pod) filters.choose("pod", `${namespace}/${pod}`);
  }],
];
const HIDDEN = { host: !several, route: !page.has_heads, workload: !page.has_workloads };
const tables = TABLES.filter(([key]) => !HIDDEN[key]).map(([key, title, field, values, nameOf, chosen]) => ({
  key, field, values,
  ...groupTable(byId(`by-${key}`), { title, range, nameOf, choose: chosen, changed: () => remember() }),
}));
const showFlame = flameGraph({
  box: byId("flame"),
  at: byId("flame-at"),
  search: byId("flame-search"),
  reset: byId("flame-reset"),
  found: byId("flame-found"),
  legend: byId("modules"),
  merges: document.getElementsByName("merge"),
}, page, select(page, calls, { at_least: 0 }));
const callsShown = callsTable({
  head: document.querySelector("#calls-table thead tr"),
  body: document.querySelector("#calls-table tbody"),
  search: byId("calls-search"),
  more: byId("more"),
  said: byId("calls-said"),
}, page, calls, () => remember());

function showAll() {
  const filter = filters.read(), selected = select(page, calls, filter);
  filters.showChips();
  showTotals(page, calls, selected);
  showNote(page, selected, filters, (other) => select(page, calls, other).indices.length);
  const isPart = filter.time || filter.at_most < Infinity; // of the picture, which shows the rest too
  showLatency(isPart ? select(page, calls, { ...filter, time: null, at_most: Infinity }) : selected, filter);
  for (const { show, field, values } of tables) show(apart(page, calls, selected, field, values), selected.time);
  callsShown.show(selected);
  showFlame(selected);
}

function change() {
  showAll();
  remember();
}

byId("flame-search").addEventListener("input", () => remember());
for (const radio of document.getElementsByName("merge")) radio.addEventListener("change", () => remember());
for (const link of document.querySelectorAll("a[href^='#']")) {
  link.addEventListener("click", (event) => { // the hash is the state's
    event.preventDefault();
    document.querySelector(link.getAttribute("href")).focus();
  });
}

byId("where").textContent = page.where;
byId("origins").append(...page.origins.map((text) => make("li", {}, text)));
byId("captures").open = byId("captures-said").hidden = page.origins.length === 1;
byId("captures-said").textContent = page.name;
for (const part of document.querySelectorAll(".of-host")) part.hidden = !several;
for (const part of document.querySelectorAll(".of-links")) part.hidden = !page.linked;
for (const part of document.querySelectorAll(".of-heads")) part.hidden = !page.has_heads;
for (const part of document.querySelectorAll(".of-workloads")) part.hidden = !page.has_workloads;
byId("warnings").append(...page.warnings.map((text) => make("li", {}, make("strong", {}, "Warning: "), text)));
byId("warnings").hidden = !page.warnings.length;
showAnswers(page.answers, several);
byId("facts").append(...page.facts.map((text) => make("li", {}, text)));
byId("judged").textContent = page.first_byte
  ? "Durations are from the first byte of the request to the first byte of the response."
  : "Durations are from the first byte of the request to the last byte of the response.";
byId("made").textContent = `Made by httpreport ${page.version}. One file: it fetches nothing and sends nothing.`;
offerValues(page);

const [fromRoot, fromLeaf] = document.getElementsByName("merge");
const remember = addressState({
  ...filters.state,
  frames: controlField(byId("flame-search")),
  merge: {
    text: () => (fromLeaf.checked ? "leaf" : ""),
    take: (text) => { (text === "leaf" ? fromLeaf : fromRoot).checked = true; },
  },
  ...Object.fromEntries(tables.map(({ key, sorted }) => [`sort_${key}`, sorted])),
  find: controlField(byId("calls-search")),
  sort: callsShown.sorted,
  call: callsShown.last,
}, () => {
  showAll();
  document.querySelector(".opened")?.scrollIntoView({ block: "nearest" });
});
document.documentElement.dataset.ready = "true";
