// Shows a call in full: the tree that it belongs to, its facts, and its stack traces. Another call of the tree takes its place
// when its row is chosen.

// What the process does with the request and with the response; a call of unknown role has neither.
const PHASES = { client: ["Sent", "Received"], server: ["Received", "Sent"] };

const LATE = ", taken when the call became slow, while the response went on";

// Returns the element for a call, as `describeCall` returns it; `described` are all calls that can be opened. `chosen` is called
// with the index of another call that takes its place.
function openedCall(page, described, call, chosen) {
  const box = make("div");
  const choose = (index) => {
    show(described[index]);
    chosen(index);
    box.querySelector("[aria-current] button")?.focus();
  };
  const show = (one) => box.replaceChildren(...waterfall(page, one.row, choose), ...callFacts(one), ...callStacks(one));
  show(call);
  return box;
}

function callFacts(call) {
  const { row } = call, phases = PHASES[call.role];
  const [request, response] = phases ?? ["Request", "Response"];
  const atLeast = row.total_at_least ? "at least " : "", answered = row.outcome === "answered";
  const answer = !answered ? "nothing" : row.has_end ? atLeast + duration(row.response_ns) : "no end can be told";
  const total = row.request_ns + row.wait_ns + row.response_ns;
  const facts = [
    `PID ${row.pid}, TID ${row.tid}, thread ${call.thread}, ${call.role}, ${row.kind}${row.encrypted ? ", encrypted" : ""}, `
      + row.outcome,
    `${row.source} to ${row.destination}, started ${row.start}`,
    `Host ${call.host}, capture ${row.capture}`,
    `${count(row.sent, "byte")} sent, ${count(row.received, "byte")} received`,
    `${request}: ${duration(row.request_ns)}, waited: ${duration(row.wait_ns)}, `
      + `${response.toLowerCase()}: ${answer}`
      + (answered ? `, first byte: ${duration(row.first_byte_ns)}${row.first_byte_is_guess ? " (a guess)" : ""}` : "")
      + (row.has_end ? `, total: ${atLeast}${duration(total)}` : "")
      + (phases ? "" : " (which side sent the request is not known)"),
    ...(call.where ? [call.where] : []),
    ...(row.asked ? [row.asked] : []),
    ...(row.network ? [`Connection: ${row.network}`] : []),
  ];
  return facts.map((fact) => make("p", { class: "name" }, fact));
}

function callStacks({ row, own, receiving }) {
  const stack = (title, { lines, stackId }) => [
    make("p", { class: "quiet" }, `${title}${stackId ? `, Stack ID ${stackId}` : ""}`),
    make("ol", { class: "stack" }, ...lines.map(frameLine))];
  return [
    ...stack(`Stack trace, leaf first${row.stack_is_late ? LATE : ""}`, own),
    ...(receiving.lines.length ? stack(`Receive stack trace, TID ${row.receive_tid}`, receiving) : []),
  ];
}

// Returns the line of a frame: the function, file and line, and the module where that is another one than in the line before.
// The title has the line as stack_traces.txt has it.
function frameLine([text, name, place, module, note], number, lines) {
  const isNew = module && module !== lines[number - 1]?.[3];
  const parts = [[name, name === text ? "note" : "function"], [place, "place"], [isNew && module.split("/").at(-1), "module"],
    [note, "note"]];
  return make("li", { title: text }, ...parts.filter(([part]) => part)
    .flatMap(([part, kind]) => [make("span", { class: kind }, part), " "]));
}
