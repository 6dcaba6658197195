// Makes the flame graph of the page: the tree of the selected calls, the colours of modules and the texts (chart.js draws it).

const COLOURS = 7;

// Returns a tree of {name, module, value (ns), count, below} of all selected calls. Merged from the root, the process is
// outermost, or the host if there are several; merged from the leaf, callers hang below what they called.
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

// Returns the stack traces of each process of each host, with the time and the count of their calls.
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

// Returns the colour of each module. The modules in which calls waited longest have their own, the others share one.
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

// Returns the function that shows a selection. `parts` has the elements of the page.
function flameGraph(parts, page, everything) {
  const { colours, named, others } = moduleColours(page, everything);
  const moduleOf = ({ data }) => page.modules[data.module];

  function describe(node, total) {
    const where = moduleOf(node) ? ` (${moduleOf(node)})` : "";
    const { value, count: calls } = node.data;
    return `${node.data.name}${where}: ${duration(value)}, ${percent(value, total)}, ${count(calls, "call")}`;
  }

  const legend = (colour, name) => make("li", {}, swatch(colour), make("span", { class: "name" }, name));
  parts.legend.append(...named.map(({ name, module }) => legend(colours[module], name)));
  if (others > 0) parts.legend.append(legend("var(--module-other)", count(others, "other")));
  return flameChart(parts, {
    tree: (selected, fromLeaf) => flameTree(page, selected, fromLeaf),
    colour: ({ data }) => colours[data.module],
    label: ({ data }) => data.name,
    searched: (node) => `${node.data.name} ${moduleOf(node)}`,
    empty: ({ indices }) => (indices.length ? "These calls took no time." : "No calls match."),
    describe,
  });
}
