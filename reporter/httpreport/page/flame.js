// The flame graph: d3-flame-graph draws it, hung from its root; here are the tree, the colours, the keys and the words.

const COLOURS = 7, ROW_HEIGHT = 20, NARROWEST = 0.75; // pixels: narrower frames are left out until they are zoomed

// A tree of {name, module, value (ns), count, children} of all selected calls. From the root, the process is outermost,
// but for the host where there are several; from the leaf, callers hang below what they called.
function flameTree(page, selected, fromLeaf) {
  const root = { name: "all", module: 0, value: 0, count: 0, below: new Map() };
  for (const { above, trace, value, calls } of stacks(page, selected)) {
    const path = [...above.map((name) => [name, 0]), ...page.traces[trace][0].map((label) => page.labels[label])];
    if (fromLeaf) path.reverse();
    let node = root;
    node.value += value;
    node.count += calls;
    for (const [name, module] of path) {
      node = child(node, name, module);
      node.value += value;
      node.count += calls;
    }
  }
  return root;
}

// The stack traces of each process of each host, with the time and the count of their calls.
function stacks(page, selected) {
  const found = new Map();
  page.groups.forEach(([process, , , , trace, host], group) => {
    if (!selected.counts[group]) return;
    const key = (host * page.names.length + process) * page.traces.length + trace;
    const above = [...(page.hosts.length > 1 ? [page.hosts[host]] : []), page.names[process][0]];
    if (!found.has(key)) found.set(key, { above, trace, value: 0, calls: 0 });
    found.get(key).value += selected.times[group];
    found.get(key).calls += selected.counts[group];
  });
  return found.values();
}

function child(node, name, module) {
  const key = `${module} ${name}`;
  if (!node.below.has(key)) node.below.set(key, { name, module, value: 0, count: 0, below: new Map() });
  return node.below.get(key);
}

const childrenOf = (node) => (node.children ??= [...node.below.values()].sort((a, b) => b.value - a.value));

// Each module's colour: the ones where calls waited longest have one of their own, the others share one.
function moduleColours(page, everything) {
  const times = page.modules.map((name, module) => ({ name, module, time: 0 }));
  for (const { trace, value } of stacks(page, everything)) {
    const modules = new Set(page.traces[trace][0].map((label) => page.labels[label][1]));
    modules.forEach((module) => (times[module].time += value));
  }
  const ranked = times.filter(({ name }) => name).sort((a, b) => b.time - a.time);
  const colours = page.modules.map((name) => (name ? "var(--module-other)" : "var(--module-none)"));
  ranked.slice(0, COLOURS).forEach(({ module }, rank) => (colours[module] = `var(--module-${rank})`));
  return { colours, named: ranked.slice(0, COLOURS), others: ranked.length - COLOURS };
}

// Returns the function that shows a selection; `parts` are the elements of the page.
function flameGraph(parts, page, everything) {
  const { colours, named, others } = moduleColours(page, everything);
  const moduleOf = (node) => page.modules[node.data.module];
  let selected = null, current = null, zoomed = null, total = 0, width = 0;

  const chart = flamegraph.default().cellHeight(ROW_HEIGHT).transitionDuration(0).minFrameSize(NARROWEST).inverted(true)
    .resetHeightOnZoom(true).selfValue(false).sort(false).getChildren(childrenOf)
    .color((node) => (node.highlight ? "var(--found)" : colours[node.data.module]))
    .label(describe)
    .onClick((node) => { zoomed = node; parts.reset.disabled = !node.parent; drawn(); move(node); })
    .onHover((node) => (parts.at.textContent = describe(node)));
  chart.setDetailsHandler(() => say());
  chart.setSearchMatch((node, term) => term && `${node.data.name} ${moduleOf(node)}`.toLowerCase().includes(term));
  chart.setSearchHandler((results, time) => {
    const said = `${count(results.length, "frame")}, ${percent(time, total)} of the time`;
    parts.found.textContent = parts.search.value ? said : "";
  });

  function describe(node) {
    const where = moduleOf(node) ? ` (${moduleOf(node)})` : "";
    const { value, count: calls } = node.data;
    return `${node.data.name}${where}: ${milliseconds(value)}, ${percent(value, total)}, ${count(calls, "call")}`;
  }

  // What the keys or the last click are on.
  function say() {
    const empty = selected.places.length ? "These calls took no time." : "No call passes the filters.";
    const hint = total ? "Point at a frame to read it whole." : empty;
    parts.at.textContent = current ? describe(current) : hint;
  }

  function show(selection = selected) {
    selected = selection;
    const tree = flameTree(page, selection, fromLeaf());
    const path = zoomed ? zoomed.ancestors().reverse().slice(1).map((node) => node.data) : [];
    total = tree.value;
    parts.box.hidden = !total;
    current = zoomed = null;
    parts.reset.disabled = true;
    say();
    if (!total) return;
    chart.width(width = parts.box.clientWidth);
    parts.box.replaceChildren();
    d3.select(parts.box).datum(tree).call(chart);
    drawn();
    const same = (a, b) => a.name === b.name && a.module === b.module;
    const kept = path.reduce((node, data) => node?.children?.find((each) => same(each.data, data)), root());
    if (path.length && kept) chart.zoomTo(kept);
    if (parts.search.value) search();
  }

  const fromLeaf = () => [...parts.merges].find((radio) => radio.checked).value === "leaf";
  const root = () => d3.select(parts.box).datum();

  // d3-flame-graph lets frames grow for a quarter of a second, whatever its transitionDuration. A slider is faster.
  function drawn() {
    const box = d3.select(parts.box);
    box.selectAll("g.frame").interrupt()
      .attr("transform", (node) => `translate(${node.x0 * width},${node.depth * ROW_HEIGHT})`);
    box.selectAll("rect").interrupt().attr("width", (node) => (node.x1 - node.x0) * width);
    box.selectAll(".d3-flame-graph-label").interrupt().text((node) => node.data.name);
  }

  function search() {
    if (!total) return;
    chart.search(parts.search.value.trim().toLowerCase());
    drawn();
    mark();
  }

  function move(node) {
    current = node;
    say();
    mark();
  }

  function mark() {
    const frames = d3.select(parts.box).selectAll("g.frame").classed("current", (node) => node === current);
    frames.filter(".current").raise(); // above its neighbours, which would hide its outline
    parts.box.querySelector(".current")?.scrollIntoView({ block: "nearest" });
  }

  function sibling(node, step) {
    const row = root().descendants().filter((each) => each.depth === node.depth && each.value > 0 && each.x1 > each.x0);
    return row[row.indexOf(node) + step];
  }

  const KEYS = {
    ArrowDown: (node) => node.children?.find((each) => each.value > 0),
    ArrowUp: (node) => node.parent,
    ArrowLeft: (node) => sibling(node, -1),
    ArrowRight: (node) => sibling(node, 1),
    Home: () => root(),
  };

  parts.box.addEventListener("keydown", (event) => {
    if (!total) return;
    if (event.key === "Enter") chart.zoomTo(current ?? root());
    else if (event.key === "Escape") chart.resetZoom();
    else if (KEYS[event.key]) move((current && KEYS[event.key](current)) ?? current ?? root());
    else return;
    event.preventDefault();
  });
  parts.reset.addEventListener("click", () => chart.resetZoom());
  parts.search.addEventListener("input", search);
  parts.merges.forEach((radio) => radio.addEventListener("change", () => { zoomed = null; show(); }));
  new ResizeObserver(() => {
    if (total && width !== parts.box.clientWidth) show();
  }).observe(parts.box);

  const legend = (colour, name) => make("li", {}, draw("svg", { width: 12, height: 12, "aria-hidden": "true" },
    draw("rect", { width: 12, height: 12, rx: 2, fill: colour })), make("span", { class: "name" }, name));
  parts.legend.append(...named.map(({ name, module }) => legend(colours[module], name)));
  if (others > 0) parts.legend.append(legend("var(--module-other)", count(others, "other")));
  return show;
}
