"use strict";

// Each section's script adds a function here: (element, data, run) => {}. It is called once for each part of the
// section, with the element of the part, the data that Python gave it, and the index of its run (null: all runs).
const zoo = {
  sections: {},

  /** Promises of Bokeh's figures, by the elements that they are shown in. */
  figures: new Map(),

  start() {
    zoo.theme.start();
    zoo.printing.start();
    zoo.markPlace();
    for (const element of document.querySelectorAll(".figure")) zoo.figures.set(element, zoo.showFigure(element));
    for (const element of document.querySelectorAll(".part")) {
      const script = element.querySelector(':scope > script[type="application/json"]');
      const make = zoo.sections[element.dataset.section];
      if (make === undefined) continue;
      const run = element.dataset.run === undefined ? null : Number(element.dataset.run);
      // A promise catches what an asynchronous section throws, too. The other sections go on.
      Promise.resolve()
        .then(() => make(element, script === null ? null : JSON.parse(script.textContent), run))
        .catch((error) => console.error(error));
    }
  },

  /**
   * A colour of page.css as it is now, for what CSS does not reach.
   * @param {string} name of the variable, without its dashes
   * @returns {string} rgb(…)
   */
  colour(name) {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.style.color = `var(--${name})`;
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  },

  /**
   * The figure that a template has placed in a part.
   * @param {Element} part
   * @param {string} name as in the template: {{ figures.NAME }}
   * @returns {Promise<object>} Bokeh's model, when it is shown
   */
  figure(part, name) {
    return zoo.figures.get(part.querySelector(`.figure[data-name="${name}"]`));
  },

  /** Names and values of the columns of a data source of Bokeh. */
  columns: (source) => (source.data instanceof Map ? [...source.data] : Object.entries(source.data)),

  async showFigure(element) {
    const item = JSON.parse(element.querySelector("script").textContent);
    const views = await Bokeh.embed.embed_item(item, element.querySelector(".plot"));
    const [view] = views.roots ?? [...views];
    const figure = view.model;
    if (matchMedia("(pointer: coarse)").matches) figure.toolbar.gestures.pan.active = null;  // fingers scroll the page
    zoo.paint(figure);
    document.addEventListener("zoo:theme", () => zoo.paint(figure));
    zoo.printing.views.set(element, view);
    zoo.addSwitch(element, figure);
    zoo.addLegend(element, figure);
    return figure;
  },

  /** Give a figure the colours of the page; a renderer has its own as its first tag. */
  paint(figure) {
    const [ink, faint, line] = ["ink", "faint", "line"].map(zoo.colour);
    for (const axis of [...figure.left, ...figure.below]) {
      axis.axis_label_text_color = ink;
      axis.major_label_text_color = faint;
      axis.axis_line_color = axis.major_tick_line_color = line;
    }
    for (const grid of figure.center) grid.grid_line_color = line;
    for (const renderer of figure.renderers) {
      const [name] = renderer.tags;
      if (typeof name !== "string") continue;
      const colour = zoo.colour(name);
      for (const property of ["line_color", "fill_color", "text_color"]) {
        if (property in renderer.glyph.properties) renderer.glyph[property] = colour;
      }
    }
  },

  /** Ticks at every decade: Bokeh's own are evenly spaced up to two decades, and leave the lower half without one. */
  tickWidely(ticker) {
    const evenly = ticker.get_ticks_no_defaults.bind(ticker);
    ticker.get_ticks_no_defaults = (low, high, ...others) => {
      const decades = [];
      for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++) decades.push(k);
      for (const steps of [[1], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
        const all = decades.flatMap((k) => steps.map((step) => (k < 0 ? step / 10 ** -k : step * 10 ** k)));
        const major = all.filter((tick) => low <= tick && tick <= high);
        const every = Math.ceil(major.length / 10);
        if (major.length >= 5) return { major: major.filter((_, i) => i % every === 0), minor: [] };
      }
      return evenly(low, high, ...others);
    };
  },

  /** Logarithmic or linear, for a figure that has both axes. */
  addSwitch(element, figure) {
    if (figure.tags.length !== 4) return;
    const [linearScale, logScale, linear, logarithmic] = figure.tags;
    zoo.tickWidely(logarithmic.ticker);
    const label = document.createElement("label");
    label.append("Axis ");
    const select = label.appendChild(document.createElement("select"));
    for (const name of ["logarithmic", "linear"]) select.append(new Option(name));
    select.addEventListener("change", () => {
      const log = select.value === "logarithmic";
      logarithmic.visible = log;
      linear.visible = !log;
      figure.y_scale = log ? logScale : linearScale;
      for (const grid of figure.center) if (grid.dimension === 1) grid.axis = log ? logarithmic : linear;
    });
    zoo.controls(element).append(label);
  },

  /** The row of controls of a figure, above it. */
  controls(element) {
    let controls = element.querySelector(":scope > .controls");
    if (controls === null) {
      controls = document.createElement("div");
      controls.className = "controls";
      element.prepend(controls);
    }
    return controls;
  },

  /** What a figure shows, by the names of its renderers, each of which can be hidden. */
  addLegend(element, figure) {
    const byName = new Map();
    for (const renderer of figure.renderers) {
      if (renderer.name === null) continue;
      byName.set(renderer.name, [...(byName.get(renderer.name) ?? []), renderer]);
    }
    if (byName.size === 0) return;
    const legend = document.createElement("ul");
    legend.className = "legend";
    for (const [name, renderers] of byName) legend.append(zoo.legendEntry(name, renderers));
    element.append(legend);
  },

  legendEntry(name, renderers) {
    const entry = document.createElement("li");
    const button = entry.appendChild(document.createElement("button"));
    button.type = "button";
    button.setAttribute("aria-pressed", String(renderers[0].visible));
    const swatch = button.appendChild(document.createElement("span"));
    swatch.className = "swatch";
    swatch.style.setProperty("--colour", `var(--${renderers[0].tags[0]})`);
    const text = button.appendChild(document.createElement("span"));
    text.className = "name";
    text.textContent = name;
    button.addEventListener("click", () => {
      const visible = !renderers[0].visible;
      for (const renderer of renderers) renderer.visible = visible;
      button.setAttribute("aria-pressed", String(visible));
    });
    return entry;
  },

  /** Mark the section that is being read in the navigation. */
  markPlace() {
    const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-20% 0px -70%" });
    for (const section of document.querySelectorAll("main > section")) observer.observe(section);
  },
};

// Light or dark, as the system has it or as the button says. A script that draws by itself listens for `zoo:theme`.
zoo.theme = {
  system: matchMedia("(prefers-color-scheme: dark)"),
  chosen: null,

  start() {
    const button = document.getElementById("theme");
    button.addEventListener("click", () => {
      zoo.theme.chosen = zoo.theme.isDark() ? "light" : "dark";
      zoo.theme.apply(zoo.theme.chosen);
    });
    zoo.theme.system.addEventListener("change", () => zoo.theme.apply(zoo.theme.chosen));
    zoo.theme.apply(null);
  },

  isDark: () => (zoo.theme.chosen ?? (zoo.theme.system.matches ? "dark" : "light")) === "dark",

  /** @param {?string} scheme light, dark, or null for that of the system */
  apply(scheme) {
    document.documentElement.style.colorScheme = scheme ?? "";
    document.getElementById("theme").textContent = zoo.theme.isDark() ? "Light" : "Dark";
    document.dispatchEvent(new Event("zoo:theme"));
  },
};

// On paper a page is light, shows everything, and has pictures in place of its figures, which fit any width.
zoo.printing = {
  views: new Map(),
  opened: [],

  start() {
    addEventListener("beforeprint", zoo.printing.begin);
    addEventListener("afterprint", zoo.printing.end);
  },

  begin() {
    zoo.theme.apply("light");
    zoo.printing.opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of zoo.printing.opened) details.open = true;
    for (const [element, view] of zoo.printing.views) {
      const picture = element.appendChild(document.createElement("img"));
      picture.className = "printed";
      picture.alt = element.getAttribute("aria-label");
      picture.src = view.export("auto").canvas.toDataURL();
    }
  },

  end() {
    for (const picture of document.querySelectorAll(".printed")) picture.remove();
    for (const details of zoo.printing.opened) details.open = false;
    zoo.theme.apply(zoo.theme.chosen);
  },
};
