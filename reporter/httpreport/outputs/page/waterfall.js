// Draws the tree that a call belongs to as a waterfall: a row for each line that httpreport --tree prints, on one time axis.
// Everything that is computed of a tree comes with the data; this file draws it.

const LEFT_OUT = -2; // stands for the index of a tree that is not in the page (trees.py)
const BAR = 14, AXIS_TICKS = 4, DEEPEST = 12; // pixels; roughly; levels, beyond which rows are not indented further

// Returns the elements for the tree of a row, none if the call is linked to no other. `choose` is called with the index of the
// row that is to be shown instead.
function waterfall(page, row, choose) {
  if (row.tree === LEFT_OUT) return [make("p", { class: "quiet" }, "The calls that belong together with this one are not in this "
    + "page: it has those of the slowest calls. A report of fewer calls, by -t, --since or --until, has more of them.")];
  const tree = page.trees[row.tree];
  if (!tree) return [];
  const spans = tree.lines.flatMap((line) => line.spans);
  const scale = d3.scaleLinear([d3.min(spans, ([begin]) => begin), d3.max(spans, ([, end]) => end)], [0, 100]);
  const rows = tree.lines.map((line, number) => waterfallRow(page, row, tree.lines, number, scale, choose));
  const list = make("ol", { class: "waterfall", "aria-label": "Calls of this request, in the order in which they began",
    onkeydown: moveInWaterfall }, ...rows);
  return [make("h3", {}, waterfallTitle(page, tree)), timeAxis(scale), list, waterfallLegend(tree, row, list)];
}

function waterfallTitle(page, { lines: [first], calls, candidates }) {
  const cause = candidates ? `; which of ${count(candidates, "request")} caused it is not known` : "";
  return `${lineText(page, first)}: ${duration(first.duration_ns)}, ${count(calls, "call")}${cause}`;
}

// Returns who asks whom for what, in the words of --tree.
function lineText(page, { is_server, process, asked, peer }) {
  const [who, whom, what] = [process, peer, asked].map((word) => page.words[word]);
  return [who, is_server ? "answers" : `asks ${whom}`, what].filter(Boolean).join(" ");
}

// Returns what is known of the call of a line, in the words of --tree, as texts and elements.
function lineFacts({ at_least, calls, time_ns, least_self_ns, most_self_ns, outside_ns, is_probable }) {
  const [least, most] = [least_self_ns, most_self_ns].map(duration);
  return [
    at_least && "at least so long",
    calls > 1 && make("strong", {}, `x ${whole.format(calls)}`),
    calls > 1 && `${duration(time_ns)} in all, the longest shown`,
    most_self_ns !== null && `self ${least === most ? most : `${least} to ${most}`}`,
    outside_ns !== null && `outside ${duration(outside_ns)}`,
    is_probable && "probably",
  ].filter(Boolean).flatMap((fact, place) => (place ? [", ", fact] : [fact]));
}

function waterfallRow(page, { tree, line }, lines, number, scale, choose) {
  const one = lines[number], index = page.rowOfLine.get(`${tree} ${number}`);
  const isSeen = one.is_server || one.outside_ns !== null;
  const text = [make("span", { class: "mark" }, one.is_critical ? "*" : ""),
    make("span", { class: "what name" }, lineText(page, one))];
  const name = index === undefined
    ? make("span", { title: "This call is not among those that the page has in full" }, ...text)
    : make("button", { type: "button", class: "link", onclick: () => choose(index) }, ...text);
  const more = [one.status && `status ${one.status}`, !isSeen && "other end not recorded"].filter(Boolean).join(", ");
  const known = lineFacts(one);
  const facts = make("span", { class: "quiet" }, make("span", { class: "known" }, ...known), known.length && more ? `, ${more}` : more);
  return make("li", { class: one.is_critical ? "critical" : "", "aria-current": line === number && "true" },
    make("div", { class: "call", style: `--depth: ${Math.min(one.depth, DEEPEST)}` }, name, " ", facts),
    bars(one, isSeen, openBelow(lines, number), scale), make("span", { class: "took" }, duration(one.duration_ns)));
}

// Returns when the calls directly below a line were open, the first time first.
function openBelow(lines, number) {
  const { depth } = lines[number], below = [];
  for (let i = number + 1; i < lines.length && lines[i].depth > depth; i++) {
    if (lines[i].depth === depth + 1) below.push(...lines[i].spans);
  }
  return below.sort(([a], [b]) => a - b);
}

// Returns the parts of a span in which none of the sorted spans below was open.
function selfParts([begin, end], below) {
  const parts = [];
  for (const [from, to] of below) {
    if (from > begin) parts.push([begin, Math.min(from, end)]);
    begin = Math.max(begin, to);
    if (begin >= end) return parts;
  }
  return [...parts, [begin, end]];
}

// Draws when a call was open. What a server call does not wait for any call below it is solid, if that is certain: no call of
// unknown cause was open meanwhile, and none of those below is left out of the lines.
function bars({ spans, is_server, is_critical, least_self_ns, most_self_ns }, isSeen, below, scale) {
  const bar = (kind, y, height) => ([from, to]) =>
    draw("rect", { class: kind, x: `${scale(from)}%`, width: `${Math.max(0, scale(to) - scale(from))}%`, y, height });
  const own = is_server ? spans.flatMap((span) => selfParts(span, below)) : [];
  const isSure = least_self_ns === most_self_ns && d3.sum(own, ([from, to]) => to - from) <= most_self_ns;
  return draw("svg", { class: "bars", height: BAR + 4, "aria-hidden": "true" },
    ...spans.map(bar(isSeen ? "wait" : "unrecorded", 1, BAR - 2)), ...own.map(bar(isSure ? "self" : "unsure", 1, BAR - 2)),
    ...(is_critical ? spans.map(bar("path", BAR, 3)) : []));
}

function timeAxis(scale) {
  const label = (ns) => draw("text", { x: `${scale(ns)}%`, y: 11, "text-anchor": ns ? "middle" : "start" }, duration(ns));
  return make("div", { class: "waterfall-axis", "aria-hidden": "true" },
    draw("svg", { class: "axis", height: BAR }, ...scale.ticks(AXIS_TICKS).filter((ns) => scale(ns) < 96).map(label)));
}

const KINDS = [["self", "works itself"], ["unsure", "works itself or waits: not known"], ["wait", "waits"],
  ["unrecorded", "other end not recorded"], ["path", "* critical path: a shorter call on it makes the request faster"]];

// Explains what is in the list of rows, and says what is not.
function waterfallLegend({ left_out }, { line }, list) {
  const sample = (kind) => draw("svg", { width: 22, height: BAR, "aria-hidden": "true" },
    draw("rect", { class: kind, width: 22, height: kind === "path" ? 3 : BAR, y: kind === "path" ? 6 : 0 }));
  return make("ul", { class: "modules" },
    ...KINDS.filter(([kind]) => list.querySelector(`.${kind}`)).map(([kind, text]) => make("li", {}, sample(kind), text)),
    left_out ? make("li", {}, `${whole.format(left_out)} more calls, which are below others or too many, are not shown`) : "",
    line < 0 ? make("li", {}, "The opened call is one of those that are not shown") : "");
}

function moveInWaterfall(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const buttons = [...event.currentTarget.querySelectorAll("button")];
  buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  event.preventDefault();
}
