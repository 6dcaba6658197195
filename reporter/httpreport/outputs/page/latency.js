// Draws the latency picture: a grid over time and duration (logarithmic), with stronger cells where there are more calls.

const CELL = 6, HEIGHT = 240, LINE = 18, MARGIN = { top: 8, right: 28, bottom: 24, left: 64 };
const TALL = HEIGHT - MARGIN.bottom - CELL - MARGIN.top; // the height in which cells begin
const SHADES = 5; // from one call in a cell to the most calls in a cell, in equal ratios

// Returns the place in a sparse array that is nearest to `at` and not empty.
function nearest(places, at) {
  return d3.least(Object.keys(places), (place) => Math.abs(place - at));
}

// Rounds ns up or down to three digits, so that a part that is chosen by them has no less in it.
function threeDigits(ns, round) {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(ns)) - 2);
  return round(ns / unit) * unit;
}

// Draws into `box` and explains the shades in `said`. `line` shows what is under the pointer or, with the arrow keys, in a
// column of the grid. `chosen` is called with the first and last step of time, and the shortest and longest duration in ns, of
// the part that the user chose. Along an axis of which no part is chosen there is nothing.
function latencyPicture({ box, said, line }, page, calls, range, chosen) {
  const span = page.last_ms - page.first_ms;
  const format = d3.utcFormat(span < 5e3 ? "%H:%M:%S.%L" : span < 864e5 ? "%H:%M:%S" : "%m-%d %H:%M");
  let columns = [], selected = null, width = 0, at = -1, anchor = -1, step = 1;
  const ratio = Math.log(range[1] / range[0]);

  // `filter` has the shortest duration, and what was chosen before.
  function show(selection, filter) {
    selected = { selection, filter };
    const isFocused = box.contains(document.activeElement);
    width = box.clientWidth;
    const wide = width - MARGIN.left - MARGIN.right;
    step = (wide - CELL) / (page.moments - 1);
    columns = grid(selection);
    const most = d3.max(columns, (column) => d3.max(column?.cells ?? [], (cell) => cell?.count)) ?? 0;
    const shades = shadePaths(most).map((path, shade) => draw("path", { d: path, class: `shade${shade}` }));
    const x = d3.scaleUtc([page.first_ms, Math.max(page.last_ms, page.first_ms + 1)], [0, wide - CELL]);
    const y = d3.scaleLog(range, [TALL, 0]).clamp(true);
    const bottom = draw("g", { transform: `translate(${MARGIN.left} ${HEIGHT - MARGIN.bottom})`, class: "axis" });
    const left = draw("g", { transform: `translate(${MARGIN.left - 4} ${MARGIN.top})`, class: "axis" });
    d3.select(bottom).call(d3.axisBottom(x).ticks(width / 130).tickFormat(format));
    d3.select(left).call(d3.axisLeft(y).tickValues(ticks(y)).tickFormat(duration).tickSize(-wide));
    const edge = MARGIN.top + y(Math.max(filter.at_least, range[0])) + CELL; // below the cells of the shortest calls
    const picture = draw("svg", { width, height: HEIGHT, role: "img", tabindex: 0, class: "latency",
      "aria-label": `${count(selection.indices.length, "call")} over time; the arrow keys read the picture`,
      onpointermove: point, onpointerleave: () => read(-1), onkeydown: press, onblur: () => read(-1) });
    const limit = draw("path", { d: `M${MARGIN.left} ${edge}h${wide}`, class: "threshold-line" });
    const area = { left: MARGIN.left, top: MARGIN.top, width: wide, height: TALL + CELL };
    picture.append(bottom, left, ...shades, limit, draw("path", { class: "reading" }), chosenPart(filter, y),
      brush(picture, area, choose));
    box.replaceChildren(picture);
    if (isFocused) picture.focus();
    said.textContent = most > 1 ? `Darker: more calls, up to ${whole.format(most)}.` : "";
    read(-1);
  }

  // Returns the outline of what was chosen.
  function chosenPart({ time, at_most }, y) {
    if (!time && at_most === Infinity) return "";
    const [first, last] = (time ?? [0, page.moments - 1]).map((moment) => Math.floor((moment * step) / CELL) * CELL);
    const top = at_most === Infinity ? 0 : y(Math.min(at_most, range[1]));
    return draw("rect", { class: "chosen", x: MARGIN.left + first, y: MARGIN.top + top, width: last - first + CELL,
      height: TALL + CELL - top });
  }

  // Chooses whole cells, as they are drawn.
  function choose(across, down) {
    const [left, right] = (across ?? []).map((pixel) => Math.floor(pixel / CELL)), end = page.moments - 1;
    const [top, bottom] = (down ?? []).map((pixel) => Math.floor(pixel / CELL));
    const stepAt = (column) => Math.ceil((column * CELL) / step);
    const longest = (cell) => range[1] * Math.exp((-cell * CELL * ratio) / TALL);
    chosen(across && [Math.min(end, stepAt(left)), Math.min(end, stepAt(right + 1) - 1)],
      down ? [bottom < Math.floor(TALL / CELL) ? threeDigits(longest(bottom + 1), Math.floor) : 0,
        top ? threeDigits(longest(top), Math.ceil) : null] : undefined);
  }

  // Returns the columns of cells, as sparse arrays. A cell has the number of its calls, and the longest and the shortest.
  function grid(selection) {
    const found = [];
    for (const index of selection.indices) {
      const slowest = calls.duration[index], moment = calls.moment[index];
      const left = Math.floor((moment * step) / CELL);
      const top = Math.floor((Math.min(1, Math.log(range[1] / slowest) / ratio) * TALL) / CELL);
      const column = (found[left] ??= { count: 0, slowest, moment, cells: [] });
      const cell = (column.cells[top] ??= { count: 0, slowest, moment });
      column.count++;
      cell.count++;
      cell.fastest = slowest; // so far: the longest call comes first
    }
    return found;
  }

  function shadePaths(most) {
    const paths = new Array(SHADES).fill("");
    columns.forEach((column, left) => column.cells.forEach((cell, top) => {
      const shade = most > 1 ? Math.round((Math.log(cell.count) / Math.log(most)) * (SHADES - 1)) : SHADES - 1;
      paths[shade] += `M${left * CELL + MARGIN.left} ${top * CELL + MARGIN.top}h${CELL}v${CELL}h${-CELL}z`;
    }));
    return paths;
  }

  // Returns powers of ten if there are several in the range, else as many round durations as have room.
  function ticks(y) {
    const powers = d3.range(3, 19).map((power) => 10 ** power).filter((ns) => ns >= range[0] && ns <= range[1]);
    if (powers.length > 2) return powers;
    let above = -Infinity;
    return d3.ticks(...range, 8).reverse().filter((ns) => y(ns) - above >= LINE && (above = y(ns)) >= 0);
  }

  function say(found, durations) {
    const keys = "Hover over the marks, or use ← →. Drag, or Shift with ← → and Enter, chooses a part; a click or Escape "
      + "shows all.";
    const hint = columns.length ? keys : "No calls match.";
    line.textContent = found ? `${clockAt(page, found.moment)} UTC: ${count(found.count, "call")}, ${durations}` : hint;
  }

  function point(event) {
    const bounds = box.firstChild.getBoundingClientRect();
    const left = Math.floor((event.clientX - bounds.left - MARGIN.left) / CELL);
    const cells = columns[nearest(columns, left)]?.cells ?? [];
    const cell = cells[nearest(cells, Math.floor((event.clientY - bounds.top - MARGIN.top) / CELL))];
    say(cell, cell && [...new Set([cell.fastest, cell.slowest].map(duration))].join(" to "));
  }

  function read(column, from = column) {
    [at, anchor] = [column, from];
    const [first, last] = d3.extent([at, anchor]);
    const left = first * CELL + MARGIN.left, wide = (last - first + 1) * CELL;
    const mark = `M${left} ${MARGIN.top}h${wide}v${TALL + CELL}h${-wide}z`;
    box.querySelector(".reading")?.setAttribute("d", columns[column] ? mark : "");
    say(columns[column], columns[column] && `the slowest ${duration(columns[column].slowest)}`);
  }

  function press(event) {
    const filled = Object.keys(columns).map(Number);
    const next = event.key === "ArrowRight" ? filled.find((column) => column > at)
      : event.key === "ArrowLeft" ? filled.findLast((column) => column < at) : undefined;
    if (event.key === "Enter" && columns[at]) choose(d3.extent([at, anchor]).map((column) => column * CELL));
    else if (event.key === "Escape") chosen(null);
    else if (next !== undefined) read(next, event.shiftKey && at >= 0 ? anchor : next);
    else return;
    event.preventDefault();
  }

  new ResizeObserver(() => {
    if (selected && width !== box.clientWidth) show(selected.selection, selected.filter);
  }).observe(box);
  return show;
}
