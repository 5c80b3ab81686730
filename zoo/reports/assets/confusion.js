/** The table of counts can show the shares of each row instead. */
zoo.sections.confusion = (element) => {
  const controls = element.querySelector(".controls");
  if (controls === null) return;
  const cells = [...element.querySelectorAll("td[data-share]")].map((cell) => ({
    cell,
    count: [cell.textContent, cell.style.getPropertyValue("--heat")],
    share: [cell.dataset.share, cell.dataset.heat],
  }));
  controls.hidden = false;
  controls.addEventListener("change", (event) => {
    for (const one of cells) {
      const [text, heat] = one[event.target.value];
      one.cell.textContent = text;
      one.cell.style.setProperty("--heat", heat);
    }
  });
};
