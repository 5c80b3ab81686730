zoo.sections.embedding = async (element, data) => {
  const NEIGHBOURS = 8;
  const ALWAYS_LABELLED = 60;  // characters: of so many, all have their labels at any zoom
  const [LABEL_WIDTH, LABEL_HEIGHT] = [16, 16];  // pixels that a label needs for itself
  const NEAR = 24;  // pixels from a character within which it is pointed at
    const E = data.dimensions;
  const V = data.labels.length;
  const [SMALLEST, LARGEST] = V > ALWAYS_LABELLED ? [9, 28] : [14, 44];  // diameters of dots in pixels
  const tables = [...data.snapshots, data.table].map(unpacked);
  const [mean, components] = [data.mean, data.components].map(unpacked);
  const find = (selector) => element.querySelector(selector);
  const figure = await zoo.figure(element, "map");
  const view = zoo.printing.views.get(find(".figure"));
  const byKind = groups();
  const neighbourLines = figure.renderers.find((renderer) => renderer.tags[1] === "neighbours").data_source;
  const state = { table: tables.at(-1), chosen: null, positions: [], waiting: false };

  for (const name of ["x", "y"]) find(`select.${name}`).addEventListener("change", () => { place(); fit(); });
  find(".distance").addEventListener("change", showNeighbours);
  find(".character").addEventListener("change", ({ target }) => choose(target.value === "" ? null : Number(target.value)));
  find(".typed").addEventListener("input", ({ target }) => type(target));
  find(".typed").addEventListener("keydown", (event) => {
    if (event.key === "Enter") chooseCharacter("\n");
  });
  find(".time")?.addEventListener("input", ({ target }) => {
    state.table = tables[target.value];
    find(".step").textContent = data.steps[target.value].toLocaleString("en");
    place();
  });
  find(".figure").addEventListener("pointermove", point);
  find(".figure").addEventListener("pointerdown", point);
  if (V > ALWAYS_LABELLED) {
    for (const range of [figure.x_range, figure.y_range]) range.change.connect(labelLater);
  }
  place();
  fit();

  /** Float32 numbers of base64. */
  function unpacked(text) {
    return new Float32Array(Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0)).buffer);
  }

  /** The characters of each kind, with the source that they are drawn from. */
  function groups() {
    const renderers = figure.renderers.filter((renderer) => renderer.tags[1] === "characters");
    const kinds = [...new Set(data.kinds)];
    return renderers.map((renderer, i) => ({
      source: renderer.data_source,
      members: [...data.kinds.keys()].filter((row) => data.kinds[row] === kinds[i]),
    }));
  }

  /** The coordinate of a row of a table on an axis: a dimension, or a score on a principal component. */
  function coordinate(table, row, axis) {
    const number = Number(axis.slice(1));
    if (axis[0] === "d") return table[row * E + number];
    let score = 0;
    for (let e = 0; e < E; e++) score += (table[row * E + e] - mean[e]) * components[number * E + e];
    return score;
  }

  function axes() {
    return ["x", "y"].map((name) => find(`select.${name}`).value);
  }

  function place() {
    const [across, up] = axes();
    state.positions = Array.from({ length: V }, (_, row) => [
      coordinate(state.table, row, across), coordinate(state.table, row, up),
    ]);
    [figure.below[0].axis_label, figure.left[0].axis_label] =
      ["x", "y"].map((name) => find(`select.${name}`).selectedOptions[0].textContent);
    label();
    showNeighbours();
  }

  /** Draw the characters at their positions, with as many labels as there is room for. */
  function label() {
    const texts = labels();
    for (const { source, members } of byKind) {
      source.data = {
        x: members.map((row) => state.positions[row][0]),
        y: members.map((row) => state.positions[row][1]),
        size: members.map(size),
        text: members.map((row) => texts[row]),
      };
    }
  }

  function labelLater() {
    if (state.waiting) return;
    state.waiting = true;
    requestAnimationFrame(() => { state.waiting = false; label(); });
  }

  function size(row) {
    if (data.counts === null) return 1.5 * SMALLEST;
    const share = data.counts[row] / Math.max(1, ...data.counts);
    return Math.max(SMALLEST, LARGEST * Math.sqrt(share));
  }

  function labels() {
    if (V <= ALWAYS_LABELLED) return data.labels;
    const order = [...data.labels.keys()];
    if (data.counts !== null) order.sort((a, b) => data.counts[b] - data.counts[a]);
    const [taken, texts] = [new Set(), new Array(V).fill("")];
    for (const row of order) {
      const [sx, sy] = onScreen(row);
      const cells = [0, 1].flatMap((i) => [0, 1].map(
        (j) => `${Math.floor(sx / LABEL_WIDTH + i / 2)}:${Math.floor(sy / LABEL_HEIGHT + j / 2)}:${i}${j}`,
      ));
      if (cells.some((cell) => taken.has(cell))) continue;
      for (const cell of cells) taken.add(cell);
      texts[row] = data.labels[row];
    }
    return texts;
  }

  /** Pixels from the corner of the canvas. */
  function onScreen(row) {
    const [x, y] = state.positions[row];
    return [view.frame.x_scale.compute(x), view.frame.y_scale.compute(y)];
  }

  /** Axes that have room for every step that the slider shows, so that it moves the characters and nothing else. */
  function fit() {
    const ranges = [figure.x_range, figure.y_range];
    axes().forEach((axis, i) => {
      let [low, high] = [Infinity, -Infinity];
      for (const table of tables) {
        for (let row = 0; row < V; row++) {
          const value = coordinate(table, row, axis);
          [low, high] = [Math.min(low, value), Math.max(high, value)];
        }
      }
      const room = 0.09 * (high - low) || 1;
      const [start, end] = [low - room, high + room];
      ranges[i].setv({ reset_start: start, reset_end: end, start, end });
    });
  }

  function point(event) {
    const box = view.canvas_view.el.getBoundingClientRect();
    const [sx, sy] = [event.clientX - box.left, event.clientY - box.top];
    const { left, right, top, bottom } = view.frame.bbox;
    if (sx < left || sx > right || sy < top || sy > bottom) return;
    let [nearest, distance] = [null, NEAR];
    for (let row = 0; row < V; row++) {
      const [x, y] = onScreen(row);
      const away = Math.hypot(x - sx, y - sy);
      if (away < distance) [nearest, distance] = [row, away];
    }
    if (nearest !== null && nearest !== state.chosen) choose(nearest);
  }

  function type(input) {
    const typed = [...input.value].at(-1);
    if (typed === undefined) return;
    chooseCharacter(typed);
    input.select();
  }

  function chooseCharacter(character) {
    const row = [data.characters, data.labels].map((all) => all.indexOf(character)).find((found) => found >= 0);
    if (row !== undefined) choose(row);
    else say(`“${character}” is not in the vocabulary.`);
  }

  function choose(row) {
    state.chosen = row;
    find(".character").value = row === null ? "" : String(row);
    showNeighbours();
  }

  function say(text) {
    const line = document.createElement("p");
    line.className = "hint";
    line.textContent = text;
    find(".found").replaceChildren(line);
  }

  /** The nearest characters in all dimensions. */
  function neighbours(row, metric) {
    const others = [...data.labels.keys()].filter((other) => other !== row);
    const found = others.map((other) => [other, distance(row, other, metric)]);
    return found.sort(([a, near], [b, far]) => near - far || a - b).slice(0, NEIGHBOURS);
  }

  function distance(one, other, metric) {
    let [squares, dot, first, second] = [0, 0, 0, 0];
    for (let e = 0; e < E; e++) {
      const [a, b] = [state.table[one * E + e], state.table[other * E + e]];
      squares += (a - b) ** 2;
      dot += a * b;
      first += a * a;
      second += b * b;
    }
    return metric === "cosine" ? 1 - dot / (Math.sqrt(first * second) || 1) : Math.sqrt(squares);
  }

  function showNeighbours() {
    const row = state.chosen;
    if (row === null) {
      neighbourLines.data = { x0: [], y0: [], x1: [], y1: [] };
      return;
    }
    const metric = find(".distance").value;
    const found = neighbours(row, metric);
    const [[x, y], ends] = [state.positions[row], found.map(([other]) => state.positions[other])];
    neighbourLines.data = {
      x0: ends.map(() => x), y0: ends.map(() => y), x1: ends.map(([end]) => end), y1: ends.map(([, end]) => end),
    };
    const title = document.createElement("h4");
    title.textContent = `Nearest to ${data.labels[row]}`;
    const frequency = document.createElement("p");
    frequency.className = "hint frequency";
    frequency.textContent = frequencyOf(row);
    find(".found").replaceChildren(title, frequency, tableOf(found, metric));
  }

  function frequencyOf(row) {
    if (data.counts === null) return "Its frequency is not known: the data is not found.";
    const [count, total] = [data.counts[row], data.total];
    const share = (100 * count / Math.max(1, total)).toFixed(2);
    return `${count.toLocaleString("en")} of ${total.toLocaleString("en")} targets of the training split (${share}%)`;
  }

  function tableOf(found, metric) {
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const [name, kind] of [["character", ""], [`${metric === "cosine" ? "cosine" : "Euclidean"} distance`, "number"]]) {
      const cell = head.appendChild(document.createElement("th"));
      cell.scope = "col";
      cell.className = kind;
      cell.textContent = name;
    }
    const body = table.createTBody();
    for (const [other, away] of found) {
      const line = body.insertRow();
      line.insertCell().textContent = data.labels[other];
      const number = line.insertCell();
      number.className = "number";
      number.textContent = away.toFixed(4);
    }
    return table;
  }
};
