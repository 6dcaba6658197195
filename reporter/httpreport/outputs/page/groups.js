// Shows a table of processes, peers, routes or containers: how the durations of their calls are distributed, and how much time they took.

const BINS = 24, BIN_WIDTH = 5, BIN_HEIGHT = 22, FIRST_ROWS = 10;

// The columns of numbers: the heading, and the function that takes one from a part (selection.js).
const NUMBERS = [
  ["Calls", ({ durations }) => durations.length],
  ["p50", ({ durations }) => quantile(durations, 0.5)],
  ["p90", ({ durations }) => quantile(durations, 0.9)],
  ["p99", ({ durations }) => quantile(durations, 0.99)],
  ["Slowest", ({ durations }) => durations[0]],
  ["Time", ({ time }) => time],
];

// Returns the function that shows parts, and how they are sorted. `nameOf` returns the name of a value; `choose` is called with
// the name and the value in a row that was clicked, `changed` when the rows were sorted in another way.
function groupTable(box, { title, range, nameOf, choose, changed }) {
  const spread = `${duration(range[0])} to ${duration(range[1])}`;
  const numbers = NUMBERS.map(([text, value]) => ({ title: text, kind: `number ${text.toLowerCase()}`, value }));
  const columns = [{ title, kind: "", value: ({ value }) => nameOf(value) }, { title: spread, kind: "spread" }, ...numbers,
    { title: "Share", kind: "number share", value: ({ time }) => time }];
  const sorted = sortableHeads(columns, { column: numbers.at(-1), down: true }, () => { show(); changed(); });
  const body = make("tbody"), more = make("button", { type: "button", title: "All or the first", onclick: turn });
  let all = false, parts = [], allTime = 0;
  box.append(make("table", {}, make("thead", {}, make("tr", {}, ...sorted.heads)), body), more);

  function show(newParts = parts, time = allTime) {
    [parts, allTime] = [newParts, time];
    const focused = body.contains(document.activeElement) && document.activeElement.title;
    const mostTime = d3.max(parts, (part) => part.time);
    body.replaceChildren(...sorted.inOrder(parts).slice(0, all ? undefined : FIRST_ROWS).map((part) => row(part, mostTime)));
    if (!parts.length) body.append(make("tr", {}, make("td", { class: "empty", colspan: columns.length }, "No calls match.")));
    more.hidden = parts.length <= FIRST_ROWS;
    more.textContent = all ? `Show the first ${FIRST_ROWS}` : `Show all ${whole.format(parts.length)}`;
    if (focused) [...body.querySelectorAll("button")].find((button) => button.title === focused)?.focus();
  }

  function turn() {
    all = !all;
    show();
  }

  function row(part, mostTime) {
    const { value, durations, time } = part, name = nameOf(value);
    const what = { type: "button", class: "link name", title: `Only ${name}`, onclick: () => choose(name, value) };
    const cells = numbers.map(({ title: of, kind, value: take }) =>
      make("td", { class: kind }, (of === "Calls" ? whole.format : duration)(take(part))));
    const bar = make("meter", { min: 0, max: mostTime || 1, value: time, "aria-hidden": "true" });
    return make("tr", {}, make("th", { scope: "row" }, make("button", what, name)),
      make("td", { class: "spread" }, histogram(durations)), ...cells,
      make("td", { class: "number share" }, percent(time, allTime), bar));
  }

  function histogram(durations) {
    const scale = d3.scaleLog(range, [0, BINS]), edges = d3.range(1, BINS).map((bin) => scale.invert(bin));
    const above = [durations.length, ...edges.map((edge) => atLeast(durations, edge)), 0];
    const counts = d3.pairs(above, (from, to) => from - to);
    const tallest = Math.max(...counts), fullest = counts.indexOf(tallest);
    const bars = counts.map((calls, bin) => {
      const height = calls && Math.max(1, (BIN_HEIGHT * calls) / tallest);
      return `M${bin * BIN_WIDTH} ${BIN_HEIGHT}v${-height}h${BIN_WIDTH - 1}v${height}z`;
    });
    const said = `most calls take ${duration(scale.invert(fullest))} to ${duration(scale.invert(fullest + 1))}`;
    const size = { width: BINS * BIN_WIDTH, height: BIN_HEIGHT + 1 };
    return draw("svg", { ...size, role: "img", "aria-label": said, class: "bins" }, draw("title", {}, said),
      draw("path", { d: `M0 ${BIN_HEIGHT + 0.5}h${size.width}`, class: "base" }), draw("path", { d: bars.join("") }));
  }

  return { show, sorted };
}
