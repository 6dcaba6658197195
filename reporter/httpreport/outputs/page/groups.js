// Shows a table of processes, peers, routes or containers: how the durations of their calls are distributed, and how much time they took.

const BINS = 24, BIN_WIDTH = 5, BIN_HEIGHT = 22, FIRST_ROWS = 10;

// The columns of numbers: the heading, and the function that makes a text from the durations (the longest first) and the time.
const NUMBERS = [
  ["Calls", (durations) => whole.format(durations.length)],
  ["p50", (durations) => duration(quantile(durations, 0.5))],
  ["p90", (durations) => duration(quantile(durations, 0.9))],
  ["p99", (durations) => duration(quantile(durations, 0.99))],
  ["Slowest", (durations) => duration(durations[0])],
  ["Time", (_, time) => duration(time)],
];

// Returns the function that shows parts (selection.js). `nameOf` returns the name of a value; `choose` is called with the name
// and the value in a row that was clicked.
function groupTable(box, title, range, nameOf, choose) {
  let all = false;

  function show(parts, time) {
    const focused = box.contains(document.activeElement) && document.activeElement.title;
    const heads = [[title, ""], [`${duration(range[0])} to ${duration(range[1])}`, "spread"],
      ...NUMBERS.map(([text]) => [text, `number ${text.toLowerCase()}`]), ["Share", "number share"]];
    const head = heads.map(([text, kind]) => make("th", { scope: "col", class: kind }, text));
    const body = (all ? parts : parts.slice(0, FIRST_ROWS)).map((part) => row(part, time, parts[0].time));
    box.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
    if (!parts.length) box.replaceChildren(make("p", { class: "empty" }, "No calls match."));
    if (parts.length > FIRST_ROWS) {
      const text = all ? `Show the first ${FIRST_ROWS}` : `Show all ${whole.format(parts.length)}`;
      const turn = () => { all = !all; show(parts, time); };
      box.append(make("button", { type: "button", title: "All or the first", onclick: turn }, text));
    }
    if (focused) [...box.querySelectorAll("button")].find((button) => button.title === focused)?.focus();
  }

  function row({ value, durations, time }, allTime, mostTime) {
    const name = nameOf(value);
    const what = { type: "button", class: "link name", title: `Only ${name}`, onclick: () => choose(name, value) };
    const numbers = NUMBERS.map(([text, say]) =>
      make("td", { class: `number ${text.toLowerCase()}` }, say(durations, time)));
    const bar = make("meter", { min: 0, max: mostTime || 1, value: time, "aria-hidden": "true" });
    return make("tr", {}, make("th", { scope: "row" }, make("button", what, name)),
      make("td", { class: "spread" }, histogram(durations)), ...numbers,
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

  return show;
}
