// Selects the calls that pass the filters and adds them up. Durations are ns; totals are exact up to 2**53 ns, 104 days.

const NO_STATUS = 1; // of a call without a response (slowest.py)
const ROOT = 1, SECOND_END = 2; // of the links of groups (slowest.py)
const COMM_BYTES = 15; // bytes of a name that the kernel keeps and -p compares

// Unpacks the numbers of a column (columns.py) into an array.
function unpack(text, numbers) {
  const bytes = atob(text);
  let at = 0;
  for (let i = 0; i < numbers.length; i++) {
    let byte, value = 0, scale = 1;
    do {
      byte = bytes.charCodeAt(at++);
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte & 128);
    numbers[i] = value;
  }
  return numbers;
}

// Returns for each group the indices of its process, thread, role, peer, trace, host, method, status, route and workload, and
// its link.
function unpackGroups({ groups, group_count }) {
  const columns = groups.map((text) => unpack(text, new Uint32Array(group_count)));
  return Array.from({ length: group_count }, (_, group) => columns.map((column) => column[group]));
}

// Returns the trees with an object for each line.
function unpackTrees({ trees, line_fields }) {
  const line = (values) => {
    const fields = Object.fromEntries(line_fields.map((name, i) => [name, values[i]])), { start_ns, duration_ns, spans } = fields;
    return { ...fields, spans: spans.length ? spans : [[start_ns, start_ns + duration_ns]] };
  };
  return trees.map(([calls, left_out, candidates, lines]) => ({ calls, left_out, candidates, lines: lines.map(line) }));
}

// Returns for each call, the longest first, the index of its group, its duration, and the step in which it started.
function unpackCalls(page) {
  const duration = unpack(page.columns.shorter, new Float64Array(page.calls));
  for (let i = 1; i < duration.length; i++) duration[i] = duration[i - 1] - duration[i];
  return {
    group: unpack(page.columns.group, new Uint32Array(page.calls)),
    duration,
    moment: unpack(page.columns.start, new Uint16Array(page.calls)),
  };
}

// Returns a shell pattern, in the meaning of Python's fnmatchcase, as a regular expression. An invalid pattern (a range that runs
// backwards) matches nothing.
function pattern(glob) {
  let source = "";
  for (let i = 0; i < glob.length; i++) {
    const close = glob[i] === "[" ? glob.indexOf("]", i + (glob[i + 1] === "!" ? 3 : 2)) : -1;
    if (glob[i] === "*") source += glob[i - 1] === "*" ? "" : ".*"; // several would be slow
    else if (glob[i] === "?") source += ".";
    else if (close > 0) {
      const set = glob.slice(i + 1, close).replace(/[\\\]\[^]/g, "\\$&");
      source += set[0] === "!" ? `[^${set.slice(1)}]` : `[${set}]`;
      i = close;
    } else source += glob[i].replace(/[\\^$.+(){}|\[\]\/]/, "\\$&");
  }
  try {
    return new RegExp(`^(?:${source})$`, "s");
  } catch {
    return /(?!)/;
  }
}

// Return bytes given in hexadecimal, and the UTF-8 bytes of a text, as strings with one character for each byte.
const bytesOf = (hex) => hex.replace(/../g, (byte) => String.fromCharCode(parseInt(byte, 16)));
const encoded = (text) => String.fromCharCode(...new TextEncoder().encode(text));

// Returns what -p has to be to match a name: characters of patterns are in brackets. A name that cannot be typed is asked for as
// it is shown.
const asked = (text) => text.replace(/[*?[]/g, "[$&]");

// Returns a function that tests whether a name {0: text, 1: bytes} is what -p asks for: exactly, in the bytes that the kernel
// keeps, or by a shell pattern.
function nameMatcher(wanted) {
  if (!wanted) return () => true;
  const bytes = encoded(wanted);
  const expression = pattern(/[*?[]/.test(wanted) ? bytes : bytes.slice(0, COMM_BYTES));
  return ([text, hex]) => expression.test(bytesOf(hex)) || (bytesOf(hex) !== encoded(text) && asked(text) === wanted);
}

// Returns a function that tests a peer. A host without a port stands for all its ports.
function peerMatcher(wanted) {
  const hostOf = (peer) => peer.replace(/^(?:\[(.*)\]|([^:]*)):\d+$/, "$1$2");
  return (peer) => !wanted || peer === wanted || hostOf(peer) === wanted;
}

// Returns a function that tests a route {0: text, 1: path, 2: whether it is of segments}, as --route does: by its text or path,
// or by a path in which {*} stands for any one segment that has no type. It returns null if the path is not known.
function routeMatcher(wanted) {
  if (!wanted) return () => true;
  const segments = wanted.split("/");
  const free = (segment) => segment && !/^{.*}/.test(segment);
  const like = (path) => path.length === segments.length
    && path.every((segment, i) => segment === segments[i] || (segments[i] === "{*}" && free(segment)));
  return ([text, path, ofSegments]) =>
    text === wanted || (path === "" ? null : path === wanted || (ofSegments && like(path.split("/"))));
}

// Returns a function that tests a status, as --status does: 404, 5xx, >=400. It returns null if the status is not known.
function statusMatcher(wanted) {
  if (!wanted) return () => true;
  const [, sign, number, hundreds] = /^(?:(>=|<=|>|<)?([1-9]\d\d)|([1-9])xx)$/.exec(wanted) ?? [];
  const compare = {
    "<": (status) => status < number, "<=": (status) => status <= number,
    ">": (status) => status > number, ">=": (status) => status >= number,
  }[sign] ?? ((status) => (hundreds ? Math.floor(status / 100) === Number(hundreds) : status === Number(number)));
  return (status) => (status === 0 ? null : status !== NO_STATUS && compare(status));
}

// Returns a function that tests a method. It returns null if the method is not known.
const methodMatcher = (wanted) => (method) => !wanted || (method === "" ? null : method === wanted);

// Returns the function that tests a text by a pattern as --container and --pod take it: * and ? match all but a /, ** matches
// anything. It follows all places in the pattern that are possible, so that no pattern is slow.
function globbed(glob) {
  const tokens = glob.match(/\*\*|./gsu) ?? [];
  const skipStars = (places) => {
    tokens.forEach((token, i) => { if (places[i] && token.startsWith("*")) places[i + 1] = 1; });
    return places;
  };
  return (text) => {
    let places = skipStars(Uint8Array.from([1, ...tokens.map(() => 0)]));
    for (const character of text) {
      const next = new Uint8Array(tokens.length + 1);
      tokens.forEach((token, i) => {
        if (!places[i]) return;
        if (token === "**" || (token === "*" && character !== "/")) next[i] = 1;
        else if (token === character || (token === "?" && character !== "/")) next[i + 1] = 1;
      });
      places = skipStars(next);
    }
    return places[tokens.length] === 1;
  };
}

// Returns a function that tests a container or unit, as --container does. It returns null if its name is not known.
function containerMatcher(wanted) {
  if (!wanted) return () => true;
  const matches = globbed(wanted), byId = /^[0-9a-f]{12,64}$/.test(wanted);
  return ([, , container, id, , , , known]) => {
    if (!known) return null;
    if (id && byId) return id.startsWith(wanted) || container === wanted;
    return id && !container ? null : matches(container);
  };
}

// Returns a function that tests a pod, as --pod does. It returns null if its name is not known.
function podMatcher(wanted) {
  if (!wanted) return () => true;
  const matches = globbed(wanted);
  return ([, , , , pod, namespace, uid, known]) => {
    if (!known) return null;
    if (uid && uid === wanted) return true;
    return uid && !pod ? null : pod !== "" && (matches(pod) || matches(`${namespace}/${pod}`));
  };
}

// Returns how many of the durations, the longest first, reach the threshold.
function atLeast(durations, threshold) {
  let from = 0, to = durations.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (durations[middle] >= threshold) from = middle + 1;
    else to = middle;
  }
  return from;
}

// Returns the indices of the calls that pass `filter` {at_least, process, role, peer, host, method, status, route, container,
// pod, roots, time, at_most}, count and time of each group, and how many calls do not pass only because it is not known whether
// they do.
function select(page, calls, filter) {
  const named = page.names.map(nameMatcher(filter.process)), peered = page.peers.map(peerMatcher(filter.peer));
  const methods = page.methods.map(methodMatcher(filter.method)), routes = page.routes.map(routeMatcher(filter.route));
  const statuses = page.statuses.map(statusMatcher(filter.status));
  const containers = page.workloads.map(containerMatcher(filter.container)), pods = page.workloads.map(podMatcher(filter.pod));
  const verdicts = page.groups.map(([, , , , , , method, status, route, workload]) =>
    [methods[method], statuses[status], routes[route], containers[workload], pods[workload]]);
  const possible = page.groups.map(([process, thread, role, peer, , host, , , , , link], group) =>
    (!filter.roots || link === ROOT) && (named[process] || named[thread]) && peered[peer]
    && (!filter.role || page.roles[role] === filter.role) && (!filter.host || page.hosts[host] === filter.host)
    && verdicts[group].every((passes) => passes !== false));
  const passes = page.groups.map((_, group) => possible[group] && verdicts[group].every((passes) => passes));
  const slow = atLeast(calls.duration, filter.at_least), [first, last] = filter.time ?? [0, page.moments - 1];
  const start = Math.min(slow, atLeast(calls.duration, (filter.at_most ?? Infinity) + 1)); // durations are whole
  const indices = new Uint32Array(slow - start);
  const counts = new Float64Array(page.groups.length), times = new Float64Array(page.groups.length);
  let found = 0, notKnown = 0;
  for (let i = start; i < slow; i++) {
    const group = calls.group[i];
    if (calls.moment[i] < first || calls.moment[i] > last) continue;
    if (!passes[group]) {
      if (possible[group]) notKnown++;
      continue;
    }
    indices[found++] = i;
    counts[group]++;
    times[group] += calls.duration[i];
  }
  return { indices: indices.subarray(0, found), counts, times, notKnown, time: times.reduce((sum, time) => sum + time, 0) };
}

// Returns how many of the selected calls have this link, and how long they took.
function linked(page, { counts, times }, wanted) {
  const of = page.groups.map(([, , , , , , , , , , link]) => link === wanted);
  return { calls: d3.sum(counts, (calls, group) => of[group] && calls), time: d3.sum(times, (time, group) => of[group] && time) };
}

// Returns the durations of the selected calls, the longest first, for each value of one field of their groups; the value with
// the most time comes first.
function apart(page, calls, selected, field, values) {
  const keys = page.groups.map((group) => group[field]);
  const sizes = new Uint32Array(values.length), times = new Float64Array(values.length);
  page.groups.forEach((_, group) => {
    sizes[keys[group]] += selected.counts[group];
    times[keys[group]] += selected.times[group];
  });
  const parts = values.map((value, key) => ({ value, time: times[key], durations: new Float64Array(sizes[key]) }));
  const next = new Uint32Array(values.length);
  for (const index of selected.indices) {
    const key = keys[calls.group[index]];
    parts[key].durations[next[key]++] = calls.duration[index];
  }
  return parts.filter((part) => part.durations.length).sort((a, b) => b.time - a.time);
}

// Returns the shortest duration that at least this share of the calls does not exceed. The longest duration is first.
function quantile(durations, share) {
  return durations[durations.length - Math.max(1, Math.ceil(share * durations.length))];
}
