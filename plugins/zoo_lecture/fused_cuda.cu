// The kernel of `zoo_lecture.fused_cuda`: many steps of the lecture's net in one launch, one net a block of threads.
//
// All weights stay in shared memory from the first step to the last. A batch is done R rows at a time. The six matrix
// products of a step are computed in tiles of 8 by 8 (or 4 by 8) numbers, which a thread holds in its registers: shared
// memory delivers fewer numbers in a cycle than the multiprocessor multiplies, so each must be used several times.
//
// Axes: K steps, B examples of a batch, R rows of it, T characters of context, E embedding dimensions, D = T * E inputs,
// H hidden units, V characters. The constants B, T, E, H, V and SHARED_BYTES are put before this text. Rows, units, inputs
// and characters that are not there are 0, and every update leaves them 0.
//
// Which thread reads what is chosen so that no eight neighbouring threads, whose 128 bits each are read at once, read
// different numbers of one bank: the rows of every matrix are an odd number of quadruples apart (those of `h` an odd
// number of pairs of quadruples), and neighbours read neighbouring rows or neighbouring quadruples.

constexpr int R = 32;  // rows of a batch at once, as many as a warp has threads
constexpr int D = T * E;
constexpr int THREADS = 256, HALF = THREADS / 2;
constexpr unsigned ALL = 0xffffffff;  // threads of a warp

__device__ constexpr int tiles(int size) { return (size + 7) / 8; }
__device__ constexpr int odd_quadruples(int size) { return ((size + 3) / 4 | 1) * 4; }

constexpr int NH = tiles(H), ND = tiles(D + 1), NV = tiles(V);
constexpr int HP = 8 * NH;                      // hidden units of all tiles
constexpr int SD = odd_quadruples(D + 1);       // from row to row of X and W1, whose column D is the bias and its input 1
constexpr int SV = odd_quadruples(V);           // from row to row of W2 and the logits
constexpr int SH = HP % 16 == 8 ? HP : HP + 8;  // from row to row of h
constexpr int GROUPS = (4 * tiles(D) + 15) / 16;  // times that 16 tiles are done to have all of X's gradient
constexpr int TOKENS = R * (T + 1);             // contexts and targets of R rows

static_assert(4 * NH <= HALF && ND * NH <= HALF && NV * NH <= HALF, "a thread has one tile of each gradient");

// Places in shared memory, in numbers of 32 bits. Tiles at the edge read up to 32 numbers beyond a row, and ignore them.
constexpr int AT_W1 = 0;
constexpr int AT_W2 = AT_W1 + HP * SD;
constexpr int AT_H = AT_W2 + HP * SV;
constexpr int AT_X = AT_H + R * SH;
constexpr int AT_LOGITS = AT_X + R * SD;
constexpr int AT_B2 = AT_LOGITS + R * SV;
constexpr int AT_DB2 = AT_B2 + SV;
constexpr int AT_SCRATCH = AT_DB2 + SV;  // (THREADS / 32, D): of each warp
constexpr int AT_C = AT_SCRATCH + THREADS / 32 * D;
constexpr int AT_DC = AT_C + V * E;
constexpr int AT_LOSSES = AT_DC + V * E;           // (THREADS / 32)
constexpr int AT_TOKENS = AT_LOSSES + THREADS / 32;  // (2, TOKENS): of these rows and the next
constexpr int NUMBERS = AT_TOKENS + 2 * TOKENS + 32;

static_assert(4 * NUMBERS == SHARED_BYTES, "zoo_lecture.fused_cuda knows how much there is");

extern __shared__ float4 shared[];

typedef float Tile[8][8];

__device__ inline float4 quadruple(const float* at) { return *reinterpret_cast<const float4*>(at); }

__device__ inline float part(const float4& four, int i) { return i == 0 ? four.x : i == 1 ? four.y : i == 2 ? four.z : four.w; }

__device__ inline void read_eight(float (&into)[8], const float* at, int apart) {
#pragma unroll
  for (int i = 0; i < 8; i += 4) {
    const float4 four = quadruple(at + i / 4 * apart);
    into[i] = four.x, into[i + 1] = four.y, into[i + 2] = four.z, into[i + 3] = four.w;
  }
}

template <int ROWS, int COLUMNS>
__device__ inline void clear(float (&tile)[ROWS][COLUMNS]) {
#pragma unroll
  for (int i = 0; i < ROWS; i++)
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) tile[i][j] = 0.0f;
}

// tile += a^T b over the rows, for matrices (R, ...): two quadruples of columns of each, `a_apart` and `b_apart` apart.
__device__ inline void add_outer(Tile& tile, const float* a, int a_row, int a_apart, const float* b, int b_row, int b_apart) {
#pragma unroll 4
  for (int r = 0; r < R; r++) {
    float left[8], right[8];
    read_eight(left, a + r * a_row, a_apart);
    read_eight(right, b + r * b_row, b_apart);
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
      for (int j = 0; j < 8; j++) tile[i][j] += left[i] * right[j];
  }
}

// Rows `row(i)` of a times rows `column(j)` of b, both read along their rows, in COUNT quadruples.
template <int ROWS, int COUNT, int A_ROW, int B_ROW, typename Row, typename Column>
__device__ inline void add_inner(float (&tile)[ROWS][8], const float* a, Row row, const float* b, Column column) {
#pragma unroll 1
  for (int k = 0; k < 4 * COUNT; k += 4) {
    float4 left[ROWS], right[8];
#pragma unroll
    for (int i = 0; i < ROWS; i++) left[i] = quadruple(a + row(i) * A_ROW + k);
#pragma unroll
    for (int j = 0; j < 8; j++) right[j] = quadruple(b + column(j) * B_ROW + k);
#pragma unroll
    for (int c = 0; c < 4; c++)
#pragma unroll
      for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) tile[i][j] += part(left[i], c) * part(right[j], c);
  }
}

// Of 2 * KEPT rows, each thread of a pair KEPT apart keeps one half, and adds the other thread's.
template <int KEPT, int COLUMNS>
__device__ inline void halve(float (&tile)[8][COLUMNS], int s) {
  const bool upper = s & KEPT;
#pragma unroll
  for (int i = 0; i < KEPT; i++)
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
      const float given = upper ? tile[i][j] : tile[i + KEPT][j];
      tile[i][j] = (upper ? tile[i + KEPT][j] : tile[i][j]) + __shfl_xor_sync(ALL, given, KEPT);
    }
}

// The sums of a tile over 8 neighbouring threads: the thread `s` of them gets row `s`.
template <int COLUMNS>
__device__ inline void sum_rows(float (&row)[COLUMNS], float (&tile)[8][COLUMNS], int s) {
  halve<4>(tile, s);
  halve<2>(tile, s);
  halve<1>(tile, s);
#pragma unroll
  for (int j = 0; j < COLUMNS; j++) row[j] = tile[0][j];
}

// tanh, off by two roundings of 1 at most. The exponential cannot overflow, and NaN stays NaN. The quotient is corrected
// once: of a unit near 1 or -1 what counts is how near.
__device__ inline float tanh_of(float z) {
  const float e = __expf(-2.0f * fabsf(z)), above = 1.0f - e, below = 1.0f + e;
  const float reciprocal = __fdividef(1.0f, below), rough = above * reciprocal;
  return copysignf(fmaf(fmaf(-below, rough, above), reciprocal, rough), z);
}

// The four hidden units `4 * t + c` and the four `4 * (t + NH) + c` are those of tile t.
__device__ inline int unit(int t, int j) { return 4 * t + (j & 3) + (j >> 2) * 4 * NH; }

struct Memory {
  float *W1, *W2, *h, *X, *logits, *b2, *db2, *scratch, *C, *dC, *losses;
  int* tokens;
  __device__ Memory() {
    float* start = reinterpret_cast<float*>(shared);
    W1 = start + AT_W1, W2 = start + AT_W2, h = start + AT_H, X = start + AT_X, logits = start + AT_LOGITS;
    b2 = start + AT_B2, db2 = start + AT_DB2, scratch = start + AT_SCRATCH, C = start + AT_C, dC = start + AT_DC;
    losses = start + AT_LOSSES;
    tokens = reinterpret_cast<int*>(start + AT_TOKENS);
  }
};

// X = C[x] of R rows: (R, T) to (R, D). Eight threads share a row.
__device__ inline void embed(const Memory& m, const int* x, int thread) {
  const int row = thread / 8;
#pragma unroll
  for (int d = thread % 8; d < D; d += 8) m.X[row * SD + d] = m.C[x[row * T + d / E] * E + d % E];
}

// h = tanh(X W1 + b1): (R, D) to (R, H).
__device__ inline void activate(const Memory& m, int thread) {
  const int r = thread % 8, t = thread / 8;
  if (t >= NH) return;
  float tile[4][8];
  clear(tile);
  add_inner<4, (D + 4) / 4, SD, SD>(
      tile, m.X, [=](int i) { return r + 8 * i; }, m.W1, [=](int j) { return unit(t, j); });
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int g = 0; g < 2; g++) {
      const float* z = tile[i] + 4 * g;
      *reinterpret_cast<float4*>(m.h + (r + 8 * i) * SH + unit(t, 4 * g)) =
          make_float4(tanh_of(z[0]), tanh_of(z[1]), tanh_of(z[2]), tanh_of(z[3]));
    }
}

// logits = h W2 + b2: (R, H) to (R, V). Eight threads share a tile, each with every eighth hidden unit.
__device__ inline void project(const Memory& m, int thread) {
  const int s = thread % 8;
#pragma unroll 1
  for (int t = thread / 8; t < SV; t += THREADS / 8) {  // the four of a warp are of the same columns
    const int r = t % 4, v = t / 4 * 4;
    float tile[8][4], row[4];
    clear(tile);
    const float *h = m.h + r * SH + s, *W2 = m.W2 + s * SV + v;  // which go along: else each address is computed anew
#pragma unroll 5
    for (int n = 0; n < NH; n++, h += 8, W2 += 8 * SV) {
      const float4 right = quadruple(W2);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const float left = h[4 * i * SH];
#pragma unroll
        for (int j = 0; j < 4; j++) tile[i][j] += left * part(right, j);
      }
    }
    sum_rows(row, tile, s);
    const float4 b2 = quadruple(m.b2 + v);
    *reinterpret_cast<float4*>(m.logits + (r + 4 * s) * SV + v) =
        make_float4(row[0] + b2.x, row[1] + b2.y, row[2] + b2.z, row[3] + b2.w);
  }
}

// The sum of the losses of `real` rows, by warp, and in place of the logits the gradient of the batch's mean loss.
__device__ inline void cross_entropy(const Memory& m, const int* y, int real, int thread) {
  constexpr int EACH = (V + 7) / 8;  // eight threads share a row
  const int row = thread / 8, first = thread % 8, target = y[row];
  float* logits = m.logits + row * SV;
  float p[EACH], largest = logits[0], total = 0.0f;
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    const int v = first + 8 * i;
    p[i] = logits[v < V ? v : 0];
    largest = fmaxf(largest, p[i]);
  }
#pragma unroll
  for (int other = 4; other > 0; other /= 2) largest = fmaxf(largest, __shfl_xor_sync(ALL, largest, other));
  const float shifted = logits[target] - largest;
  __syncwarp();  // all have read the logits
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    p[i] = first + 8 * i < V ? expf(p[i] - largest) : 0.0f;
    total += p[i];
  }
#pragma unroll
  for (int other = 4; other > 0; other /= 2) total += __shfl_xor_sync(ALL, total, other);
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    const int v = first + 8 * i;
    const float gradient = (p[i] / total - (v == target ? 1.0f : 0.0f)) / B;
    if (v < V) logits[v] = row < real ? gradient : 0.0f;
  }
  float loss = row < real ? logf(total) - shifted : 0.0f;
  loss += __shfl_xor_sync(ALL, loss, 8);
  loss += __shfl_xor_sync(ALL, loss, 16);
  if (thread % 32 == 0) m.losses[thread / 32] = loss;
}

// dh = dlogits W2^T: (R, V) to a tile of (R, H).
__device__ inline void hidden_gradient(Tile& tile, const Memory& m, int thread) {
  const int r = thread % 4, t = thread / 4;
  clear(tile);
  if (t < NH)
    add_inner<8, (V + 3) / 4, SV, SV>(
        tile, m.logits, [=](int i) { return r + 4 * i; }, m.W2, [=](int j) { return unit(t, j); });
}

// dz = dh (1 - h^2), in place of h.
__device__ inline void through_tanh(const Memory& m, const Tile& tile, int thread) {
  const int r = thread % 4, t = thread / 4;
  if (t >= NH) return;
#pragma unroll
  for (int i = 0; i < 8; i++)
#pragma unroll
    for (int g = 0; g < 2; g++) {
      float4* at = reinterpret_cast<float4*>(m.h + (r + 4 * i) * SH + unit(t, 4 * g));
      const float4 h = *at;
      const float* dh = tile[i] + 4 * g;
      *at = make_float4(dh[0] * (1.0f - h.x * h.x), dh[1] * (1.0f - h.y * h.y), dh[2] * (1.0f - h.z * h.z),
                        dh[3] * (1.0f - h.w * h.w));
    }
}

// A tile of dW2 = h^T dlogits, (H, V), and of dW1 = dz^T X, (H, D + 1), whose last column is db1.
__device__ inline void add_output_gradient(Tile& tile, const Memory& m, int thread) {
  const int c = thread % NV, t = thread / NV;
  if (t < NH) add_outer(tile, m.h + 4 * t, SH, 4 * NH, m.logits + 4 * c, SV, 4 * NV);
}

__device__ inline void add_input_gradient(Tile& tile, const Memory& m, int thread) {
  const int c = thread % ND, t = thread / ND;
  if (t < NH) add_outer(tile, m.h + 4 * t, SH, 4 * NH, m.X + 4 * c, SD, 4 * ND);
}

// weights -= lr * tile, for a matrix with a row for each hidden unit.
template <int COLUMN_TILES, int ROW>
__device__ inline void update(float* weights, const Tile& tile, float lr, int thread) {
  const int c = thread % COLUMN_TILES, t = thread / COLUMN_TILES;
  if (t >= NH) return;
#pragma unroll
  for (int j = 0; j < 8; j++)
#pragma unroll
    for (int g = 0; g < 2; g++) {
      const int column = 4 * (c + g * COLUMN_TILES);
      if (column < ROW) {
        float4* at = reinterpret_cast<float4*>(weights + unit(t, j) * ROW + column);
        const float4 old = *at;
        const float* d = tile[j] + 4 * g;
        *at = make_float4(old.x - lr * d[0], old.y - lr * d[1], old.z - lr * d[2], old.w - lr * d[3]);
      }
    }
}

// dX = dz W1^T: (R, H) to (R, D). Eight threads share a tile, as in `project`; each gets one row of it.
__device__ inline void embedding_gradient(float (&rows)[GROUPS][8], const Memory& m, int thread) {
  const int s = thread % 8;
#pragma unroll
  for (int group = 0; group < GROUPS; group++) {
    const int t = thread / 8 + 16 * group, r = t % 4, c = t / 4;
    Tile tile;
    clear(tile);
    const float *h = m.h + r * SH + s, *W1 = m.W1 + s * SD + 8 * c;
    if (c < tiles(D))
#pragma unroll 5
      for (int n = 0; n < NH; n++, h += 8, W1 += 8 * SD) {
        float right[8];
        read_eight(right, W1, 4);
#pragma unroll
        for (int i = 0; i < 8; i++) {
          const float left = h[4 * i * SH];
#pragma unroll
          for (int j = 0; j < 8; j++) tile[i][j] += left * right[j];
        }
      }
    sum_rows(rows[group], tile, s);
  }
}

// In place of X, whose column of ones stays.
__device__ inline void write_embedding_gradient(const Memory& m, const float (&rows)[GROUPS][8], int thread) {
  const int s = thread % 8;
#pragma unroll
  for (int group = 0; group < GROUPS; group++) {
    const int t = thread / 8 + 16 * group, r = t % 4, c = t / 4;
#pragma unroll
    for (int j = 0; j < 8; j++)
      if (8 * c + j < D) m.X[(r + 4 * s) * SD + 8 * c + j] = rows[group][j];
  }
}

// C -= lr * dC after the last rows of a batch; dC is the sum of the gradients in X at each character, over all rows and
// places. A warp does every eighth character, in the order of the rows: atomic additions would have another one each time.
__device__ inline void update_embedding(const Memory& m, const int* x, bool last, float lr, int thread) {
  const int lane = thread % 32, warp = thread / 32;
  float* sums = m.scratch + warp * D;  // of each of the D inputs
  int characters[T];
#pragma unroll
  for (int t = 0; t < T; t++) characters[t] = x[lane * T + t];
#pragma unroll 1
  for (int v = warp; v < V; v += THREADS / 32) {
#pragma unroll
    for (int d = lane; d < (D + 31) / 32 * 32; d += 32) {
      unsigned rows = 0;  // those with this character at the place of d
#pragma unroll
      for (int t = 0; t < T; t++) {
        const unsigned here = __ballot_sync(ALL, characters[t] == v);
        if (t == d / E) rows = here;
      }
      float sum = 0.0f;
      while (rows) {  // two at a time
        const int row = __ffs(rows) - 1;
        rows &= rows - 1;
        const int next = rows ? __ffs(rows) - 1 : row;
        const float one = m.X[row * SD + d], two = m.X[next * SD + d];
        sum += one;
        sum += rows ? two : 0.0f;
        rows &= rows - 1;
      }
      if (d < D) sums[d] = sum;
    }
    __syncwarp();
    for (int e = lane; e < E; e += 32) {
      float sum = B > R ? m.dC[v * E + e] : 0.0f;
#pragma unroll
      for (int t = 0; t < T; t++) sum += sums[t * E + e];
      if (last) m.C[v * E + e] -= lr * sum;
      if (B > R) m.dC[v * E + e] = last ? 0.0f : sum;
    }
    __syncwarp();  // all have read the sums
  }
}

// b2 -= lr * db2, likewise; by one warp.
__device__ inline void update_output_bias(const Memory& m, bool last, float lr, int lane) {
  for (int v = lane; v < V; v += 32) {
    float sum = B > R ? m.db2[v] : 0.0f;
#pragma unroll
    for (int row = 0; row < R; row++) sum += m.logits[row * SV + v];
    if (last) m.b2[v] -= lr * sum;
    if (B > R) m.db2[v] = last ? 0.0f : sum;
  }
}

// Contexts and targets of the R rows of a batch from `start` on. Rows beyond the batch are its last, so that they are no
// number only where that is none: their gradients are 0 times what is in them.
__device__ inline void read_tokens(int (&into)[(TOKENS + THREADS - 1) / THREADS], const long long* x, const long long* y,
                                   long long step, int start, int thread) {
#pragma unroll
  for (int n = 0; n < (TOKENS + THREADS - 1) / THREADS; n++) {
    const int i = thread + n * THREADS, row = start + (i < R * T ? i / T : i - R * T);
    const int beyond = row < B ? 0 : row - (B - 1);
    const long long first = step * B + start - beyond;
    into[n] = i >= TOKENS ? 0 : static_cast<int>(i < R * T ? x[first * T + i] : y[step * B + row - beyond]);
  }
}

__device__ inline void write_tokens(const int (&from)[(TOKENS + THREADS - 1) / THREADS], int* to, int thread) {
#pragma unroll
  for (int n = 0; n < (TOKENS + THREADS - 1) / THREADS; n++)
    if (thread + n * THREADS < TOKENS) to[thread + n * THREADS] = from[n];
}

__device__ inline void read_weights(const Memory& m, const float* C, const float* W1, const float* b1, const float* W2,
                                    const float* b2, int thread) {
  for (int i = thread; i < NUMBERS; i += THREADS) reinterpret_cast<float*>(shared)[i] = 0.0f;
  __syncthreads();
  for (int i = thread; i < V * E; i += THREADS) m.C[i] = C[i];
  for (int i = thread; i < D * H; i += THREADS) m.W1[i % H * SD + i / H] = W1[i];  // (D, H) to (H, D)
  for (int i = thread; i < H; i += THREADS) m.W1[i * SD + D] = b1[i];
  for (int i = thread; i < H * V; i += THREADS) m.W2[i / V * SV + i % V] = W2[i];
  for (int i = thread; i < V; i += THREADS) m.b2[i] = b2[i];
  for (int i = thread; i < R; i += THREADS) m.X[i * SD + D] = 1.0f;
}

__device__ inline void write_weights(const Memory& m, float* C, float* W1, float* b1, float* W2, float* b2, int thread) {
  for (int i = thread; i < V * E; i += THREADS) C[i] = m.C[i];
  for (int i = thread; i < D * H; i += THREADS) W1[i] = m.W1[i % H * SD + i / H];
  for (int i = thread; i < H; i += THREADS) b1[i] = m.W1[i * SD + D];
  for (int i = thread; i < H * V; i += THREADS) W2[i] = m.W2[i / V * SV + i % V];
  for (int i = thread; i < V; i += THREADS) b2[i] = m.b2[i];
}

// Train a net for each block of the grid on K batches.
//
// x (N, K, B, T) and y (N, K, B): contexts and targets, from 0 to V - 1, which is not checked.
// lrs (N, K): learning rates. losses (N, K): where the mean loss of each step goes.
// C (N, V, E), W1 (N, D, H), b1 (N, H), W2 (N, H, V), b2 (N, V): the weights, which are changed in place.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    train(const long long* x, const long long* y, const float* lrs, float* losses, float* C, float* W1, float* b1,
          float* W2, float* b2, int K) {
  const Memory m;
  const int thread = threadIdx.x;
  const bool first_half = thread < HALF;
  const int in_half = thread % HALF;
  const long long net = blockIdx.x;
  x += net * K * B * T, y += net * K * B, lrs += net * K, losses += net * K;
  C += net * V * E, W1 += net * D * H, b1 += net * H, W2 += net * H * V, b2 += net * V;
  if (K == 0) return;

  int next[(TOKENS + THREADS - 1) / THREADS];
  read_tokens(next, x, y, 0, 0, thread);
  read_weights(m, C, W1, b1, W2, b2, thread);
  write_tokens(next, m.tokens, thread);
  __syncthreads();

  int* tokens = m.tokens;
  int* other_tokens = m.tokens + TOKENS;
#pragma unroll 1
  for (long long k = 0; k < K; k++) {
    const float lr = lrs[k];
    float loss = 0.0f;
    Tile gradient, other_tile;  // the gradient of W1 in the first half of the threads, of W2 in the second
    Tile& tile = B > R ? other_tile : gradient;  // with one round a batch, the registers are free until then
#pragma unroll 1
    for (int start = 0; start < B; start += R) {
      const bool last = start + R >= B;
      if (!last || k + 1 < K) read_tokens(next, x, y, last ? k + 1 : k, last ? 0 : start + R, thread);
      float rows[GROUPS][8];

      // forward pass
      embed(m, tokens, thread);
      __syncthreads();
      activate(m, thread);
      __syncthreads();
      project(m, thread);
      __syncthreads();
      cross_entropy(m, tokens + R * T, B - start, thread);
      __syncthreads();

      // backward pass; W1 and W2 are updated when nothing reads them any more
      if (first_half) {
        hidden_gradient(tile, m, in_half);
      } else {
        if (start == 0) clear(gradient);
        add_output_gradient(gradient, m, in_half);
      }
      __syncthreads();
      if (first_half)
        through_tanh(m, tile, in_half);
      else if (last)
        update<NV, SV>(m.W2, gradient, lr, in_half);
      __syncthreads();
      if (first_half) {
        if (start == 0) clear(gradient);
        add_input_gradient(gradient, m, in_half);
      } else {
        embedding_gradient(rows, m, in_half);
      }
      __syncthreads();
      if (first_half) {
        if (last) update<ND, SD>(m.W1, gradient, lr, in_half);
      } else {
        write_embedding_gradient(m, rows, in_half);
      }
      write_tokens(next, other_tokens, thread);
      __syncthreads();
      update_embedding(m, tokens, last, lr, thread);
      if (thread >= THREADS - 32) update_output_bias(m, last, lr, thread % 32);
      if (thread == 0) {
        for (int warp = 0; warp < THREADS / 32; warp++) loss += m.losses[warp];
        if (last) losses[k] = loss / B;
      }
      __syncthreads();
      int* const swap = tokens;
      tokens = other_tokens, other_tokens = swap;
    }
  }
  write_weights(m, C, W1, b1, W2, b2, thread);
}
