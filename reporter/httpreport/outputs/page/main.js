// Unpacks the data of the page, connects the filters, and shows everything again when a filter changes.

const NAMES_LISTED = 20, PEERS_OFFERED = 1000, ROUTES_OFFERED = 1000, WORKLOADS_OFFERED = 1000;

const data = JSON.parse(byId("data").textContent);
const page = { ...data, groups: unpackGroups(data) };
const calls = unpackCalls(page), several = page.hosts.length > 1;
const slowest = calls.duration[0] ?? page.floor_ns;
const shortest = Math.max(1000, calls.duration.at(-1) ?? page.floor_ns); // a logarithm needs a positive one
const range = [shortest, Math.max(slowest, shortest * 1.1)];

const [slider, threshold, ...filters] = ["slider", "threshold", "host", "process", "role", "peer", "method", "status", "route",
  "container", "pod"].map(byId);
const [host, process, role, peer, method, status, route, container, pod] = filters;
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
  showAll();
}

const showLatency = latencyPicture(
  { box: byId("latency"), said: byId("latency-shades"), line: byId("latency-at") }, page, calls, range);
const showHosts = groupTable(byId("by-host"), "Host", range, (name) => name, (name) => choose(host, name));
const showProcesses = groupTable(
  byId("by-process"), "Process", range, ([text]) => text, (name) => choose(process, asked(name)));
const showPeers = groupTable(byId("by-peer"), "Peer", range, (name) => name, (name) => choose(peer, name));
const showRoutes = groupTable(byId("by-route"), "Route", range, ([text]) => text, (name) => choose(route, name));
const showWorkloads = groupTable(byId("by-workload"), "Container, pod or unit", range, ([, name]) => name,
  (_, [, , name, id, podName, namespace]) => {
    choose(container, name || id);
    if (podName) choose(pod, `${namespace}/${podName}`);
  });
const showFlame = flameGraph({
  box: byId("flame"),
  at: byId("flame-at"),
  search: byId("flame-search"),
  reset: byId("flame-reset"),
  found: byId("flame-found"),
  legend: byId("modules"),
  merges: document.getElementsByName("merge"),
}, page, select(page, calls, { threshold: 0 }));
const showCalls = callsTable({
  head: document.querySelector("#calls-table thead tr"),
  body: document.querySelector("#calls-table tbody"),
  search: byId("calls-search"),
  more: byId("more"),
  said: byId("calls-said"),
}, page, calls);

function showAll() {
  const atLeastNs = Math.max(page.floor_ns, typedNs());
  const filter = {
    threshold: atLeastNs, process: process.value, role: role.value, peer: peer.value.trim(), host: host.value,
    method: method.value, status: status.value.trim(), route: route.value.trim(),
    container: container.value.trim(), pod: pod.value.trim(),
  };
  const selected = select(page, calls, filter);
  showTotals(selected);
  showLatency(selected, filter.threshold);
  if (several) showHosts(apart(page, calls, selected, 5, page.hosts), selected.time);
  showProcesses(apart(page, calls, selected, 0, page.names), selected.time);
  showPeers(apart(page, calls, selected, 3, page.peers), selected.time);
  if (page.has_heads) showRoutes(apart(page, calls, selected, 8, page.routes), selected.time);
  if (page.has_workloads) showWorkloads(apart(page, calls, selected, 9, page.workloads), selected.time);
  showFlame(selected);
  showCalls(selected);
}

function showTotals({ indices, time, notKnown }) {
  byId("totals").replaceChildren(
    make("data", { id: "total-calls", value: indices.length }, whole.format(indices.length)),
    ` of ${count(page.recorded, "call")}, `,
    make("data", { id: "total-time", value: time }, duration(time)),
    indices.length ? `, the slowest ${duration(calls.duration[indices[0]])}` : "");
  const names = page.names.slice(0, NAMES_LISTED).map(([text]) => text);
  if (page.names.length > NAMES_LISTED) names.push("...");
  const notes = [
    notKnown ? `Left out: ${count(notKnown, "call")} of which it is not known whether they pass the filters.` : "",
    typedNs() < page.floor_ns ? `Calls shorter than ${page.floor_ns / 1e6} ms are not in this page.` : "",
    page.calls && !indices.length ? `No calls match. Processes and threads in this page: ${names.join(", ")}.` : "",
  ];
  byId("note").textContent = notes.filter(Boolean).join(" ");
}

let waiting = 0;
function soon() {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(showAll);
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
  showAll();
}));

byId("where").textContent = page.where;
byId("origins").append(...page.origins.map((text) => make("li", {}, text)));
byId("captures").open = byId("captures-said").hidden = page.origins.length === 1;
byId("captures-said").textContent = page.name;
for (const part of document.querySelectorAll(".of-host")) part.hidden = !several;
for (const part of document.querySelectorAll(".of-heads")) part.hidden = !page.has_heads;
for (const part of document.querySelectorAll(".of-workloads")) part.hidden = !page.has_workloads;
byId("warnings").append(...page.warnings.map((text) => make("li", {}, make("strong", {}, "Warning: "), text)));
byId("warnings").hidden = !page.warnings.length;
byId("answers").append(...page.answers.map(([name, [[, first], ...lines]]) => make("div", { class: "answer" },
  several ? make("h3", { class: "name" }, name) : "",
  make("p", {}, make("strong", {}, first)),
  make("dl", {}, ...lines.flatMap(([about, text]) => [make("dt", {}, about), make("dd", {}, text)])))));
byId("answers").hidden = !page.answers.length;
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
setThreshold(page.floor_ns);
showAll();
document.documentElement.dataset.ready = "true";
