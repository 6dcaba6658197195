// Shows how many requests and calls are selected and how long they took, and what is to be said of the filters.

const NAMES_LISTED = 20;

// Returns a number for people, and in full for those who compare it.
const exact = (id, value, text) => make("data", { id, value }, text);

// Requests are in the bar of the filters if there are any, since each second of them counts once; else all calls.
function showTotals(page, calls, selected) {
  const { indices, time } = selected, [roots, seconds] = [ROOT, SECOND_END].map((link) => linked(page, selected, link));
  const ofCalls = [exact("total-calls", indices.length, whole.format(indices.length)), ` of ${count(page.recorded, "call")}, `,
    exact("total-time", time, duration(time))];
  const ofRequests = [exact("total-requests", roots.calls, count(roots.calls, "request")), " of ",
    exact("requests-time", roots.time, duration(roots.time)), " in all"];
  byId("totals").replaceChildren(...(roots.calls ? ofRequests : ofCalls));
  byId("totals-more").replaceChildren(...(roots.calls ? [...ofCalls, ". "] : []),
    indices.length ? `The slowest took ${duration(calls.duration[indices[0]])}. ` : "",
    ...(seconds.calls ? once(selected, seconds) : []));
}

// Returns what there is without the second ends of calls.
function once({ indices, time }, seconds) {
  const left = indices.length - seconds.calls, leftTime = time - seconds.time;
  return [`Without ${whole.format(seconds.calls)} that are the server's end of another: `,
    exact("calls-once", left, count(left, "call")), " of ", exact("once-time", leftTime, duration(leftTime)), "."];
}

// `countOf` returns how many calls pass a filter.
function showNote(page, { indices, notKnown }, filters, countOf) {
  const names = page.names.slice(0, NAMES_LISTED).map(([text]) => text);
  if (page.names.length > NAMES_LISTED) names.push("...");
  const isEmpty = page.calls && !indices.length;
  byId("note").replaceChildren(...[
    notKnown ? `Left out: ${count(notKnown, "call")} of which it is not known whether they pass the filters. ` : "",
    filters.typed() < page.floor_ns ? `Calls shorter than ${page.floor_ns / 1e6} ms are not in this page. ` : "",
    isEmpty ? `No calls match. Processes and threads in this page: ${names.join(", ")}. ` : "",
    ...(isEmpty ? filters.removals(countOf) : []),
  ].filter(Boolean));
}
