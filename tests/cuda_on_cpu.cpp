// A CUDA kernel on the CPU: a block's threads are fibers that take turns at barriers, shuffles and ballots.
//
// SOURCE is the file with the kernel `train` and the constants that it needs. The functions at the end are
// those of the driver that `zoo_lecture.nvrtc` calls.
//
// What a GPU does at once is done here one thread after the other, each as far as it gets, in an order that is set: the
// first thread first, the last first, or a random one each time. Where a barrier is missing, the orders differ. A barrier
// can be left out to see that. Uninitialized shared memory is NaN. The approximate instructions are as far off as NVIDIA's
// documentation allows.
//
// With RACES, every access to shared memory is held against all others since: two of one number, of which one writes, must
// be on both sides of a barrier of both threads, whatever order they came in. Shuffles and ballots are no such barriers.
// The compiler's instrumentation for its own detector of races calls the functions at the very end.

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

struct alignas(16) float4 {
  float x, y, z, w;
};
struct Index {
  unsigned x, y, z;
};

static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static Index threadIdx, blockIdx;

namespace cpu {

struct Barrier {
  int size = 0, arrived = 0;
  long generation = 0;
};

struct Fiber {
  ucontext_t context;  // for its first turn; those after it are by jumps, which need no system call
  jmp_buf place;
  bool started = false;
  std::vector<char> stack;
  bool done = false;
  int lane = 0, warp = 0;
  long exchanges = 0;
  Barrier* waits = nullptr;
  long until = 0;
  long of_block = 0, of_warp = 0;  // barriers passed
};

static std::vector<Fiber> fibers;
static std::vector<Barrier> warps;
static std::vector<uint32_t> slots;  // (warps, 2, 32): of one exchange and the next
static Barrier block;
static jmp_buf scheduler;
static int running;
static int left_out = 0;  // the line of a barrier that does nothing

static Fiber& fiber() { return fibers[running]; }

static void wait(Barrier& barrier) {
  const long generation = barrier.generation;
  if (++barrier.arrived == barrier.size) {
    barrier.arrived = 0;
    barrier.generation++;
    return;
  }
  fiber().waits = &barrier;
  fiber().until = generation;
  if (!_setjmp(fiber().place)) _longjmp(scheduler, 1);
}

static void wait_at(Barrier& barrier, int line) {
  if (line == left_out) return;
  Fiber& own = fiber();
  wait(barrier);
  (&barrier == &block ? own.of_block : own.of_warp)++;
}

// What every thread of the warp has given.
static uint32_t* exchanged(const void* given) {
  Fiber& own = fiber();
  uint32_t* slot = &slots[(2 * own.warp + own.exchanges++ % 2) * 32];
  std::memcpy(&slot[own.lane], given, 4);
  wait(warps[own.warp]);
  return slot;
}

static float shuffled(float value, int other) {
  float result;
  std::memcpy(&result, &exchanged(&value)[fiber().lane ^ other], 4);
  return result;
}

static unsigned voted(bool value) {
  const uint32_t given = value;
  const uint32_t* all = exchanged(&given);
  unsigned result = 0;
  for (int lane = 0; lane < 32; lane++) result |= all[lane] << lane;
  return result;
}

// One or two units of the last place off, up or down, as the number's own bits say.
static float off(double exact) {
  const float value = static_cast<float>(exact);
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const int pick = bits * 2654435761u >> 30;
  const float units[] = {-2, -1, 1, 2};
  return value + value * units[pick] * 1.1920929e-7f;
}

}  // namespace cpu

#define __device__
#define __global__
#define __shared__
#define __launch_bounds__(...)
#define __syncthreads() cpu::wait_at(cpu::block, __LINE__)
#define __syncwarp() cpu::wait_at(cpu::warps[cpu::fiber().warp], __LINE__)
#define __shfl_xor_sync(all, value, other) cpu::shuffled(value, other)
#define __ballot_sync(all, value) cpu::voted(value)
#define __ffs(bits) __builtin_ffs(bits)
#define __expf(x) cpu::off(std::exp2(static_cast<double>((x)*1.44269504f)))
#define __fdividef(a, b) cpu::off(static_cast<double>(a) / (b))

#include SOURCE

static_assert(sizeof(long long) == 8 && sizeof(float) == 4, "as on a GPU");

float4 shared[NUMBERS / 4 + 1];

namespace cpu {

static std::function<void()> work;
static int order = 0;  // 0: the first thread that can runs next; 1: the last one; else the seed of a random choice

static void enter() {
  work();
  fiber().done = true;
  _longjmp(scheduler, 1);
}

static void give_turn(Fiber& own) {
  if (_setjmp(scheduler)) return;
  if (own.started) _longjmp(own.place, 1);
  own.started = true;
  setcontext(&own.context);
}

static void forget_accesses();

static void start(int threads) {
  forget_accesses();
  fibers = std::vector<Fiber>(threads);
  block = {threads};
  warps.assign(threads / 32, Barrier{32});
  slots.assign(threads / 32 * 64, 0);
  for (int i = 0; i < threads; i++) {
    Fiber& own = fibers[i];
    own.lane = i % 32, own.warp = i / 32;
    own.stack.resize(1 << 16);
    getcontext(&own.context);
    own.context.uc_stack.ss_sp = own.stack.data();
    own.context.uc_stack.ss_size = own.stack.size();
    own.context.uc_link = nullptr;
    makecontext(&own.context, enter, 0);
  }
}

// Whether all threads have come to their end; if not, some wait for others that never come.
static bool run_block(std::mt19937& random) {
  const int count = fibers.size();
  for (int ended = 0; ended < count;) {
    int next = -1;
    const int first = order > 1 ? random() % count : 0;
    for (int i = 0; i < count && next < 0; i++) {
      const int n = order == 1 ? count - 1 - i : (first + i) % count;
      const Fiber& f = fibers[n];
      if (!f.done && !(f.waits && f.waits->generation == f.until)) next = n;
    }
    if (next < 0) return false;
    Fiber& own = fibers[running = next];
    own.waits = nullptr;
    threadIdx = {unsigned(next), 0, 0};
    give_turn(own);
    ended += own.done;
  }
  return true;
}

enum { OK = 0, INVALID_VALUE = 1, NOT_FOUND = 500, LAUNCH_FAILED = 719 };

static int largest_shared = 48 << 10;
static int loaded = 0;  // modules

}  // namespace cpu

extern "C" {

void zoo_set(int order, int left_out) { cpu::order = order, cpu::left_out = left_out; }

int cuModuleLoadData(void** module, const void* image) {
  if (std::memcmp(image, "\177ELF", 4)) return cpu::INVALID_VALUE;
  *module = &cpu::order;
  cpu::loaded++;
  return cpu::OK;
}

int cuModuleUnload(void* module) {
  cpu::loaded--;
  return module == &cpu::order ? cpu::OK : cpu::INVALID_VALUE;
}

int zoo_loaded() { return cpu::loaded; }

int cuModuleGetFunction(void** function, void* module, const char* name) {
  if (module != &cpu::order || std::strcmp(name, "train")) return cpu::NOT_FOUND;
  *function = &cpu::running;
  return cpu::OK;
}

int cuFuncSetAttribute(void* function, int attribute, int value) {
  if (function != &cpu::running || attribute != 8) return cpu::INVALID_VALUE;
  cpu::largest_shared = std::max(cpu::largest_shared, value);
  return cpu::OK;
}

int cuGetErrorString(int error, const char** text) {
  *text = error == cpu::LAUNCH_FAILED ? "unspecified launch failure" : "invalid argument";
  return cpu::OK;
}

int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                   unsigned threads_z, unsigned shared_bytes, void* stream, void** p, void** extra) {
  const bool sizes = y == 1 && z == 1 && threads == THREADS && threads_y == 1 && threads_z == 1;
  if (function != &cpu::running || !sizes || stream || extra) return cpu::INVALID_VALUE;
  if (shared_bytes != 4 * NUMBERS || int(shared_bytes) > cpu::largest_shared) return cpu::INVALID_VALUE;
  auto floats = [=](int i) { return *static_cast<float**>(p[i]); };
  auto tokens = [=](int i) { return *static_cast<const long long**>(p[i]); };
  const int K = *static_cast<int*>(p[9]);
  cpu::work = [=] {
    train(tokens(0), tokens(1), floats(2), floats(3), floats(4), floats(5), floats(6), floats(7), floats(8), K);
  };
  std::mt19937 random(cpu::order);
  for (unsigned block = 0; block < x; block++) {
    blockIdx = {block, 0, 0};
    std::memset(shared, 0xff, sizeof shared);
    cpu::start(threads);
    if (!cpu::run_block(random)) return cpu::LAUNCH_FAILED;
  }
  return cpu::OK;
}
}

namespace cpu {

struct Access {
  int thread = -1;
  long of_block = 0, of_warp = 0;  // barriers that the thread had passed
};

struct Word {
  Access written;
  std::vector<Access> read;
};

static std::vector<Word> words(sizeof shared / 4);
static long races = 0;

static void forget_accesses() { words.assign(words.size(), {}); }

static bool is_race(const Access& before, const Access& now) {
  if (before.thread < 0 || before.thread == now.thread || before.of_block != now.of_block) return false;
  return before.thread / 32 != now.thread / 32 || before.of_warp == now.of_warp;
}

static void accessed(const void* at, long bytes, bool writes) {
  const long first = static_cast<const char*>(at) - reinterpret_cast<const char*>(shared);
  if (first < 0 || first >= long(sizeof shared) || fibers.empty()) return;
  const Access now = {running, fiber().of_block, fiber().of_warp};
  for (long i = first / 4; i <= (first + bytes - 1) / 4; i++) {
    Word& word = words[i];
    races += is_race(word.written, now);
    auto own = word.read.begin();
    while (own != word.read.end() && own->thread != now.thread) own++;
    if (writes) {
      for (const Access& before : word.read) races += is_race(before, now);
      word.read.clear();
      word.written = now;
    } else if (own == word.read.end()) {
      word.read.push_back(now);
    } else {
      *own = now;
    }
  }
}

}  // namespace cpu

extern "C" {

// Races since it was asked last.
long zoo_races() {
  const long found = cpu::races;
  cpu::races = 0;
  return found;
}

#ifdef RACES
#define ACCESSES(size)                                                          \
  void __tsan_read##size(void* at) { cpu::accessed(at, size, false); }          \
  void __tsan_write##size(void* at) { cpu::accessed(at, size, true); }          \
  void __tsan_unaligned_read##size(void* at) { cpu::accessed(at, size, false); } \
  void __tsan_unaligned_write##size(void* at) { cpu::accessed(at, size, true); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_read_range(void* at, unsigned long bytes) { cpu::accessed(at, bytes, false); }
void __tsan_write_range(void* at, unsigned long bytes) { cpu::accessed(at, bytes, true); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}
void* __tsan_memset(void* at, int value, unsigned long bytes) { return std::memset(at, value, bytes); }
void* __tsan_memcpy(void* to, const void* from, unsigned long bytes) { return std::memcpy(to, from, bytes); }
void* __tsan_memmove(void* to, const void* from, unsigned long bytes) { return std::memmove(to, from, bytes); }
#endif
}
