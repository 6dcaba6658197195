// Turns changes into words and colours, makes the tree of a differential flame graph, and shows the tables of peers and stacks.

const CHANGES_AT_FIRST = 10, STACKS_AT_A_TIME = 25, LEAVES = 3;

// Returns a change in percent, or a word if one side is zero.
function relative(before, after) {
  if (!before || !after) return after ? "new" : before ? "gone" : "0.0%";
  const change = ((100 * (after - before)) / before).toFixed(1);
  return Number(change) === 0 ? "0.0%" : `${change > 0 ? "+" : ""}${oneDigit.format(change)}%`;
}

const oneDigit = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

// Returns how many of the page's shades a change reaches, as a part of the larger side; negative if the value became smaller.
function shade(page, before, after) {
  const change = (after - before) / Math.max(before, after, 1);
  const reached = page.shades.filter((least) => Math.abs(change) >= least).length;
  return change > 0 ? reached : -reached;
}

const shadeColour = (number) => `var(--${number ? `${number > 0 ? "more" : "less"}-${Math.abs(number)}` : "same"})`;

// Returns a tree of {name, before, after, beforeCalls, afterCalls, value, below}. Times are ns; `value` is the time of `side`.
function changeTree(page, side, fromLeaf) {
  const made = (name) => ({ name, before: 0, after: 0, beforeCalls: 0, afterCalls: 0, value: 0, below: new Map() });
  const root = made("all");
  for (const [labels, before, after, beforeCalls, afterCalls] of page.stacks) {
    const path = labels.map((label) => page.labels[label]);
    let node = root;
    for (const name of [null, ...(fromLeaf ? path.reverse() : path)]) {
      if (name !== null) {
        if (!node.below.has(name)) node.below.set(name, made(name));
        node = node.below.get(name);
      }
      node.before += before;
      node.after += after;
      node.beforeCalls += beforeCalls;
      node.afterCalls += afterCalls;
      node.value = node[side];
    }
  }
  return root;
}

// Shows the processes and peers, or the routes, that changed most, or all. `columns` are the heads of their numbers.
function changesTable(box, said, columns, changes, title) {
  const kinds = columns.map((head) => `number ${head.split(" ")[0].replace("/", "-")}`);
  const ranked = [...changes].sort((a, b) => Math.abs(b[2]) - Math.abs(a[2])).slice(0, CHANGES_AT_FIRST);
  const most = changes.filter((change) => ranked.includes(change));
  let all = false;

  function show() {
    const shown = all ? changes : most;
    const heads = [title, "", ...columns].map((head, i) =>
      make("th", { scope: "col", class: kinds[i - 2] ?? "" }, head));
    const bodies = shown.map(([name, rows]) => make("tbody", {}, ...rows.map(([label, cells], i) => make("tr",
      { class: `row-${label}` },
      ...(i ? [] : [make("th", { scope: "rowgroup", rowspan: rows.length, class: "name" }, name)]),
      make("th", { scope: "row", class: "label" }, label),
      ...cells.map((cell, column) => make("td", { class: kinds[column] }, cell))))));
    const table = make("table", { class: "changes" }, make("thead", {}, make("tr", {}, ...heads)), ...bodies);
    box.replaceChildren(changes.length ? table : make("p", { class: "empty" }, "No calls match."));
    said.textContent = shown.length < changes.length ? "This table has those that changed most." : "";
    if (changes.length <= CHANGES_AT_FIRST) return;
    const text = all ? `Show only the ${CHANGES_AT_FIRST} that changed most` : `Show all ${whole.format(changes.length)}`;
    box.append(make("button", { type: "button", onclick: () => { all = !all; show(); box.lastChild.focus(); } }, text));
  }

  show();
}

// Shows the stacks. `waited` turns a time into text. A row opens to all frames of its stack.
function stacksTable(parts, page, waited) {
  const stacks = page.stacks.map(([labels, before, after, beforeCalls, afterCalls]) => {
    const [process, ...frames] = labels.map((label) => page.labels[label]);
    const leafFirst = frames.reverse();
    const searched = [process, ...leafFirst].join("\n").toLowerCase();
    return { process, leafFirst, before, after, beforeCalls, afterCalls, searched };
  });
  let down = true, most = STACKS_AT_A_TIME;

  const turn = make("button", { type: "button", class: "link", onclick: () => { down = !down; show(); } }, "Change");
  const changeHead = make("th", { scope: "col", class: "number" }, turn);
  parts.head.append(...[["", ""], ["Before", "number side"], ["After", "number side"]].map(([text, kind]) =>
    make("th", { scope: "col", class: kind }, text)), changeHead, make("th", { scope: "col" }, "Stack, leaf first"));

  function show() {
    const term = parts.search.value.trim().toLowerCase();
    const found = stacks.filter(({ searched }) => searched.includes(term));
    if (!down) found.reverse();
    changeHead.setAttribute("aria-sort", down ? "descending" : "ascending");
    parts.body.replaceChildren(...found.slice(0, most).map(tableRow));
    if (!found.length) parts.body.append(make("tr", {}, make("td", { class: "empty", colspan: 5 }, "No stack matches.")));
    parts.more.hidden = found.length <= most;
    parts.more.textContent = `Show more of ${count(found.length, "stack")}`;
    const order = down ? "what got slower first" : "what got faster first";
    const when = page.each && " in each second of recording";
    parts.said.textContent = `${count(found.length, "stack")}, ${order}. Times are the times waited${when}.`;
  }

  function tableRow(stack) {
    const { process, leafFirst, before, after } = stack;
    const row = make("tr"), change = waited(Math.abs(after - before));
    const open = make("button", { type: "button", class: "link open", "aria-expanded": "false", onclick: toggle },
      relative(before, after));
    const leaves = leafFirst.slice(0, LEAVES).join(" < ") + (leafFirst.length > LEAVES ? " < ..." : "");
    row.append(make("td", {}, open), make("td", { class: "number side" }, waited(before)),
      make("td", { class: "number side" }, waited(after)),
      make("td", { class: "number" }, `${after < before ? "-" : after > before ? "+" : ""}${change}`),
      make("td", { class: "name leaves" }, `${process}: ${leaves}`));
    row.addEventListener("click", (event) => event.target.closest("button") || getSelection().toString() || toggle());

    function toggle() {
      const opened = open.getAttribute("aria-expanded") === "true";
      open.setAttribute("aria-expanded", String(!opened));
      if (opened) row.nextSibling.remove();
      else row.after(make("tr", { class: "opened" }, make("td", { colspan: 5 }, make("div", {}, ...details(stack)))));
    }
    return row;
  }

  function details({ process, leafFirst, beforeCalls, afterCalls }) {
    return [
      make("p", { class: "name" }, `${process}: ${count(beforeCalls, "call")} before, ${whole.format(afterCalls)} after`),
      make("ol", { class: "stack" }, ...leafFirst.map((frame) => make("li", {}, frame))),
    ];
  }

  parts.search.addEventListener("input", show);
  parts.more.addEventListener("click", () => { most += STACKS_AT_A_TIME; show(); });
  show();
}
