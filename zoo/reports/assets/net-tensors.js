// Nets that read tensors: small pictures, which one draws, and rows of numbers, each in a field.

/** What a net predicts, shown: the probabilities of classes, or numbers. */
zoo.net.Prediction = class {
  constructor(element, { classes, outputs }) {
    this.told = element.querySelector(".told");
    this.names = (classes ?? outputs).map((name) => ({ shown: name, said: name }));
    this.bars = classes === null ? null : new zoo.net.Bars(element.querySelector(".bars"), this.names);
    this.order = element.querySelector(".order");
    this.numbers = element.querySelectorAll(".predicted");
    this.order?.addEventListener("change", () => this.show(this.last));
  }

  /** @param {?ArrayLike<number>} output null where there is none */
  show(output) {
    this.last = output;
    if (this.bars === null) {
      this.numbers.forEach((place, i) => (place.textContent = output === null ? "–" : zoo.net.figures(output[i])));
      return;
    }
    const probabilities = output === null ? null : zoo.net.softmax(output);
    this.bars.show(probabilities, this.order.value === "probability");
    if (probabilities === null) return;
    this.told.textContent = `Most probable: ${zoo.net.Bars.summary(probabilities, this.names)}`;
  }
};

/** A number to six significant figures. */
zoo.net.figures = (x) => {
  const size = Math.abs(x);
  if (size !== 0 && !(size >= 1e-4 && size < 1e9)) return x.toExponential(5);
  return x.toLocaleString("en", { maximumSignificantDigits: 6 });
};

/** A net of one program, which runs again whenever its input changes. */
zoo.net.TensorNet = class {
  constructor(element, data) {
    this.net = new zoo.net.Net(data);
    this.prediction = new zoo.net.Prediction(element, data);
    this.changes = 0;
  }

  /** The values of the input; null where there are none. */
  values() {
    throw new Error("not implemented");
  }

  async refresh() {
    const number = ++this.changes;
    const values = this.values();
    if (values === null) return this.prediction.show(null);
    try {
      const output = await this.net.run(0, values, () => number !== this.changes);
      if (output !== null) this.prediction.show(output.data);
    } catch (error) {
      this.prediction.show(null);
      zoo.net.tell(this.prediction.told, error);
    }
  }
};

/** Pixels on a canvas, which pointers and keys draw on. */
zoo.net.Drawing = class {
  constructor(canvas, { height, width, background, ink }, changed) {
    Object.assign(this, { canvas, height, width, background, ink, changed });
    this.pixels = new Float64Array(height * width).fill(background);
    this.cursor = [Math.floor(height / 2), Math.floor(width / 2)];
    canvas.width = width;
    canvas.height = height;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("keydown", (event) => this.#press(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.paint());
    document.addEventListener("zoo:theme", () => this.paint());
    this.paint();
  }

  set(pixels) {
    this.pixels.set(pixels);
    this.#update();
  }

  clear() {
    this.set(new Float64Array(this.pixels.length).fill(this.background));
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (at, size, n) => Math.floor((at / size) * n);
    return [
      place(event.clientY - box.top, box.height, this.height),
      place(event.clientX - box.left, box.width, this.width),
    ];
  }

  #begin(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.before = this.#at(event);
    this.#stroke(this.before);
  }

  #move(event) {
    if (event.buttons % 2 === 1) this.#stroke(this.#at(event));
  }

  /** A line from where the pointer was. */
  #stroke(to) {
    const from = this.before ?? to;
    const steps = Math.max(1, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]));
    for (let i = 0; i <= steps; i++) {
      this.#dot(...from.map((start, axis) => Math.round(start + ((to[axis] - start) * i) / steps)));
    }
    this.before = to;
    this.#update();
  }

  /** A pixel with ink; in larger pictures its neighbours with half of it. */
  #dot(row, column) {
    this.#ink(row, column, 1);
    if (Math.min(this.height, this.width) < 20) return;
    for (const [i, j] of [[0, 1], [1, 0], [0, -1], [-1, 0]]) this.#ink(row + i, column + j, 0.5);
  }

  #ink(row, column, amount) {
    if (row < 0 || column < 0 || row >= this.height || column >= this.width) return;
    const at = row * this.width + column;
    const wanted = this.background + amount * (this.ink - this.background);
    const farther = Math.abs(wanted - this.background) > Math.abs(this.pixels[at] - this.background);
    if (farther || amount === 1) this.pixels[at] = wanted;
  }

  #press(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (move === undefined && event.key !== " ") return;
    event.preventDefault();
    const [row, column] = this.cursor;
    if (move === undefined) {
      const at = row * this.width + column;
      this.pixels[at] = this.pixels[at] === this.ink ? this.background : this.ink;
      this.#update();
    } else {
      const inside = (place, n) => Math.min(Math.max(place, 0), n - 1);
      this.cursor = [inside(row + move[0], this.height), inside(column + move[1], this.width)];
      this.paint();
    }
    this.#say();
  }

  /** Where the cursor is, for a screen reader. */
  #say() {
    const [row, column] = this.cursor;
    const drawn = this.pixels[row * this.width + column] === this.ink ? "drawn" : "empty";
    this.canvas.setAttribute("aria-valuetext", `row ${row + 1}, column ${column + 1}, ${drawn}`);
    this.canvas.setAttribute("aria-valuenow", String(row * this.width + column + 1));
  }

  #update() {
    this.paint();
    this.changed();
  }

  paint() {
    zoo.net.paint(this.canvas, this.pixels, this);
    if (document.activeElement !== this.canvas || !this.canvas.matches(":focus-visible")) return;
    const context = this.canvas.getContext("2d");
    context.fillStyle = zoo.colour("warm");
    context.globalAlpha = 0.7;
    context.fillRect(this.cursor[1], this.cursor[0], 1, 1);
    context.globalAlpha = 1;
  }
};

/** Draw pixels between the colour of paper, for the background, and that of ink. */
zoo.net.paint = (canvas, pixels, { height, width, background, ink }) => {
  const [paper, line] = ["paper", "ink"].map((name) => zoo.colour(name).match(/\d+/g).map(Number));
  const image = new ImageData(width, height);
  pixels.forEach((value, i) => {
    const share = Math.min(Math.max((value - background) / (ink - background || 1), 0), 1);
    for (let part = 0; part < 3; part++) image.data[4 * i + part] = paper[part] + share * (line[part] - paper[part]);
    image.data[4 * i + 3] = 255;
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
};

zoo.net.PictureNet = class extends zoo.net.TensorNet {
  constructor(element, data) {
    super(element, data);
    const canvas = element.querySelector(".drawing");
    this.drawing = new zoo.net.Drawing(canvas, data, () => this.refresh());
    element.querySelector(".clear").addEventListener("click", () => this.drawing.clear());
    const examples = element.querySelector(".examples");
    data.examples.forEach((example, i) => examples?.append(this.#example(example, i, data)));
    if (data.examples.length > 0) this.drawing.set(this.#pixels(data.examples[0]));
    this.refresh();
  }

  #pixels({ pixels }) {
    return zoo.net.elements("f4", pixels);
  }

  #example(example, number, data) {
    const make = zoo.net.make;
    const canvas = make("canvas", { width: data.width, height: data.height });
    const button = make("button", { type: "button" }, canvas, make("span", {}, example.name));
    button.setAttribute("aria-label", `example ${number + 1}, of class ${example.name}`);
    const paint = () => zoo.net.paint(canvas, this.#pixels(example), data);
    document.addEventListener("zoo:theme", paint);
    paint();
    button.addEventListener("click", () => this.drawing.set(this.#pixels(example)));
    return make("li", {}, button);
  }

  values() {
    return this.drawing.pixels;
  }
};

zoo.net.RowNet = class extends zoo.net.TensorNet {
  constructor(element, data) {
    super(element, data);
    this.given = data.fields;
    this.fields = [...element.querySelectorAll(".field")];
    for (const field of this.fields) field.addEventListener("input", () => this.refresh());
    element.querySelector(".clear").addEventListener("click", () => {
      this.fields.forEach((field, i) => (field.value = String(this.given[i].start)));
      this.refresh();
    });
    this.refresh();
  }

  values() {
    const missing = this.fields.some((field) => field.value === "" || !Number.isFinite(Number(field.value)));
    this.prediction.told.textContent = missing ? "Every field needs a number." : "";
    if (missing) return null;
    return this.fields.flatMap((field, i) => {
      const { values } = this.given[i];
      const value = Number(field.value);
      return values === null ? [value] : values.map((_, place) => Number(place === value));
    });
  }
};
