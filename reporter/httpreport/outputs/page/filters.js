// The filters of the page: the slider and the fields, the chips that say which of them are set, and what is proposed if no call
// passes.

const FIELDS = ["host", "process", "role", "peer", "method", "status", "route", "container", "pod"];
const REMOVALS = 3; // at most so many filters are proposed to be removed
const OFFERED = 1000; // at most so many values of a field

// Returns the filters of a page. `slowest` is the longest duration in ns, and `range` a range of durations for a logarithm.
// `changed` is called when the user has changed one of them.
function pageFilters(page, { slowest, range }, changed) {
  const [slider, threshold, atMost, time, roots] = ["slider", "threshold", "at_most", "time", "roots"].map(byId);
  const controls = Object.fromEntries(FIELDS.map((id) => [id, byId(id)]));
  const last = Number(slider.max), positions = d3.scaleLog(range, [0, last]).clamp(true);

  // The ends of the slider are exactly the floor and the slowest call; values between them have three digits.
  function atPosition(position) {
    if (position <= 0) return page.floor_ns;
    return position >= last ? slowest : Math.min(slowest, Number(positions.invert(position).toPrecision(3)));
  }

  function moveSlider(ns) {
    slider.value = ns <= page.floor_ns ? 0 : positions(Math.max(ns, range[0]));
    slider.setAttribute("aria-valuetext", `${ns / 1e6} milliseconds`);
  }

  function setThreshold(ns) {
    threshold.value = ns / 1e6;
    moveSlider(ns);
  }

  // Rounds as httpreport rounds -t.
  const typedNs = () => Math.round((Number(threshold.value) || 0) * 1e6);

  const atMostNs = () => (Number(atMost.value) > 0 ? Math.round(Number(atMost.value) * 1e6) : Infinity);

  // Returns the first and last step of the time that was chosen, or null.
  function timeSpan() {
    const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(time.value) ?? [];
    return Number(first) <= Number(last) && last < page.moments ? [Number(first), Number(last)] : null;
  }

  // Chooses steps of time, durations in ns, or both, and leaves what is null; if both are, what was chosen so is removed.
  function chooseSpans(steps, durations) {
    if (durations) {
      setThreshold(Math.max(page.floor_ns, durations[0]));
      atMost.value = durations[1] === null ? "" : durations[1] / 1e6;
    }
    if (steps) time.value = steps.join("-");
    if (!steps && !durations) {
      if (atMost.value) setThreshold(page.floor_ns); // they were chosen together
      atMost.value = time.value = "";
    }
    changed();
  }

  // Returns the filter that `select` takes.
  function read() {
    const texts = FIELDS.map((id) => [id, id === "process" ? controls[id].value : controls[id].value.trim()]);
    return { threshold: Math.max(page.floor_ns, typedNs()), at_most: atMostNs(), time: timeSpan(), roots: roots.checked,
      ...Object.fromEntries(texts) };
  }

  // Returns the filters that are set: the key, what it is called, and the function that removes it.
  function set() {
    const fields = FIELDS.filter((id) => controls[id].value.trim()).map((id) => ({
      key: id, said: `${controls[id].labels[0].textContent} ${controls[id].value}`, none: "",
      remove: () => { controls[id].value = ""; },
    }));
    const slow = { key: "threshold", said: `At least ${duration(typedNs())}`, none: page.floor_ns,
      remove: () => setThreshold(page.floor_ns) };
    const short = { key: "at_most", said: `At most ${duration(atMostNs())}`, none: Infinity, remove: () => { atMost.value = ""; } };
    const when = { key: "time", said: timeSpan() && `Time ${timeSpan().map((step) => clockAt(page, step)).join(" to ")}`, none: null,
      remove: () => { time.value = ""; } };
    const only = { key: "roots", said: "Requests only", none: false, remove: () => { roots.checked = false; } };
    return [...(typedNs() > page.floor_ns ? [slow] : []), ...(atMostNs() < Infinity ? [short] : []), ...(timeSpan() ? [when] : []),
      ...(roots.checked ? [only] : []), ...fields];
  }

  const removal = (filter, text, title) => make("button", { type: "button", title,
    onclick: () => { filter.remove(); changed(); } }, text);

  // Shows a chip for each filter that is set and not in sight anyway.
  function showChips() {
    byId("chips").replaceChildren(...set().filter(({ key }) => !["threshold", "roots"].includes(key)).map((filter) =>
      make("li", {}, removal(filter, `${filter.said} \u00d7`, `Remove the filter ${filter.said}`))));
  }

  // Returns buttons that each remove one filter without which some calls pass. `countOf` returns how many pass a filter.
  function removals(countOf) {
    const filter = read();
    return set().map((one) => ({ one, passing: countOf({ ...filter, [one.key]: one.none }) }))
      .filter(({ passing }) => passing).sort((a, b) => b.passing - a.passing).slice(0, REMOVALS)
      .map(({ one, passing }) => removal(one, `Without ${one.said}: ${count(passing, "call")}`));
  }

  function choose(id, value) {
    controls[id].value = controls[id].value === value ? "" : value;
    changed();
  }

  let waiting = 0;
  function soon() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(changed);
  }

  slider.addEventListener("input", () => setThreshold(atPosition(Number(slider.value))));
  threshold.addEventListener("input", () => moveSlider(typedNs()));
  for (const control of [slider, threshold, atMost, roots, ...Object.values(controls)]) {
    control.addEventListener("input", soon);
    if (control.tagName === "SELECT") control.addEventListener("change", soon); // a field also changes when it is left
  }
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => requestAnimationFrame(() => {
    setThreshold(page.floor_ns);
    changed();
  }));
  closeOutside(byId("more-filters"));

  const isMilliseconds = (text) => /^\d{1,12}(\.\d{1,6})?$/.test(text);
  const state = {
    at_least: {
      text: () => (typedNs() === page.floor_ns ? "" : String(typedNs() / 1e6)),
      take: (text) => setThreshold(isMilliseconds(text) ? Math.round(text * 1e6) : page.floor_ns),
    },
    at_most: { text: () => atMost.value, take: (text) => { atMost.value = isMilliseconds(text) ? text : ""; } },
    time: controlField(time),
    roots: checkField(roots),
    ...Object.fromEntries(FIELDS.map((id) => [id, controlField(controls[id])])),
  };
  return { read, typedNs, showChips, removals, choose, chooseSpans, state };
}

// Returns the time of day of a step between the first and the last start, in UTC.
function clockAt(page, step) {
  return d3.utcFormat("%H:%M:%S.%L")(new Date(page.first_ms + ((page.last_ms - page.first_ms) * step) / (page.moments - 1)));
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
