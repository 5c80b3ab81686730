// Tables that are sorted by a click on a heading, or by the keyboard.

/**
 * Make a table sortable by each of its headings with the attribute `data-sort`: `number` or `text`.
 *
 * A cell is sorted by its attribute `data-value`, or else by its text. Cells that hold no number come last.
 *
 * @param {HTMLTableElement} table with one row of headings
 */
zoo.sortable = (table) => {
  for (const heading of table.querySelectorAll("thead th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => zoo.sortBy(table, heading));
  }
};

zoo.sortBy = (table, heading) => {
  const isNumber = heading.dataset.sort === "number";
  const now = heading.getAttribute("aria-sort");
  const order = now === "none" ? (isNumber ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
  const sign = order === "ascending" ? 1 : -1;
  const valueOf = (row) => {
    const cell = row.cells[heading.cellIndex];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return isNumber ? (text === "" ? NaN : Number(text)) : text;
  };
  const compare = (one, other) => {
    const [a, b] = [valueOf(one), valueOf(other)];
    if (!isNumber) return sign * a.localeCompare(b);
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
    return sign * (a - b);
  };
  for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
};
