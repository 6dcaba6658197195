// Shows the table of calls, sorts and searches it, and opens a row to the call's stack trace.

const ROWS_AT_A_TIME = 25;

// The columns; that of the host is shown only if there are several hosts, that of the authority only if there are heads. `value`
// returns what a call is sorted by, and `show` what its cell shows, if that is not the value.
const ALL_COLUMNS = [
  { title: "Duration", kind: "number", value: (call) => call.duration, show: durationOf },
  { title: "Started (UTC)", kind: "start", value: ({ row }) => row.start, show: ({ row }) => row.start.slice(11, 23) },
  { title: "Host", kind: "host name", value: (call) => call.host },
  { title: "Process", kind: "name", value: (call) => call.process },
  { title: "Role", kind: "role", value: (call) => call.role },
  { title: "Peer", kind: "name", value: (call) => call.peer },
  { title: "Request", kind: "request", value: (call) => call.request },
  { title: "Authority", kind: "name", value: (call) => call.row.authority },
  { title: "Outcome", kind: "outcome", value: (call) => call.row.outcome },
];

// Returns the duration by which the page judges a call, and what is not known of it.
function durationOf({ duration: ns, first_byte, row }) {
  return `${row.at_least ? "at least " : ""}${duration(ns)}${row.has_end || first_byte ? "" : " to the first byte"}`;
}

// Returns the lines of a stack trace, as their parts (line_parts.py), and its Stack ID, 0 if there is no stack.
function traceAt(page, index) {
  const [, lines, stackId] = page.traces[index] ?? [[], [], 0];
  return { lines: lines.map((line) => page.lines[line]), stackId };
}

// Returns a call in full, as texts. `index` counts from the slowest call.
function describeCall(page, calls, index) {
  const row = Object.fromEntries(page.row_fields.map((name, i) => [name, page.rows[index][i]]));
  const [process, thread, role, peer, trace, host, , , , workload] = page.groups[calls.group[index]];
  const [where] = page.workloads[workload];
  const own = traceAt(page, trace), receiving = traceAt(page, row.receive_trace);
  const answer = [row.status || "", row.grpc_status && `grpc ${row.grpc_status}`];
  const request = [row.method, row.path, ...answer].filter(Boolean).join(" ") || row.kind;
  const names = { process: page.names[process][0], thread: page.names[thread][0] };
  const words = { ...names, role: page.roles[role], peer: page.peers[peer], request, host: page.hosts[host] };
  const lines = [...own.lines, ...receiving.lines].map(([text]) => text);
  const { asked, outcome, kind, pid, source, destination } = row;
  const searched = [...Object.values(words), where, asked, outcome, kind, pid, source, destination, ...lines];
  return { index, row, own, receiving, where, ...words, duration: calls.duration[index], first_byte: page.first_byte,
    has: (term) => searched.join("\n").toLowerCase().includes(term) };
}

// Returns for each line of a tree the index of the slowest call in it that can be opened.
function rowsOfLines(described) {
  return new Map(described.map(({ index, row }) => [`${row.tree} ${row.line}`, index]).reverse());
}

// Returns why no call is listed.
function noCall(term) {
  return term ? `No call matches "${term}". Requests, processes, peers and stack traces are searched.` : "No calls match.";
}

// Returns the function that shows a selection, how it is sorted, and which call was opened last. `parts` has the elements of the
// page, and `changed` is called when something of this has changed.
function callsTable(parts, page, calls, changed) {
  const described = page.rows.map((_, index) => describeCall(page, calls, index));
  page.rowOfLine = rowsOfLines(described);
  const shown = { Host: page.hosts.length > 1, Authority: page.has_heads };
  const COLUMNS = ALL_COLUMNS.filter(({ title }) => shown[title] ?? true);
  let selected = null, most = ROWS_AT_A_TIME, opened = null;
  const sorted = sortableHeads(COLUMNS, { column: COLUMNS[0], down: true }, () => { show(); changed(); });
  parts.head.append(...sorted.heads);

  function show(selection = selected) {
    if (selection !== selected) most = ROWS_AT_A_TIME;
    selected = selection;
    const term = parts.search.value.trim().toLowerCase();
    const here = selection.indices.subarray(0, d3.bisectLeft(selection.indices, described.length));
    const found = sorted.inOrder(Array.from(here, (index) => described[index]).filter((call) => !term || call.has(term)));
    const shown = found.filter(({ index }, place) => place < most || index === opened);
    parts.body.replaceChildren(...shown.flatMap(tableRows));
    if (!found.length) {
      parts.body.append(make("tr", {}, make("td", { class: "empty", colspan: COLUMNS.length }, noCall(term))));
    }
    parts.more.hidden = found.length <= most;
    parts.more.textContent = `Show more of ${count(found.length, "call")}`;
    parts.said.textContent = say(here.length, term && found.length);
  }

  function say(here, found) {
    const passing = selected.indices.length, left = passing - here;
    const searched = found === "" ? "" : `, ${count(found, "call")} found`;
    const missing = `The table has the ${count(described.length, "slowest call")} of the page; `
      + `${whole.format(left)} that pass the filters are left out.`;
    return `${count(passing, "call")}${searched}.${left ? ` ${missing}` : ""}`;
  }

  // Returns the row of a call and, if that is opened, the row below it.
  function tableRows(call) {
    const row = make("tr");
    const open = make("button", { type: "button", class: "link open", "aria-expanded": "false", onclick: toggle });
    const cells = COLUMNS.map((column) => make("td", { class: column.kind }, (column.show ?? column.value)(call)));
    open.append(...cells[0].childNodes);
    cells[0].append(open);
    row.append(...cells);
    row.addEventListener("click", (event) => event.target.closest("button") || getSelection().toString() || toggle());
    const below = make("tr", { class: "opened" }, make("td", { colspan: COLUMNS.length }));

    function fill() {
      open.setAttribute("aria-expanded", "true");
      below.firstChild.replaceChildren(openedCall(page, described, call, remember));
      row.after(below);
    }

    function close() {
      open.setAttribute("aria-expanded", "false");
      below.remove();
    }

    function toggle() {
      const wasOpen = open.getAttribute("aria-expanded") === "true";
      if (wasOpen) close();
      else fill();
      remember(wasOpen ? null : call.index);
    }

    if (call.index !== opened) return [row];
    fill();
    return [row, below];
  }

  function remember(index) {
    opened = index;
    changed();
  }

  const last = {
    text: () => (opened === null ? "" : String(opened)),
    take: (text) => { opened = /^\d{1,9}$/.test(text) && Number(text) < described.length ? Number(text) : null; },
  };

  parts.search.addEventListener("input", () => { show(); changed(); });
  parts.more.addEventListener("click", () => { most += ROWS_AT_A_TIME; show(); });
  return { show, sorted, last };
}
