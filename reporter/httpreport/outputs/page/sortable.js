// Makes the heads of a table that can be sorted: by a click on a head or, since each is a button, by a key.

// `columns` have {title, kind, value}: what rows are sorted by, if the column can be sorted by. `sorted` {column, down} is how
// the table is sorted at first, and `changed` is called when that has changed.
function sortableHeads(columns, sorted, changed) {
  const first = sorted;
  const keyOf = ({ title }) => title.toLowerCase().replace(/\W+/g, "_");
  const heads = columns.map((column) => make("th", { scope: "col", class: column.kind }, column.value
    ? make("button", { type: "button", class: "link", onclick: () => turn(column) }, column.title) : column.title));

  function mark() {
    heads.forEach((head, i) => columns[i].value && head.setAttribute("aria-sort",
      columns[i] !== sorted.column ? "none" : sorted.down ? "descending" : "ascending"));
  }

  function turn(column) {
    sorted = { column, down: sorted.column === column ? !sorted.down : column.kind.startsWith("number") };
    mark();
    changed();
  }

  // Returns the rows in their order. Rows with equal values keep the order that they have, or all of it is the other way round.
  function inOrder(rows) {
    const up = [...rows].reverse().sort((a, b) => d3.ascending(sorted.column.value(a), sorted.column.value(b)));
    return sorted.down ? up.reverse() : up;
  }

  // The text of how the table is sorted: the key of the column, with a `-` if the largest comes first.
  const text = () => (sorted.column === first.column && sorted.down === first.down ? ""
    : `${sorted.down ? "-" : ""}${keyOf(sorted.column)}`);

  function take(wanted) {
    const column = columns.find((each) => each.value && keyOf(each) === wanted.replace("-", ""));
    sorted = column ? { column, down: wanted.startsWith("-") } : first;
    mark();
  }

  mark();
  return { heads, inOrder, text, take };
}
