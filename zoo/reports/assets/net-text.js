// A net that reads text: one types a context, sees what may follow, and samples.

/** How a character is shown, and how it is said. */
zoo.net.character = (character) => {
  const named = { " ": ["␣", "space"], "\n": ["⏎", "line break"], "\t": ["⇥", "tab"] }[character];
  if (named !== undefined) return { shown: named[0], said: named[1] };
  const code = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  if (/[\p{C}\p{Z}]/u.test(character)) return { shown: code, said: code };
  return { shown: /\p{M}/u.test(character) ? `◌${character}` : character, said: character };
};

/** Words of which each leaves out what it begins with as the one before: a letter says how much that is. */
zoo.net.frontDecoded = (text) => {
  const words = new Set();
  let before = "";
  for (const line of text === "" ? [] : text.split("\n")) {
    before = before.slice(0, line.charCodeAt(0) - "a".charCodeAt(0)) + line.slice(1);
    words.add(before);
  }
  return words;
};

/** The net as a function of tokens. */
zoo.net.TextModel = class {
  KEPT = 2000;  // contexts whose logits are remembered

  constructor(data) {
    this.net = new zoo.net.Net(data);
    this.data = data;
    this.tokens = new Map(data.vocabulary.map((character, token) => [character, token]).slice(1));
    this.remembered = new Map();
  }

  get size() {
    return this.data.vocabulary.length;
  }

  /** The most characters that a context may have. */
  get longest() {
    if (!this.data.words) return Infinity;
    return this.data.windows ? 100 : this.data.length - 1;
  }

  /** What the net reads of tokens to predict the next one. */
  context(tokens) {
    const { words, windows, length, beginning } = this.data;
    if (!words && tokens.length === 0) tokens = beginning;
    if (windows) return [...Array(length).fill(0), ...tokens].slice(-length);
    return words ? [0, ...tokens] : tokens.slice(-length);
  }

  /**
   * The logits of what follows tokens.
   * @param {number[]} tokens
   * @param {() => boolean} isStale
   * @returns {Promise<?Float64Array>} null where they are not wanted any more
   */
  async logits(tokens, isStale) {
    const context = this.context(tokens);
    const key = context.join();
    const known = this.remembered.get(key);
    if (known !== undefined) return known;
    const rows = await this.#rows(context, isStale);
    if (rows === null) return null;
    if (this.remembered.size >= this.KEPT) this.remembered.clear();
    const found = rows(context.length - 1);
    this.remembered.set(key, found);
    return found;
  }

  /** The output for a context: a function of the position. */
  async #rows(context, isStale) {
    const programs = this.net.programs;
    const number = programs.findIndex(({ shape }) => shape[1] >= context.length);
    const length = programs[number].shape[1];
    const filled = [...context, ...Array(length - context.length).fill(this.data.filling)];
    const output = await this.net.run(number, filled, isStale);
    if (output === null) return null;
    const width = output.shape.at(-1);
    return (position) => {
      const at = output.shape.length === 2 ? 0 : position * width;
      return Float64Array.from(output.data.subarray(at, at + this.size));
    };
  }

  /**
   * Minus the log-probability of each token of a word and of its end, in nats.
   * @returns {Promise<?number[]>} null where they are not wanted any more
   */
  async losses(tokens, isStale) {
    const targets = [...tokens, 0];
    const loss = (logits, i) => -zoo.net.logProbability(logits, targets[i]);
    if (!this.data.windows) {
      const rows = await this.#rows([0, ...tokens], isStale);
      return rows === null ? null : targets.map((_, i) => loss(rows(i), i));
    }
    const losses = [];
    for (let i = 0; i < targets.length; i++) {
      const logits = await this.logits(tokens.slice(0, i), isStale);
      if (logits === null) return null;
      losses.push(loss(logits, i));
    }
    return losses;
  }

  /**
   * Sample what follows tokens: to the end of the word, or so many characters.
   * @returns {Promise<?number[]>} all tokens; null where they are not wanted any more
   */
  async sample(tokens, { count, temperature, random, isStale }) {
    const { words, windows, length } = this.data;
    const limit = words ? (windows ? 100 : length) : tokens.length + count;
    const found = [...tokens];
    while (found.length < limit) {
      const logits = await this.logits(found, isStale);
      if (logits === null) return null;
      const allowed = Float64Array.from(logits);
      if (!words) allowed[0] = -Infinity;  // what stands before a text is not in it
      const token = random.choose(zoo.net.softmax(allowed, temperature));
      if (token === 0) break;
      found.push(token);
    }
    return found;
  }

  decode(tokens) {
    return tokens.map((token) => this.data.vocabulary[token]).join("");
  }
};

zoo.net.TextNet = class {
  constructor(element, data) {
    this.model = new zoo.net.TextModel(data);
    this.words = data.words;
    this.known = data.known === null ? null : zoo.net.frontDecoded(data.known);
    const find = (name) => element.querySelector(`.${name}`);
    this.input = find("context");
    this.told = find("told");
    this.whole = find("whole-word");
    this.order = find("order");
    this.form = find("sampling");
    this.sampled = find("sampled");
    this.typed = this.drawn = 0;
    const first = this.words ? "end of word" : "start of text";
    this.names = data.vocabulary.map((one, i) => (i === 0 ? { shown: first, said: first } : zoo.net.character(one)));
    this.bars = new zoo.net.Bars(find("bars"), this.names, (token) => this.append(token));
    this.input.addEventListener("input", () => this.refresh());
    this.order.addEventListener("change", () => this.refresh());
    find("clear").addEventListener("click", () => this.type(""));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.sample();
    });
    const { temperature } = this.form.elements;
    const show = () => (find("temperature").textContent = Number(temperature.value).toFixed(2));
    temperature.addEventListener("input", show);
    show();
    this.refresh();
  }

  type(text) {
    this.input.value = text;
    return this.refresh();
  }

  /** Token 0 ends a word: the next one begins. */
  append(token) {
    return this.type(token === 0 ? "" : this.input.value + this.model.data.vocabulary[token]);
  }

  /** The tokens of what is typed; null where it cannot be read, which is told. */
  tokens() {
    const characters = [...this.input.value];
    const unknown = [...new Set(characters)].filter((one) => !this.model.tokens.has(one));
    if (unknown.length > 0) {
      const shown = unknown.map((one) => zoo.net.character(one).shown).join(" ");
      this.told.textContent = `Not in the vocabulary: ${shown}`;
      return null;
    }
    if (characters.length > this.model.longest) {
      this.told.textContent = `Too long for this net: at most ${this.model.longest} characters`;
      return null;
    }
    return characters.map((one) => this.model.tokens.get(one));
  }

  async refresh() {
    const number = ++this.typed;
    const isStale = () => number !== this.typed;
    try {
      await this.show(this.tokens(), isStale);
    } catch (error) {
      this.bars.show(null, false);
      zoo.net.tell(this.told, error);
    }
  }

  async show(tokens, isStale) {
    if (this.words) this.whole.textContent = "";
    if (tokens === null) return this.bars.show(null, false);
    const logits = await this.model.logits(tokens, isStale);
    if (logits === null) return;
    const probabilities = zoo.net.softmax(logits);
    this.bars.show(probabilities, this.order.value === "probability");
    this.told.textContent = `Most probable: ${zoo.net.Bars.summary(probabilities, this.names)}`;
    if (!this.words || tokens.length === 0) return;
    const losses = await this.model.losses(tokens, isStale);
    if (losses !== null) this.whole.textContent = this.likelihood(tokens, losses);
  }

  likelihood(tokens, losses) {
    const sum = losses.reduce((a, b) => a + b, 0);
    const known = this.known === null ? "" : `, ${this.isKnown(tokens) ? "in" : "not in"} the training split`;
    return (
      `“${this.model.decode(tokens)}” as a whole word: probability ${zoo.net.small(-sum)}, ` +
      `loss ${(sum / losses.length).toFixed(3)} nats per character${known}`
    );
  }

  isKnown(tokens) {
    return this.known.has(this.model.decode(tokens));
  }

  async sample() {
    const number = ++this.drawn;
    const isStale = () => number !== this.drawn;
    this.sampled.replaceChildren();
    this.sampled.setAttribute("aria-busy", "true");
    try {
      const tokens = this.tokens();
      if (tokens !== null) await (this.words ? this.sampleWords(tokens, isStale) : this.sampleText(tokens, isStale));
    } catch (error) {
      zoo.net.tell(this.told, error);
    }
    if (!isStale()) this.sampled.setAttribute("aria-busy", "false");
  }

  /** What the form says, within its bounds. */
  settings() {
    const { count, temperature, seed } = this.form.elements;
    const bounded = (field) => Math.min(Math.max(Math.trunc(Number(field.value)) || 0, field.min), field.max);
    return {
      count: bounded(count),
      temperature: Number(temperature.value),
      random: new zoo.net.Random(bounded(seed)),
    };
  }

  async sampleWords(tokens, isStale) {
    const make = zoo.net.make;
    const settings = { ...this.settings(), isStale };
    const head = ["word", "loss", ...(this.known === null ? [] : ["in the training split"])];
    const cell = (text, number) => make("td", { className: number ? "number" : "" }, text);
    const body = make("tbody");
    const columns = head.map((text, i) => make("th", { scope: "col", className: i === 1 ? "number" : "" }, text));
    this.sampled.append(make("table", {}, make("thead", {}, make("tr", {}, ...columns)), body));
    for (let i = 0; i < settings.count; i++) {
      const word = await this.model.sample(tokens, settings);
      const losses = word === null || word.length > this.model.longest ? null : await this.model.losses(word, isStale);
      if (isStale()) return;
      const mean = losses === null ? "" : (losses.reduce((a, b) => a + b, 0) / losses.length).toFixed(3);
      const known = this.known === null ? [] : [cell(this.isKnown(word) ? "yes" : "no", false)];
      body.append(make("tr", {}, cell(this.model.decode(word), false), cell(mean, true), ...known));
    }
  }

  /** Characters are shown as they come. */
  async sampleText(tokens, isStale) {
    const { count, ...settings } = this.settings();
    const text = zoo.net.make("pre", { tabIndex: 0 }, this.model.decode(tokens));
    this.sampled.append(text);
    let all = tokens;
    for (let i = 0; i < count; i++) {
      all = await this.model.sample(all, { ...settings, count: 1, isStale });
      if (all === null) return;
      text.append(this.model.decode(all.slice(-1)));
    }
  }
};

/** A probability that may be small, given as its natural logarithm: 1 in so many, written as in the rest of the page. */
zoo.net.small = (logProbability) => {
  const p = Math.exp(logProbability);
  if (p >= 0.01) return zoo.net.percent(p);
  if (1 / p < 1e6) return `1 in ${Math.round(1 / p).toLocaleString("en")}`;
  const tens = -logProbability / Math.LN10;
  const [digits, more] = (10 ** (tens % 1)).toExponential(1).split("e+");
  const exponent = String(Math.floor(tens) + Number(more));
  return `1 in ${digits} × 10${[...exponent].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;
};
