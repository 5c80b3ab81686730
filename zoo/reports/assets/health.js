/** Both tables are sorted by their headings. */
zoo.sections.health = (element) => {
  for (const table of element.querySelectorAll("table.sortable")) zoo.sortable(table);
};
