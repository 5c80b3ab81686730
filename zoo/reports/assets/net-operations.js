// The operations of a net's program, as zoo/reports/net/operations.py has them for torch. Each is called with its inputs,
// its attributes, and its result, whose elements it fills in. A tensor is {dtype, shape, data}, its elements in C order.
//
// Numbers are computed in float64 and stored in the type of the result. Whole numbers of 64 bits are float64 too, which
// is exact up to 2 ** 53; beyond that a program stops.

zoo.net = {
  ARRAYS: { f4: Float32Array, f8: Float64Array, i8: Float64Array, i4: Int32Array, u1: Uint8Array, b: Uint8Array },

  count: (shape) => shape.reduce((product, n) => product * n, 1),

  /** A tensor of zeros. */
  tensor: (dtype, shape) => ({ dtype, shape, data: new zoo.net.ARRAYS[dtype](zoo.net.count(shape)) }),
};

zoo.net.math = {
  /** Half to even, as IEEE 754 rounds. */
  round(x) {
    const floor = Math.floor(x);
    const rest = x - floor;
    if (rest !== 0.5) return Math.round(x);
    return floor % 2 === 0 ? floor : floor + 1;
  },

  sigmoid: (x) => 1 / (1 + Math.exp(-x)),

  /** The remainder with the sign of the divisor. */
  remainder(a, b) {
    const rest = a % b;
    return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
  },

  /** The quotient that fits the remainder, also where a / b is rounded up to a whole number. */
  floorDiv: (a, b) => (b === 0 ? a / b : Math.round((a - zoo.net.math.remainder(a, b)) / b)),

  maximum: (a, b) => (a > b || a !== a ? a : b),
  minimum: (a, b) => (a < b || a !== a ? a : b),

  STEP: 1 / 64,
  table: [],

  /** From a table of values by a Taylor series of four terms: the error is below 1e-9. */
  erf(x) {
    const { STEP, table } = zoo.net.math;
    const size = Math.abs(x);
    if (!(size < 6)) return size >= 6 ? Math.sign(x) : NaN;
    const nearest = Math.round(size / STEP);
    const at = nearest * STEP;
    const h = size - at;
    const slope = (2 / Math.sqrt(Math.PI)) * Math.exp(-at * at);
    const series = h * (1 - h * (at - (h * (2 * at * at - 1)) / 3 - (h * h * at * (3 - 2 * at * at)) / 6));
    return Math.sign(x) * (table[nearest] + slope * series);
  },

  /** The values of erf, from its derivative by Simpson's rule. */
  fillTable() {
    const { STEP, table } = zoo.net.math;
    const density = (x) => (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x);
    table.push(0);
    const parts = 8;
    for (let i = 0; i < 6 / STEP; i++) {
      let sum = 0;
      for (let part = 0; part < parts; part++) {
        const a = (i + part / parts) * STEP;
        const b = (i + (part + 1) / parts) * STEP;
        sum += ((b - a) / 6) * (density(a) + 4 * density((a + b) / 2) + density(b));
      }
      table.push(table[i] + sum);
    }
  },
};
zoo.net.math.fillTable();

zoo.net.UNARY = {
  neg: (x) => -x,
  abs: Math.abs,
  sign: (x) => Number(x > 0) - Number(x < 0),  // 0 for NaN, as torch has it
  floor: Math.floor,
  ceil: Math.ceil,
  round: zoo.net.math.round,
  trunc: Math.trunc,
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  sqrt: Math.sqrt,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  sigmoid: zoo.net.math.sigmoid,
  erf: zoo.net.math.erf,
  not: (x) => (x === 0 ? 1 : 0),
};

zoo.net.BINARY = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  floor_div: zoo.net.math.floorDiv,
  remainder: zoo.net.math.remainder,
  fmod: (a, b) => a % b,
  pow: Math.pow,
  maximum: zoo.net.math.maximum,
  minimum: zoo.net.math.minimum,
  atan2: Math.atan2,
  eq: (a, b) => (a === b ? 1 : 0),
  ne: (a, b) => (a !== b ? 1 : 0),
  lt: (a, b) => (a < b ? 1 : 0),
  le: (a, b) => (a <= b ? 1 : 0),
  gt: (a, b) => (a > b ? 1 : 0),
  ge: (a, b) => (a >= b ? 1 : 0),
  and: (a, b) => (a && b ? 1 : 0),
  or: (a, b) => (a || b ? 1 : 0),
  xor: (a, b) => (!a !== !b ? 1 : 0),
};

// Of a row of `x`, which begins at `from` and has `n` elements: one number.
zoo.net.REDUCTIONS = {
  sum(x, from, n) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += x[from + i];
    return sum;
  },
  prod(x, from, n) {
    let product = 1;
    for (let i = 0; i < n; i++) product *= x[from + i];
    return product;
  },
  amax: (x, from, n) => x[from + zoo.net.REDUCTIONS.argmax(x, from, n)],
  amin: (x, from, n) => x[from + zoo.net.REDUCTIONS.argmin(x, from, n)],
  argmax(x, from, n) {
    let best = 0;
    for (let i = 0; i < n; i++) {
      if (x[from + i] !== x[from + i]) return i;
      if (x[from + i] > x[from + best]) best = i;
    }
    return best;
  },
  argmin(x, from, n) {
    let best = 0;
    for (let i = 0; i < n; i++) {
      if (x[from + i] !== x[from + i]) return i;
      if (x[from + i] < x[from + best]) best = i;
    }
    return best;
  },
};

// Of a row of `x` another one, in `y`.
zoo.net.ROWS = {
  cumsum(x, from, n, y) {
    let sum = 0;
    for (let i = 0; i < n; i++) y[from + i] = sum += x[from + i];
  },
  softmax(x, from, n, y) {
    const largest = zoo.net.REDUCTIONS.amax(x, from, n);
    let sum = 0;
    for (let i = 0; i < n; i++) sum += Math.exp(x[from + i] - largest);
    for (let i = 0; i < n; i++) y[from + i] = Math.exp(x[from + i] - largest) / sum;
  },
  log_softmax(x, from, n, y) {
    const largest = zoo.net.REDUCTIONS.amax(x, from, n);
    let sum = 0;
    for (let i = 0; i < n; i++) sum += Math.exp(x[from + i] - largest);
    for (let i = 0; i < n; i++) y[from + i] = x[from + i] - largest - Math.log(sum);
  },
};

/**
 * Where the elements of a view are in its storage, in their order.
 * @param {number[]} size
 * @param {number[]} stride
 * @param {number} offset
 * @returns {Int32Array}
 */
zoo.net.places = (size, stride, offset) => {
  const places = new Int32Array(zoo.net.count(size));
  const index = size.map(() => 0);
  let place = offset;
  for (let i = 0; i < places.length; i++) {
    places[i] = place;
    for (let axis = size.length - 1; axis >= 0; axis--) {
      place += stride[axis];
      if (++index[axis] < size[axis]) break;
      place -= stride[axis] * size[axis];
      index[axis] = 0;
    }
  }
  return places;
};

/**
 * Where the elements of a tensor that is broadcast to a shape are; null where that is the same shape.
 * @returns {?Int32Array}
 */
zoo.net.broadcast = (from, to) => {
  if (zoo.net.count(from) === zoo.net.count(to)) return null;
  const stride = to.map(() => 0);
  let step = 1;
  for (let axis = from.length - 1; axis >= 0; axis--) {
    if (from[axis] !== 1) stride[to.length - from.length + axis] = step;
    step *= from[axis];
  }
  return zoo.net.places(to, stride, 0);
};

/** A function that is called once for each instruction, for what it need not find out each time. */
zoo.net.once = (step, make) => (step.prepared ??= make());

/** A place that may be counted from the end. */
zoo.net.placeIn = (index, length) => {
  const place = index < 0 ? index + length : index;
  if (!(place >= 0 && place < length)) throw new Error(`index ${index} is out of range for ${length}`);
  return place;
};

zoo.net.operations = {
  where([condition, a, b], _, y, step) {
    const places = zoo.net.once(step, () => [condition, a, b].map((x) => zoo.net.broadcast(x.shape, y.shape)));
    const [pc, pa, pb] = places;
    for (let i = 0; i < y.data.length; i++) {
      const chosen = condition.data[pc === null ? i : pc[i]];
      y.data[i] = chosen ? a.data[pa === null ? i : pa[i]] : b.data[pb === null ? i : pb[i]];
    }
  },

  cast([x], [dtype], y) {
    const whole = dtype === "i8" || dtype === "i4" || dtype === "u1";
    for (let i = 0; i < y.data.length; i++) {
      const value = x.data[i];
      y.data[i] = dtype === "b" ? (value !== 0 ? 1 : 0) : whole ? Math.trunc(value) : value;
    }
  },

  /** (B, M, K) times (B, K, N), four rows of the second at a time. */
  matmul([a, b], _, y) {
    const [batches, m, k] = a.shape;
    const n = b.shape[2];
    const sums = new Float64Array(n);
    const [A, B] = [a.data, b.data];
    for (let row = 0; row < batches * m; row++) {
      const from = Math.floor(row / m) * k * n;
      sums.fill(0);
      let i = 0;
      for (; i + 4 <= k; i += 4) {
        const at = row * k + i;
        const [a0, a1, a2, a3] = [A[at], A[at + 1], A[at + 2], A[at + 3]];
        const b0 = from + i * n;
        const [b1, b2, b3] = [b0 + n, b0 + 2 * n, b0 + 3 * n];
        for (let j = 0; j < n; j++) sums[j] += a0 * B[b0 + j] + a1 * B[b1 + j] + a2 * B[b2 + j] + a3 * B[b3 + j];
      }
      for (; i < k; i++) {
        const factor = A[row * k + i];
        const at = from + i * n;
        for (let j = 0; j < n; j++) sums[j] += factor * B[at + j];
      }
      y.data.set(sums, row * n);
    }
  },

  strided([flat], [size, stride, offset], y, step) {
    const places = zoo.net.once(step, () => zoo.net.places(size, stride, offset));
    for (let i = 0; i < places.length; i++) y.data[i] = flat.data[places[i]];
  },

  strided_write([flat, x], [size, stride, offset], y, step) {
    const places = zoo.net.once(step, () => zoo.net.places(size, stride, offset));
    y.data.set(flat.data);
    for (let i = 0; i < places.length; i++) y.data[places[i]] = x.data[i];
  },

  join(parts, _, y) {
    const width = y.shape[1];
    let from = 0;
    for (const { data, shape } of parts) {
      for (let row = 0; row < shape[0]; row++) {
        y.data.set(data.subarray(row * shape[1], (row + 1) * shape[1]), row * width + from);
      }
      from += shape[1];
    }
  },

  take([table, index], _, y) {
    const rows = table.shape[0];
    const width = table.data.length / rows;
    for (let i = 0; i < index.data.length; i++) {
      const from = zoo.net.placeIn(index.data[i], rows) * width;
      y.data.set(table.data.subarray(from, from + width), i * width);
    }
  },

  pick([x, index], _, y) {
    const [rows, width] = x.shape;
    const n = index.shape[1];
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < n; i++) {
        y.data[row * n + i] = x.data[row * width + zoo.net.placeIn(index.data[row * n + i], width)];
      }
    }
  },

  put([x, index, values], [add], y) {
    const [rows, width] = x.shape;
    const n = index.shape[1];
    y.data.set(x.data);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < n; i++) {
        const at = row * width + zoo.net.placeIn(index.data[row * n + i], width);
        y.data[at] = values.data[row * n + i] + (add ? y.data[at] : 0);
      }
    }
  },

  argsort([x], [descending], y) {
    const [rows, width] = x.shape;
    const sign = descending ? -1 : 1;
    for (let row = 0; row < rows; row++) {
      const order = Array.from({ length: width }, (_, i) => i);
      order.sort((i, j) => sign * (x.data[row * width + i] - x.data[row * width + j]) || i - j);
      y.data.set(order, row * width);
    }
  },

  searchsorted([x, queries], [right], y) {
    for (let i = 0; i < queries.data.length; i++) {
      const wanted = queries.data[i];
      let [low, high] = [0, x.data.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (right ? x.data[middle] <= wanted : x.data[middle] < wanted) low = middle + 1;
        else high = middle;
      }
      y.data[i] = low;
    }
  },

  convolution([x, weight], [stride, padding, dilation, groups], y) {
    const [batches, channels, height, width] = x.shape;
    const [outputs, perGroup, kernelHeight, kernelWidth] = weight.shape;
    const [, , rows, columns] = y.shape;
    let at = 0;
    for (let batch = 0; batch < batches; batch++) {
      for (let output = 0; output < outputs; output++) {
        const first = batch * channels + Math.floor(output / (outputs / groups)) * perGroup;
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            let sum = 0;
            for (let channel = 0; channel < perGroup; channel++) {
              const plane = (first + channel) * height;
              const kernel = (output * perGroup + channel) * kernelHeight;
              for (let i = 0; i < kernelHeight; i++) {
                const top = row * stride[0] - padding[0] + i * dilation[0];
                if (top < 0 || top >= height) continue;
                for (let j = 0; j < kernelWidth; j++) {
                  const left = column * stride[1] - padding[1] + j * dilation[1];
                  if (left < 0 || left >= width) continue;
                  sum += x.data[(plane + top) * width + left] * weight.data[(kernel + i) * kernelWidth + j];
                }
              }
            }
            y.data[at++] = sum;
          }
        }
      }
    }
  },

  max_pool([x], [kernel, stride, padding, dilation], y) {
    const [batches, channels, height, width] = x.shape;
    const [, , rows, columns] = y.shape;
    let at = 0;
    for (let plane = 0; plane < batches * channels; plane++) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let largest = -Infinity;
          for (let i = 0; i < kernel[0]; i++) {
            const top = row * stride[0] - padding[0] + i * dilation[0];
            if (top < 0 || top >= height) continue;
            for (let j = 0; j < kernel[1]; j++) {
              const left = column * stride[1] - padding[1] + j * dilation[1];
              if (left < 0 || left >= width) continue;
              largest = zoo.net.math.maximum(x.data[(plane * height + top) * width + left], largest);
            }
          }
          y.data[at++] = largest;
        }
      }
    }
  },

  window_mean([x], [starts, ends, by], y) {
    const [batches, channels, height, width] = x.shape;
    let at = 0;
    for (let plane = 0; plane < batches * channels; plane++) {
      starts[0].forEach((top, row) => {
        starts[1].forEach((left, column) => {
          const [bottom, right] = [ends[0][row], ends[1][column]];
          let sum = 0;
          for (let i = top; i < bottom; i++) {
            for (let j = left; j < right; j++) sum += x.data[(plane * height + i) * width + j];
          }
          y.data[at++] = sum / (by || (bottom - top) * (right - left));
        });
      });
    }
  },
};

for (const [name, of] of Object.entries(zoo.net.UNARY)) {
  zoo.net.operations[name] = ([x], _, y) => {
    for (let i = 0; i < y.data.length; i++) y.data[i] = of(x.data[i]);
  };
}

for (const [name, of] of Object.entries(zoo.net.BINARY)) {
  zoo.net.operations[name] = ([a, b], _, y, step) => {
    const places = zoo.net.once(step, () => [a, b].map((x) => zoo.net.broadcast(x.shape, y.shape)));
    const [pa, pb] = places;
    for (let i = 0; i < y.data.length; i++) {
      y.data[i] = of(a.data[pa === null ? i : pa[i]], b.data[pb === null ? i : pb[i]]);
    }
  };
}

for (const [name, of] of Object.entries(zoo.net.REDUCTIONS)) {
  zoo.net.operations[name] = ([x], _, y) => {
    const n = x.shape[1];
    for (let row = 0; row < y.data.length; row++) y.data[row] = of(x.data, row * n, n);
  };
}

for (const [name, of] of Object.entries(zoo.net.ROWS)) {
  zoo.net.operations[name] = ([x], _, y) => {
    const [rows, n] = x.shape;
    for (let row = 0; row < rows; row++) of(x.data, row * n, n, y.data);
  };
}
