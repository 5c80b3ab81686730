"use strict";

// Each section's script adds a function here: (element, data, run) => {}. It is called once for each part of the
// section, with the element of the part, the data that Python gave it, and the index of its run (null: all runs).
const zoo = {
  sections: {},

  start() {
    for (const element of document.querySelectorAll(".part")) {
      const script = element.querySelector(':scope > script[type="application/json"]');
      const make = zoo.sections[element.dataset.section];
      if (make === undefined) continue;
      const run = element.dataset.run === undefined ? null : Number(element.dataset.run);
      try {
        make(element, script === null ? null : JSON.parse(script.textContent), run);
      } catch (error) {  // the other sections go on
        console.error(error);
      }
    }
  },
};
