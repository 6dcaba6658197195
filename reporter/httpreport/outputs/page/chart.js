// Shows a tree of {name, module, value (ns), below} as a flame graph. d3-flame-graph draws it, hung from its root; this file
// adds the keys, the search and the zoom.

const ROW_HEIGHT = 20, NARROWEST = 0.75; // pixels: narrower frames are left out until they are zoomed

const childrenOf = (node) => (node.children ??= [...node.below.values()].sort((a, b) => b.value - a.value));

const swatch = (colour) => draw("svg", { width: 12, height: 12, "aria-hidden": "true" },
  draw("rect", { width: 12, height: 12, rx: 2, fill: colour }));

// Returns the function that shows a selection. `parts` has the elements of the page. `source` has the functions `tree` (takes a
// selection, and whether to merge from the leaf), `empty` (returns the text for a selection without a tree), and for a node:
// `colour`, `label`, `searched` (returns the text that a search looks into) and `describe` (also takes the value of the tree).
function flameChart(parts, source) {
  let selected = null, current = null, zoomed = null, total = 0, width = 0;
  const describe = (node) => source.describe(node, total);

  const chart = flamegraph.default().cellHeight(ROW_HEIGHT).transitionDuration(0).minFrameSize(NARROWEST).inverted(true)
    .resetHeightOnZoom(true).selfValue(false).sort(false).getChildren(childrenOf)
    .color((node) => (node.highlight ? "var(--found)" : source.colour(node)))
    .label(describe)
    .onClick((node) => { zoomed = node; parts.reset.disabled = !node.parent; drawn(); move(node); })
    .onHover((node) => (parts.at.textContent = describe(node)));
  chart.setDetailsHandler(() => say());
  chart.setSearchMatch((node, term) => term && source.searched(node).toLowerCase().includes(term));
  chart.setSearchHandler((results, time) => {
    const said = `${count(results.length, "frame")}, ${percent(time, total)} of the time`;
    parts.found.textContent = parts.search.value ? said : "";
  });

  // Describes the frame that the keys or the last click selected.
  function say() {
    const hint = total ? "Hover over a frame for details." : source.empty(selected);
    parts.at.textContent = current ? describe(current) : hint;
  }

  function show(selection = selected) {
    selected = selection;
    const tree = source.tree(selection, fromLeaf());
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
    if (parts.search.value || parts.found.textContent) search();
  }

  const fromLeaf = () => [...parts.merges].find((radio) => radio.checked).value === "leaf";
  const root = () => d3.select(parts.box).datum();

  // d3-flame-graph lets frames grow for a quarter of a second, whatever its transitionDuration; that is too slow for a slider.
  function drawn() {
    const box = d3.select(parts.box);
    box.selectAll("g.frame").interrupt()
      .attr("transform", (node) => `translate(${node.x0 * width},${node.depth * ROW_HEIGHT})`);
    box.selectAll("rect").interrupt().attr("width", (node) => (node.x1 - node.x0) * width);
    box.selectAll(".d3-flame-graph-label").interrupt().text(source.label);
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
  return show;
}
