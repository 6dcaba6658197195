// Unpacks the data of the page, connects the filters, and shows everything again when a filter changes.

const NAMES_LISTED = 20, PEERS_OFFERED = 1000, ROUTES_OFFERED = 1000, WORKLOADS_OFFERED = 1000;

const data = JSON.parse(byId("data").textContent);
const page = { ...data, groups: unpackGroups(data), trees: unpackTrees(data) };
const calls = unpackCalls(page), several = page.hosts.length > 1;
const slowest = calls.duration[0] ?? page.floor_ns;
const shortest = Math.max(1000, calls.duration.at(-1) ?? page.floor_ns); // a logarithm needs a positive one
const range = [shortest, Math.max(slowest, shortest * 1.1)];

const [slider, threshold, ...filters] = ["slider", "threshold", "host", "process", "role", "peer", "method", "status", "route",
  "container", "pod", "roots"].map(byId);
const [host, process, role, peer, method, status, route, container, pod, roots] = filters;
const LAST = Number(slider.max);
const positions = d3.scaleLog(range, [0, LAST]).clamp(true);

// The ends of the slider are exactly the floor and the slowest call; values between them have three digits.
function atPosition(position) {
  if (position <= 0) return page.floor_ns;
  return position >= LAST ? slowest : Math.min(slowest, Number(positions.invert(position).toPrecision(3)));
}

function moveSlider(ns) {
  slider.value = ns <= page.floor_ns ? 0 : positions(Math.max(ns, shortest));
  slider.setAttribute("aria-valuetext", `${ns / 1e6} milliseconds`);
}

function setThreshold(ns) {
  threshold.value = ns / 1e6;
  moveSlider(ns);
}

// Rounds as httpreport rounds -t.
const typedNs = () => Math.round((Number(threshold.value) || 0) * 1e6);

function choose(control, name) {
  control.value = control.value === name ? "" : name;
  change();
}

const showLatency = latencyPicture(
  { box: byId("latency"), said: byId("latency-shades"), line: byId("latency-at") }, page, calls, range);

// The tables of groups: the key, the title, the field of groups (selection.js), its values, how they are called, and what a
// click on one does.
const itself = (name) => name;
const TABLES = [
  ["host", "Host", 5, page.hosts, itself, (name) => choose(host, name)],
  ["process", "Process", 0, page.names, ([text]) => text, (name) => choose(process, asked(name))],
  ["peer", "Peer", 3, page.peers, itself, (name) => choose(peer, name)],
  ["route", "Route", 8, page.routes, ([text]) => text, (name) => choose(route, name)],
  ["workload", "Container, pod or unit", 9, page.workloads, ([, name]) => name, (_, [, , name, id, podName, namespace]) => {
    if (podName) pod.value = pod.value === `${namespace}/${podName}` ? "" : `${namespace}/${podName}`;
    choose(container, name || id);
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
}, page, select(page, calls, { threshold: 0 }));
const callsShown = callsTable({
  head: document.querySelector("#calls-table thead tr"),
  body: document.querySelector("#calls-table tbody"),
  search: byId("calls-search"),
  more: byId("more"),
  said: byId("calls-said"),
}, page, calls, () => remember());

function showAll() {
  const atLeastNs = Math.max(page.floor_ns, typedNs());
  const filter = {
    threshold: atLeastNs, process: process.value, role: role.value, peer: peer.value.trim(), host: host.value,
    method: method.value, status: status.value.trim(), route: route.value.trim(),
    container: container.value.trim(), pod: pod.value.trim(), roots: roots.checked,
  };
  const selected = select(page, calls, filter);
  showTotals(selected);
  showLatency(selected, filter.threshold);
  for (const { show, field, values } of tables) show(apart(page, calls, selected, field, values), selected.time);
  showFlame(selected);
  callsShown.show(selected);
}

function showTotals(selected) {
  const { indices, time, notKnown } = selected;
  byId("totals").replaceChildren(
    page.linked ? requests(linked(page, selected, ROOT)) : "",
    exact("total-calls", indices.length, whole.format(indices.length)),
    ` of ${count(page.recorded, "call")}, `,
    exact("total-time", time, duration(time)),
    indices.length ? `, the slowest ${duration(calls.duration[indices[0]])}` : "",
    page.linked ? once(selected, linked(page, selected, SECOND_END)) : "");
  const names = page.names.slice(0, NAMES_LISTED).map(([text]) => text);
  if (page.names.length > NAMES_LISTED) names.push("...");
  const notes = [
    notKnown ? `Left out: ${count(notKnown, "call")} of which it is not known whether they pass the filters.` : "",
    typedNs() < page.floor_ns ? `Calls shorter than ${page.floor_ns / 1e6} ms are not in this page.` : "",
    page.calls && !indices.length ? `No calls match. Processes and threads in this page: ${names.join(", ")}.` : "",
  ];
  byId("note").textContent = notes.filter(Boolean).join(" ");
}

// Returns a number for people, and in full for those who compare it.
const exact = (id, value, text) => make("data", { id, value }, text);

// Return what the totals say of requests, each second of which counts once, and of calls with both their ends.
const requests = ({ calls, time }) => make("strong", {}, exact("total-requests", calls, count(calls, "request")), " of ",
  exact("requests-time", time, duration(time)), " in all; ");
const once = (selected, { calls, time }) => make("span", {},
  `; without ${whole.format(calls)} that are the server's end of another, `,
  exact("calls-once", selected.indices.length - calls, count(selected.indices.length - calls, "call")), " of ",
  exact("once-time", selected.time - time, duration(selected.time - time)));

let waiting = 0;
function soon() {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(change);
}

function change() {
  showAll();
  remember();
}

slider.addEventListener("input", () => setThreshold(atPosition(Number(slider.value))));
threshold.addEventListener("input", () => moveSlider(typedNs()));
for (const control of [slider, threshold, ...filters]) {
  control.addEventListener("input", soon);
  if (control.tagName === "SELECT") control.addEventListener("change", soon); // a field also changes when it is left
}
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => requestAnimationFrame(() => {
  setThreshold(page.floor_ns);
  change();
}));
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
byId("facts").append(...page.facts.map((text) => make("li", {}, text)));
byId("judged").textContent = page.first_byte
  ? "Durations are from the first byte of the request to the first byte of the response."
  : "Durations are from the first byte of the request to the last byte of the response.";
byId("made").textContent = `Made by httpreport ${page.version}. One file: it fetches nothing and sends nothing.`;
host.append(...page.hosts.map((name) => make("option", { value: name }, name)));
role.append(...page.roles.map((name) => make("option", { value: name }, name)));
method.append(...page.methods.filter(Boolean).map((name) => make("option", { value: name }, name)));
byId("routes").append(...page.routes.slice(0, ROUTES_OFFERED).filter(([, path]) => path)
  .map(([text]) => make("option", { value: text })));
const offered = (values) => [...new Set(values)].filter(Boolean).slice(0, WORKLOADS_OFFERED)
  .map((value) => make("option", { value }));
byId("containers").append(...offered(page.workloads.map(([, , name, id]) => name || id)));
byId("pods").append(...offered(page.workloads.map(([, , , , name, namespace, uid]) => (name ? `${namespace}/${name}` : uid))));
byId("processes").append(...page.names.map(([text]) => make("option", { value: asked(text) })));
byId("peers").append(...page.peers.slice(0, PEERS_OFFERED).map((name) => make("option", { value: name })));

const [fromRoot, fromLeaf] = document.getElementsByName("merge");
const remember = addressState({
  at_least: {
    text: () => (typedNs() === page.floor_ns ? "" : String(typedNs() / 1e6)),
    take: (text) => setThreshold(/^\d{1,12}(\.\d{1,6})?$/.test(text) ? Math.round(text * 1e6) : page.floor_ns),
  },
  ...Object.fromEntries(filters.map((control) => [control.id, control === roots ? checkField(roots) : controlField(control)])),
  frames: controlField(byId("flame-search")),
  merge: { text: () => (fromLeaf.checked ? "leaf" : ""), take: (text) => { (text === "leaf" ? fromLeaf : fromRoot).checked = true; } },
  ...Object.fromEntries(tables.map(({ key, sorted }) => [`sort_${key}`, sorted])),
  find: controlField(byId("calls-search")),
  sort: callsShown.sorted,
  call: callsShown.last,
}, () => {
  showAll();
  document.querySelector(".opened")?.scrollIntoView({ block: "nearest" });
});
document.documentElement.dataset.ready = "true";
