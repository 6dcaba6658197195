// The filters of the page: the chips that say which of them are set, and what is proposed if no call passes.

const FIELDS = ["host", "process", "role", "peer", "method", "status", "route", "container", "pod"];
const IN_SIGHT = ["at_least", "roots"]; // these need no chip
const REMOVALS = 3; // at most so many filters are proposed to be removed
const OFFERED = 1000; // at most so many values of a field

// Returns the filters of a page. `durations` are those of `thresholdPart`, and `changed` is called when the user has changed a
// filter.
function pageFilters(page, durations, changed) {
  const parts = {
    at_least: thresholdPart(page, byId("slider"), byId("threshold"), durations),
    at_most: atMostPart(byId("at_most")),
    time: timePart(page, byId("time")),
    roots: checkPart(byId("roots"), "Requests only"),
    ...Object.fromEntries(FIELDS.map((id) => [id, fieldPart(byId(id))])),
  };
  const { at_least, at_most, time } = parts;
  const areSet = () => Object.entries(parts).filter(([, { said }]) => said());

  // Returns the filter that `select` takes.
  const read = () => Object.fromEntries(Object.entries(parts).map(([key, { value }]) => [key, value()]));

  const removal = (part, text, title) => make("button", { type: "button", title,
    onclick: () => { part.remove(); changed(); } }, text);

  function showChips() {
    const hidden = areSet().filter(([key]) => !IN_SIGHT.includes(key)).map(([, part]) => part);
    byId("chips").replaceChildren(...hidden.map((part) =>
      make("li", {}, removal(part, `${part.said()} \u00d7`, `Remove the filter ${part.said()}`))));
  }

  // Returns buttons that each remove one filter without which some calls pass. `countOf` returns how many pass a filter.
  function removals(countOf) {
    const filter = read();
    return areSet().map(([key, part]) => ({ part, passing: countOf({ ...filter, [key]: part.none }) }))
      .filter(({ passing }) => passing).sort((a, b) => b.passing - a.passing).slice(0, REMOVALS)
      .map(({ part, passing }) => removal(part, `Without ${part.said()}: ${count(passing, "call")}`));
  }

  // Sets a field, or removes it if it is that already.
  function choose(id, value) {
    byId(id).value = byId(id).value === value ? "" : value;
    changed();
  }

  // Chooses steps of time, durations in ns, or both, and leaves what is null; if both are, what was chosen so is removed.
  function chooseSpans(steps, [shortest, longest] = []) {
    const isNone = !steps && shortest === undefined;
    if (isNone && at_most.said()) at_least.remove(); // they were chosen together
    if (isNone) [at_most, time].forEach((part) => part.remove());
    if (shortest !== undefined) {
      at_least.set(Math.max(page.floor_ns, shortest));
      at_most.set(longest);
    }
    if (steps) time.set(steps);
    changed();
  }

  listen(changed, at_least);
  return { read, showChips, removals, choose, chooseSpans, typed: at_least.typed, state: parts };
}

// Calls `changed` when the user changes a filter, at most once for each picture that the browser shows.
function listen(changed, threshold) {
  let waiting = 0;
  function soon() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(changed);
  }
  const form = byId("filters");
  for (const control of form.elements) {
    control.addEventListener("input", soon);
    if (control.tagName === "SELECT") control.addEventListener("change", soon); // a field also changes when it is left
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => requestAnimationFrame(() => {
    threshold.remove();
    changed();
  }));
  closeOutside(byId("more-filters"));
}

// Closes a panel by Escape and by a click outside of it.
function closeOutside(panel) {
  document.addEventListener("click", (event) => { if (!panel.contains(event.target)) panel.open = false; });
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !panel.open) return;
    panel.open = false;
    panel.querySelector("summary").focus();
  });
}

// Offers the values that the page has, where a field can be typed into or chosen from.
function offerValues(page) {
  const option = (value) => make("option", { value });
  const named = (value) => make("option", { value }, value);
  const distinct = (values) => [...new Set(values)].filter(Boolean).slice(0, OFFERED).map(option);
  byId("host").append(...page.hosts.map(named));
  byId("role").append(...page.roles.map(named));
  byId("method").append(...page.methods.filter(Boolean).map(named));
  byId("routes").append(...page.routes.slice(0, OFFERED).filter(([, path]) => path).map(([text]) => option(text)));
  byId("containers").append(...distinct(page.workloads.map(([, , name, id]) => name || id)));
  byId("pods").append(...distinct(page.workloads.map(([, , , , name, namespace, uid]) => (name ? `${namespace}/${name}` : uid))));
  byId("processes").append(...page.names.map(([text]) => option(asked(text))));
  byId("peers").append(...page.peers.slice(0, OFFERED).map(option));
}
