// A net that runs in the page: its constants, and its programs as zoo/reports/net/program.py describes them.

/** What is told instead of numbers that could be wrong. */
zoo.net.NotRunning = class extends Error {};

/** Bytes of base64. */
zoo.net.bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/**
 * The elements of a constant. Whole numbers of 64 bits become float64, as everywhere here.
 * @param {string} dtype
 * @param {string} text base64 of little-endian bytes
 */
zoo.net.elements = (dtype, text) => {
  const { buffer } = zoo.net.bytes(text);
  if (dtype !== "i8") return new zoo.net.ARRAYS[dtype](buffer);
  const numbers = Float64Array.from(new BigInt64Array(buffer), Number);
  zoo.net.checkExact(numbers);
  return numbers;
};

zoo.net.checkExact = (numbers) => {
  for (const x of numbers) {
    if (!Number.isSafeInteger(x)) throw new zoo.net.NotRunning("The net computes with whole numbers beyond 2^53.");
  }
};

zoo.net.Net = class {
  /** @param {object} data `data`, `constants` and `programs`, as Python gave them */
  constructor({ data, constants, programs }) {
    const elements = data.map(([dtype, text]) => ({ dtype, data: zoo.net.elements(dtype, text) }));
    this.constants = constants.map(([number, shape]) => ({ ...elements[number], shape }));
    this.programs = programs.map((program) => this.#prepared(program));
    this.last = Promise.resolve();
  }

  #prepared(program) {
    const steps = program.steps.map(([name, inputs, attributes, dtype, shape]) => ({
      run: zoo.net.operations[name],
      inputs: inputs.map(zoo.net.reference),
      attributes,
      result: zoo.net.tensor(dtype, shape),
      done: false,
      prepared: null,
    }));
    steps.forEach((step, i) => {
      step.isConstant = step.inputs.every(({ number }) => number < 0 || (number > 0 && steps[number - 1].isConstant));
    });
    return { ...program, steps, output: zoo.net.reference(program.output) };
  }

  /**
   * The output of a program. Runs follow each other, and none keeps the page waiting for long.
   * @param {number} number of the program
   * @param {ArrayLike<number>} values of its input
   * @param {() => boolean} isStale whether the output is not wanted any more
   * @returns {Promise<?{shape: number[], data: ArrayLike<number>}>} null where it is not wanted
   */
  run(number, values, isStale = () => false) {
    const result = this.last.then(() => this.#run(this.programs[number], values, isStale));
    this.last = result.catch(() => null);
    return result;
  }

  async #run(program, values, isStale) {
    const input = zoo.net.tensor(program.dtype, program.shape);
    input.data.set(values);
    const value = ({ number, shape }) => {
      const found = number < 0 ? this.constants[-1 - number] : number === 0 ? input : program.steps[number - 1].result;
      return shape === null ? found : { ...found, shape };
    };
    const pause = new zoo.net.Pause();
    for (const step of program.steps) {
      if (step.done) continue;
      step.run(step.inputs.map(value), step.attributes, step.result, step);
      if (step.result.dtype === "i8") zoo.net.checkExact(step.result.data);
      step.done = step.isConstant;
      await pause.ifDue();
      if (isStale()) return null;
    }
    for (const [number, wanted] of program.guards) {
      if (value({ number, shape: null }).data[0] !== wanted) {
        throw new zoo.net.NotRunning("For this input the code of the net takes a way that this page does not have.");
      }
    }
    const { shape, data } = value(program.output);
    if (data.some((x) => Number.isNaN(x) || x === Infinity)) {
      throw new zoo.net.NotRunning("For this input the output of the net is NaN or infinite.");
    }
    return { shape, data: data.slice() };
  }
};

/** An input of an instruction: the number of its maker, and the shape as which it is seen; null for its own. */
zoo.net.reference = (given) =>
  typeof given === "number" ? { number: given, shape: null } : { number: given[0], shape: given[1] };

/** Lets the page react now and then while it computes. */
zoo.net.Pause = class {
  LONGEST = 12;  // milliseconds
  begun = performance.now();

  async ifDue() {
    if (performance.now() - this.begun < this.LONGEST) return;
    await new Promise((resolve) => setTimeout(resolve));
    this.begun = performance.now();
  }
};

/** The softmax of logits divided by a temperature; 0 is the most probable one alone. */
zoo.net.softmax = (logits, temperature = 1) => {
  let best = 0;
  for (let i = 0; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  if (temperature === 0) return Float64Array.from(logits, (_, i) => Number(i === best));
  const found = Float64Array.from(logits, (x) => Math.exp((x - logits[best]) / temperature));
  const sum = found.reduce((a, b) => a + b, 0);
  return found.map((x) => x / sum);
};

/** The log-probability of an element, also where its probability is too small for a number. */
zoo.net.logProbability = (logits, index) => {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  return logits[index] - most - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
};

/** Random numbers in [0, 1): xoshiro128** of Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2021. */
zoo.net.Random = class {
  /** @param {number} seed a whole number; its 64 bits are spread by multiplication and shifts */
  constructor(seed) {
    let x = (seed ^ Math.floor(seed / 2 ** 32)) >>> 0;
    this.state = Array.from({ length: 4 }, () => {
      x = (x + 0x9e3779b9) >>> 0;
      let mixed = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return (mixed ^ (mixed >>> 15)) >>> 0;
    });
  }

  #bits() {
    const s = this.state;
    const rotate = (x, by) => ((x << by) | (x >>> (32 - by))) >>> 0;
    const result = Math.imul(rotate(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 11);
    return result;
  }

  next() {
    return (this.#bits() * 2 ** 21 + (this.#bits() >>> 11)) / 2 ** 53;
  }

  /** An index, with the given probabilities. */
  choose(probabilities) {
    let rest = this.next();
    let last = 0;
    for (let i = 0; i < probabilities.length; i++) {
      if (probabilities[i] === 0) continue;
      last = i;
      rest -= probabilities[i];
      if (rest < 0) break;
    }
    return last;
  }
};
