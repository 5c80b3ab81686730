// The section of the net itself: what nets of all kinds share, and which of them a part has.

/** The nets of the page, by the elements of their parts. */
zoo.net.parts = new Map();

zoo.sections.net = (element, data) => {
  if (data === null) return;
  const kinds = { text: zoo.net.TextNet, picture: zoo.net.PictureNet, row: zoo.net.RowNet };
  zoo.net.parts.set(element, new kinds[data.kind](element, data));
};

/**
 * An element with children.
 * @param {string} name of its tag
 * @param {object} properties
 * @param {...(Node|string)} children text is shown as such
 */
zoo.net.make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

/** A probability for people. */
zoo.net.percent = (p) => {
  if (p > 0 && p < 0.00005) return "<\u00a00.01\u00a0%";
  if (p < 1 && p >= 0.9995) return ">\u00a099.9\u00a0%";
  return `${(100 * p).toFixed(p < 0.0995 ? 2 : 1)}\u00a0%`;
};

/** Probabilities as bars, each of which may be chosen. */
zoo.net.Bars = class {
  /**
   * @param {Element} list an empty `ul`
   * @param {{shown: string, said: string}[]} names as they are shown, and as a screen reader says them
   * @param {?(index: number) => void} choose what a click does
   */
  constructor(list, names, choose = null) {
    this.list = list;
    this.names = names;
    this.bars = names.map((name, index) => this.#bar(name, index, choose));
    list.append(...this.bars.map((bar) => bar.entry));
    const longest = Math.max(...names.map(({ shown }) => shown.length));
    list.style.setProperty("--names", `${Math.min(Math.max(longest, 2), 16)}ch`);
  }

  #bar({ shown }, index, choose) {
    const make = zoo.net.make;
    const fill = make("span", { className: "fill" });
    const percent = make("span", { className: "percent" });
    const parts = [make("span", { className: "name" }, shown), make("span", { className: "track" }, fill), percent];
    const bar = make(choose === null ? "div" : "button", { className: "bar" }, ...parts);
    if (choose !== null) {
      bar.type = "button";
      bar.addEventListener("click", () => choose(index));
    }
    return { entry: make("li", { className: shown.length > 9 ? "boundary" : "" }, bar), bar, fill, percent };
  }

  /**
   * @param {?ArrayLike<number>} probabilities null where there are none
   * @param {boolean} sorted the most probable ones first
   */
  show(probabilities, sorted) {
    const focused = this.bars.find(({ bar }) => bar === document.activeElement);
    const order = this.bars.map((_, i) => i);
    if (sorted && probabilities !== null) order.sort((i, j) => probabilities[j] - probabilities[i] || i - j);
    this.list.classList.toggle("empty", probabilities === null);
    this.bars.forEach(({ bar, fill, percent }, i) => {
      const text = probabilities === null ? "" : zoo.net.percent(probabilities[i]);
      fill.style.width = probabilities === null ? "0" : `${100 * probabilities[i]}%`;
      percent.textContent = text;
      bar.disabled = probabilities === null;
      bar.setAttribute("aria-label", `${this.names[i].said} ${text}`.trim());
    });
    const entries = order.map((i) => this.bars[i].entry);
    if (entries.some((entry, i) => entry !== this.list.children[i])) this.list.append(...entries);
    focused?.bar.focus({ preventScroll: true });
  }

  /** The most probable ones, for a screen reader. */
  static summary(probabilities, names, count = 3) {
    const order = Array.from(probabilities, (_, i) => i).sort((i, j) => probabilities[j] - probabilities[i]);
    return order.slice(0, count).map((i) => `${names[i].said} ${zoo.net.percent(probabilities[i])}`).join(", ");
  }
};

/** What happens instead of numbers that could be wrong: a line that says why. */
zoo.net.tell = (line, error) => {
  if (!(error instanceof zoo.net.NotRunning)) throw error;
  line.textContent = error.message;
};
