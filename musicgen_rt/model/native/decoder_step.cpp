// One step of MusicGen's decoder on a CPU: a few rows of one position through all layers.
//
// A step reads every weight once for two or three rows, so it is bound by memory and, in small
// models, by the cost of calling a hundred small operators. Here the whole step is one call, the
// weights stay in their stored format, and all else is float32. Built by native_build.py, called
// by native_step.py; plain C interface.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

// Sums must stay in registers, so loops over rows and outputs are written out.
#define UNROLL _Pragma("GCC unroll 8")
#define UNROLL16 _Pragma("GCC unroll 16")

namespace {

// Vectors of GCC and Clang: 512 bits where the processor has them, else made of smaller ones.
constexpr int kLanes = 16;
typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef int8_t SignedBytes __attribute__((vector_size(kLanes)));

constexpr int kGroup = 64;      // inputs that share an int4 scale
constexpr int kRowTile = 4;     // rows that one pass over a weight serves
constexpr int kOutTile = 4;     // outputs whose sums run side by side
constexpr int kOutBlock = 16;   // outputs of an int4 matrix that lie together
// How far ahead memory is asked for: a processor's own guesses end at the page.
constexpr int kGroupsAhead = 6;
constexpr int kPositionsAhead = 32;

enum Format { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2, kInt4 = 3 };

// One matrix [out, in]. int8 has `scales` [out]; int4 is Int4Group [out / 16, in / 64].
struct Matrix {
  int format, out, in;
  const void* weight;
  const float* scales;
};

struct Norm {
  const float* weight;
  const float* bias;
};

// The order of a layer's matrices and norms, as native_step.py fills them.
enum { kQkv, kSelfOut, kCrossQuery, kCrossOut, kUp, kDown, kMatrices };
enum { kSelfNorm, kCrossNorm, kForwardNorm, kNorms };

struct Layer {
  Matrix matrices[kMatrices];
  Norm norms[kNorms];
};

struct Decoder {
  int width, heads, hidden, num_layers, has_cross;
  float epsilon;
  const Layer* layers;
  Norm final_norm;
  Matrix output;
};

// Keys and values [rows, heads, positions, head width] of each layer, float32 or bfloat16.
struct Cache {
  int format, positions;
  void* const* keys;
  void* const* values;
};

inline float from_bfloat16(uint16_t half) {
  uint32_t word = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

inline uint16_t to_bfloat16(float value) {
  uint32_t word;
  std::memcpy(&word, &value, 4);
  if (value != value) return 0x7fc0;
  return static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);  // to nearest even
}

inline float sum(Floats v) {
  float lanes[kLanes];
  std::memcpy(lanes, &v, sizeof lanes);
  UNROLL for (int half = kLanes / 2; half > 0; half /= 2)
    UNROLL for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

inline float maximum(Floats v) {
  float lanes[kLanes];
  std::memcpy(lanes, &v, sizeof lanes);
  UNROLL for (int half = kLanes / 2; half > 0; half /= 2)
    UNROLL for (int i = 0; i < half; ++i) lanes[i] = std::max(lanes[i], lanes[half + i]);
  return lanes[0];
}

// Lane i of the result is the sum of v[i]: a tree of folds, each of two vectors into one.
inline Floats sums_of(Floats* v) {
  UNROLL for (int i = 0; i < 8; ++i) {
    const Floats a = v[2 * i], b = v[2 * i + 1];
    v[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
           __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
  UNROLL for (int i = 0; i < 4; ++i) {
    const Floats a = v[2 * i], b = v[2 * i + 1];
    v[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
           __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }
  UNROLL for (int i = 0; i < 2; ++i) {
    const Floats a = v[2 * i], b = v[2 * i + 1];
    v[i] = __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
           __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  }
  const Floats a = v[0], b = v[1];
  return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
         __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

// Asks for memory before it is read; what lies behind an array's end may be asked for too.
inline void fetch(const void* start, size_t bytes) {
  for (size_t offset = 0; offset < bytes; offset += 64)
    __builtin_prefetch(static_cast<const char*>(start) + offset);
}

inline int32_t word_at(const int8_t* bytes) {
  int32_t word;
  std::memcpy(&word, bytes, 4);
  return word;
}

inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Compilers make poor code of converting whole vectors, so x86 has its own instructions here.
#if defined(__AVX512F__) && defined(__AVX512BW__)

inline Floats load(const uint16_t* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m512i words = _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
  return reinterpret_cast<Floats>(words);
}

inline Floats load(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return reinterpret_cast<Floats>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
}

#elif defined(__AVX2__)

inline Floats joined(__m256 low, __m256 high) {
  Floats v;
  std::memcpy(&v, &low, sizeof low);
  std::memcpy(reinterpret_cast<char*>(&v) + sizeof low, &high, sizeof high);
  return v;
}

inline Floats load(const uint16_t* p) {
  __m256 parts[2];
  for (int i = 0; i < 2; ++i) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8 * i));
    parts[i] = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  return joined(parts[0], parts[1]);
}

inline Floats load(const int8_t* p) {
  __m256 parts[2];
  for (int i = 0; i < 2; ++i) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8 * i));
    parts[i] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  return joined(parts[0], parts[1]);
}

#else

inline Floats load(const uint16_t* p) {
  Floats v;
  for (int i = 0; i < kLanes; ++i) v[i] = from_bfloat16(p[i]);
  return v;
}

inline Floats load(const int8_t* p) {
  Floats v;
  for (int i = 0; i < kLanes; ++i) v[i] = static_cast<float>(p[i]);
  return v;
}

#endif

inline float value_of(float x) { return x; }
inline float value_of(uint16_t x) { return from_bfloat16(x); }
inline float value_of(int8_t x) { return x; }

// R rows of x times T rows of the weight: sums[t][r].
template <int R, int T, class Weight>
void dots(const Weight* weight, int in, const float* x, float (*sums)[kRowTile]) {
  Floats totals[T][R] = {};
  int i = 0;
  for (; i + kLanes <= in; i += kLanes) {
    Floats inputs[R];
    UNROLL for (int r = 0; r < R; ++r) inputs[r] = load(x + static_cast<size_t>(r) * in + i);
    UNROLL for (int t = 0; t < T; ++t) {
      const Floats w = load(weight + static_cast<size_t>(t) * in + i);
      UNROLL for (int r = 0; r < R; ++r) totals[t][r] += w * inputs[r];
    }
  }
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < R; ++r) sums[t][r] = sum(totals[t][r]);
  for (; i < in; ++i)
    for (int t = 0; t < T; ++t)
      for (int r = 0; r < R; ++r)
        sums[t][r] += value_of(weight[static_cast<size_t>(t) * in + i]) *
                      x[static_cast<size_t>(r) * in + i];
}

template <int R, class Weight>
void multiply_rows(const Matrix& m, int first, int end, const float* x, float* y) {
  const Weight* weight = static_cast<const Weight*>(m.weight);
  float sums[kOutTile][kRowTile];
  for (int o = first; o < end; o += kOutTile) {
    const Weight* rows = weight + static_cast<size_t>(o) * m.in;
    const int count = std::min(kOutTile, end - o);
    if (count == kOutTile) {
      dots<R, kOutTile>(rows, m.in, x, sums);
    } else {
      for (int t = 0; t < count; ++t)
        dots<R, 1>(rows + static_cast<size_t>(t) * m.in, m.in, x, sums + t);
    }
    for (int t = 0; t < count; ++t) {
      const float scale = m.format == kInt8 ? m.scales[o + t] : 1.0f;
      for (int r = 0; r < R; ++r) y[static_cast<size_t>(r) * m.out + o + t] = sums[t][r] * scale;
    }
  }
}

// Inputs of int4 products: rounded to int8 with a scale for each group, so that sums are whole
// numbers. A row's four levels in a row are one word.
struct RoundedInputs {
  std::vector<int8_t> levels;  // [rows, in]
  std::vector<float> scales;   // [rows, groups]
  std::vector<float> sums;     // [rows, groups], of the rounded inputs
};

void round_inputs(const float* x, int rows, int in, RoundedInputs& rounded) {
  // 1.5 * 2^23: added to a small number it leaves its nearest whole number in the lowest bits.
  constexpr float kRounder = 12582912.0f;
  constexpr int kParts = kGroup / kLanes;
  const int groups = in / kGroup;
  rounded.levels.resize(static_cast<size_t>(rows) * in);
  rounded.scales.resize(static_cast<size_t>(rows) * groups);
  rounded.sums.resize(static_cast<size_t>(rows) * groups);
  for (int g = 0; g < rows * groups; ++g) {
    const float* inputs = x + static_cast<size_t>(g) * kGroup;
    int8_t* levels = rounded.levels.data() + static_cast<size_t>(g) * kGroup;
    Floats parts[kParts], largest = {}, whole = {};
    UNROLL for (int i = 0; i < kParts; ++i) {
      parts[i] = load(inputs + i * kLanes);
      const Floats size = parts[i] < 0 ? -parts[i] : parts[i];
      largest = size > largest ? size : largest;
      whole += parts[i];
    }
    // What is no number must not be hidden by the rounding.
    if (!std::isfinite(sum(whole))) {
      std::memset(levels, 0, kGroup);
      rounded.scales[g] = rounded.sums[g] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    const float peak = maximum(largest);
    const float scale = peak / 127.0f;
    const float inverse = peak > 0 ? 127.0f / peak : 0.0f;
    Floats total = {};
    UNROLL for (int i = 0; i < kParts; ++i) {
      const Floats moved = parts[i] * inverse + kRounder;
      total += moved - kRounder;
      Ints words;
      std::memcpy(&words, &moved, sizeof words);
      const SignedBytes bytes = __builtin_convertvector(words, SignedBytes);
      std::memcpy(levels + i * kLanes, &bytes, sizeof bytes);
    }
    rounded.scales[g] = scale;
    rounded.sums[g] = scale * sum(total);
  }
}

// int4 weights of 16 outputs for 64 inputs, as native_step.py packs them. Four inputs of all
// outputs are 64 nibbles: those of inputs 4k .. 4k + 3 are the low ones of levels[k], those of
// inputs 32 + 4k .. the high ones. A weight is (level - 8) * scale + zero; both are bfloat16.
struct Int4Group {
  uint8_t levels[8][4 * kLanes];
  uint16_t scales[kLanes], zeros[kLanes];
};

// sums[r] += levels times four inputs of each of R rows, for 16 outputs. The inputs' levels begin
// at `inputs`, `stride` apart.
#if defined(__AVX512VNNI__)

template <int R>
void add_products(const Int4Group& group, const int8_t* inputs, size_t stride, Ints* sums) {
  const __m512i nibble = _mm512_set1_epi8(0x0f);
  __m512i low_sums[R], high_sums[R];
  UNROLL for (int r = 0; r < R; ++r) low_sums[r] = high_sums[r] = _mm512_setzero_si512();
  UNROLL for (int k = 0; k < 8; ++k) {
    const __m512i both = _mm512_loadu_si512(group.levels[k]);
    const __m512i low = _mm512_and_si512(both, nibble);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
    UNROLL for (int r = 0; r < R; ++r) {
      const int8_t* row = inputs + r * stride + 4 * k;
      low_sums[r] = _mm512_dpbusd_epi32(low_sums[r], low, _mm512_set1_epi32(word_at(row)));
      high_sums[r] = _mm512_dpbusd_epi32(high_sums[r], high, _mm512_set1_epi32(word_at(row + 32)));
    }
  }
  UNROLL for (int r = 0; r < R; ++r)
    sums[r] = reinterpret_cast<Ints>(_mm512_add_epi32(low_sums[r], high_sums[r]));
}

#elif defined(__AVX2__)

inline __m256i add_dots(__m256i total, __m256i levels, __m256i inputs) {
#if defined(__AVXVNNI__)
  return _mm256_dpbusd_avx_epi32(total, levels, inputs);
#else
  // Two products of a level below 16 and a byte fit into 16 bits.
  const __m256i pairs = _mm256_maddubs_epi16(levels, inputs);
  return _mm256_add_epi32(total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#endif
}

template <int R>
void add_products(const Int4Group& group, const int8_t* inputs, size_t stride, Ints* sums) {
  const __m256i nibble = _mm256_set1_epi8(0x0f);
  UNROLL for (int half = 0; half < 2; ++half) {
    __m256i totals[R];
    UNROLL for (int r = 0; r < R; ++r) totals[r] = _mm256_setzero_si256();
    UNROLL for (int k = 0; k < 8; ++k) {
      const __m256i both =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(group.levels[k] + 32 * half));
      const __m256i low = _mm256_and_si256(both, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
      UNROLL for (int r = 0; r < R; ++r) {
        const int8_t* row = inputs + r * stride + 4 * k;
        totals[r] = add_dots(totals[r], low, _mm256_set1_epi32(word_at(row)));
        totals[r] = add_dots(totals[r], high, _mm256_set1_epi32(word_at(row + 32)));
      }
    }
    UNROLL for (int r = 0; r < R; ++r)
      std::memcpy(reinterpret_cast<char*>(sums + r) + 32 * half, &totals[r], 32);
  }
}

#else

template <int R>
void add_products(const Int4Group& group, const int8_t* inputs, size_t stride, Ints* sums) {
  for (int r = 0; r < R; ++r) {
    int32_t totals[kLanes] = {};
    for (int k = 0; k < 8; ++k) {
      const int8_t* row = inputs + r * stride + 4 * k;
      for (int o = 0; o < kLanes; ++o)
        for (int i = 0; i < 4; ++i) {
          const uint8_t both = group.levels[k][4 * o + i];
          totals[o] += (both & 0x0f) * row[i] + (both >> 4) * row[32 + i];
        }
    }
    std::memcpy(sums + r, totals, sizeof totals);
  }
}

#endif

template <int R>
void multiply_int4(const Matrix& m, int first, int end, const RoundedInputs& x, int row, float* y) {
  const int groups = m.in / kGroup;
  const float* input_scales = x.scales.data() + static_cast<size_t>(row) * groups;
  const float* input_sums = x.sums.data() + static_cast<size_t>(row) * groups;
  const int8_t* inputs = x.levels.data() + static_cast<size_t>(row) * m.in;
  for (int o = first; o < end; o += kOutBlock) {
    const Int4Group* weights =
        static_cast<const Int4Group*>(m.weight) + static_cast<size_t>(o / kOutBlock) * groups;
    Floats totals[R] = {};
    for (int g = 0; g < groups; ++g) {
      Ints products[R];
      fetch(weights + g + kGroupsAhead, sizeof(Int4Group));
      add_products<R>(weights[g], inputs + g * kGroup, m.in, products);
      const Floats scale = load(weights[g].scales), zero = load(weights[g].zeros);
      UNROLL for (int r = 0; r < R; ++r) {
        const float whole = input_sums[r * groups + g];
        const Floats levels = __builtin_convertvector(products[r], Floats);
        totals[r] += scale * (levels * input_scales[r * groups + g] - 8.0f * whole) + zero * whole;
      }
    }
    for (int r = 0; r < R; ++r)
      std::memcpy(y + static_cast<size_t>(row + r) * m.out + o, &totals[r], sizeof totals[r]);
  }
}

template <int R>
void multiply_tile(const Matrix& m, int first, int end, const float* x, const RoundedInputs& rounded,
                   int row, float* y) {
  const float* tile_x = x + static_cast<size_t>(row) * m.in;
  float* tile_y = y + static_cast<size_t>(row) * m.out;
  switch (m.format) {
    case kFloat32: return multiply_rows<R, float>(m, first, end, tile_x, tile_y);
    case kBfloat16: return multiply_rows<R, uint16_t>(m, first, end, tile_x, tile_y);
    case kInt8: return multiply_rows<R, int8_t>(m, first, end, tile_x, tile_y);
    case kInt4: return multiply_int4<R>(m, first, end, rounded, row, y);
  }
}

// y [rows, out] = x [rows, in] times the matrix, for outputs first .. end - 1.
void multiply(const Matrix& m, int first, int end, const float* x, int rows, float* y) {
  static thread_local RoundedInputs rounded;
  if (first >= end) return;
  if (m.format == kInt4) round_inputs(x, rows, m.in, rounded);
  for (int row = 0; row < rows; row += kRowTile) {
    switch (std::min(kRowTile, rows - row)) {
      case 1: multiply_tile<1>(m, first, end, x, rounded, row, y); break;
      case 2: multiply_tile<2>(m, first, end, x, rounded, row, y); break;
      case 3: multiply_tile<3>(m, first, end, x, rounded, row, y); break;
      default: multiply_tile<4>(m, first, end, x, rounded, row, y); break;
    }
  }
}

void normalise(const Norm& norm, float epsilon, const float* x, int rows, int width, float* y) {
  for (int r = 0; r < rows; ++r) {
    const float* in = x + static_cast<size_t>(r) * width;
    float* out = y + static_cast<size_t>(r) * width;
    float mean = 0, square = 0;
#pragma omp simd reduction(+ : mean)
    for (int i = 0; i < width; ++i) mean += in[i];
    mean /= width;
#pragma omp simd reduction(+ : square)
    for (int i = 0; i < width; ++i) square += (in[i] - mean) * (in[i] - mean);
    const float factor = 1.0f / std::sqrt(square / width + epsilon);
#pragma omp simd
    for (int i = 0; i < width; ++i) out[i] = (in[i] - mean) * factor * norm.weight[i] + norm.bias[i];
  }
}

// e^x for x <= 0 to a few units in the last place, as a loop over it becomes vectors (Moshier's
// Cephes, expf): x = n ln 2 + r, and a polynomial for e^r.
inline float exponential(float x) {
  const float low = std::max(x, -87.0f);
  const float n = std::nearbyint(low * 1.44269504f);
  const float r = low - n * 0.693359375f + n * 2.12194440e-4f;
  float series = 1.9875691500e-4f;
  series = series * r + 1.3981999507e-3f;
  series = series * r + 8.3334519073e-3f;
  series = series * r + 4.1665795894e-2f;
  series = series * r + 1.6666665459e-1f;
  series = series * r + 5.0000001201e-1f;
  const int32_t word = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &word, 4);
  return (series * r * r + r + 1.0f) * power;
}

// x / 2 (1 + erf(x / sqrt 2)), with erf to 1.5e-7 (Abramowitz and Stegun 1964, 7.1.26): the
// library's own is not made for vectors.
void activate(float* x, int count) {
#pragma omp simd
  for (int i = 0; i < count; ++i) {
    const float z = std::fabs(x[i]) * 0.70710678f;
    const float t = 1.0f / (1.0f + 0.3275911f * z);
    const float series =
        t * (0.254829592f +
             t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const float tail = 0.5f * series * exponential(-z * z);  // of the normal distribution
    x[i] *= x[i] < 0 ? tail : 1.0f - tail;
  }
}

// One head: query [head], keys and values [length, head] -> mixed [head].
template <class Stored>
void attend(const float* query, const Stored* keys, const Stored* values, int length, int head,
            float* scores, float* mixed) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(head));
  int n = 0;
  if (head % kLanes == 0) {
    // Many keys at once: their sums are folded together, in place of a reduction for each.
    for (; n + kLanes <= length; n += kLanes) {
      Floats totals[kLanes] = {};
      fetch(keys + static_cast<size_t>(n + kPositionsAhead) * head, kLanes * head * sizeof(Stored));
      for (int i = 0; i < head; i += kLanes) {
        const Floats asked = load(query + i);
        UNROLL16 for (int k = 0; k < kLanes; ++k)
          totals[k] += asked * load(keys + static_cast<size_t>(n + k) * head + i);
      }
      const Floats found = sums_of(totals) * scale;
      std::memcpy(scores + n, &found, sizeof found);
    }
  }
  for (; n < length; ++n) {
    const Stored* key = keys + static_cast<size_t>(n) * head;
    Floats total = {};
    int i = 0;
    for (; i + kLanes <= head; i += kLanes) total += load(query + i) * load(key + i);
    float score = sum(total);
    for (; i < head; ++i) score += query[i] * value_of(key[i]);
    scores[n] = score * scale;
  }
  const float largest = *std::max_element(scores, scores + length);
  float whole = 0;
#pragma omp simd reduction(+ : whole)
  for (int n = 0; n < length; ++n) {
    scores[n] = exponential(scores[n] - largest);
    whole += scores[n];
  }
  const float share = 1.0f / whole;
  int i = 0;
  for (; i + 4 * kLanes <= head; i += 4 * kLanes) {
    Floats totals[4] = {};
    for (int n = 0; n < length; ++n) {
      fetch(values + static_cast<size_t>(n + kPositionsAhead) * head + i,
            4 * kLanes * sizeof(Stored));
      for (int j = 0; j < 4; ++j)
        totals[j] += scores[n] * load(values + static_cast<size_t>(n) * head + i + j * kLanes);
    }
    for (int j = 0; j < 4; ++j) {
      const Floats shared = totals[j] * share;
      std::memcpy(mixed + i + j * kLanes, &shared, sizeof shared);
    }
  }
  for (; i < head; ++i) {
    float total = 0;
    for (int n = 0; n < length; ++n)
      total += scores[n] * value_of(values[static_cast<size_t>(n) * head + i]);
    mixed[i] = total * share;
  }
}

void attend_head(const Cache& cache, int layer, int index, const float* query, int length, int head,
                 float* scores, float* mixed) {
  const size_t start = static_cast<size_t>(index) * cache.positions * head;
  if (cache.format == kBfloat16) {
    attend(query, static_cast<const uint16_t*>(cache.keys[layer]) + start,
           static_cast<const uint16_t*>(cache.values[layer]) + start, length, head, scores, mixed);
  } else {
    attend(query, static_cast<const float*>(cache.keys[layer]) + start,
           static_cast<const float*>(cache.values[layer]) + start, length, head, scores, mixed);
  }
}

void store(const Cache& cache, void* buffer, int index, int position, const float* x, int head) {
  const size_t start = (static_cast<size_t>(index) * cache.positions + position) * head;
  if (cache.format == kBfloat16) {
    uint16_t* out = static_cast<uint16_t*>(buffer) + start;
    for (int i = 0; i < head; ++i) out[i] = to_bfloat16(x[i]);
  } else {
    std::memcpy(static_cast<float*>(buffer) + start, x, sizeof(float) * head);
  }
}

struct Span {
  int first, end;
};

Span part(int count, int unit, int index, int parts) {
  const int units = (count + unit - 1) / unit;
  const int first = static_cast<int>(static_cast<int64_t>(units) * index / parts) * unit;
  const int end = static_cast<int>(static_cast<int64_t>(units) * (index + 1) / parts) * unit;
  return {std::min(first, count), std::min(end, count)};
}

// What the threads of a step share.
struct Work {
  std::vector<float> x, normed, fused, mixed, hidden, change;
};

struct Step {
  const Decoder& decoder;
  const Cache& self;
  const Cache* cross;
  const int* cross_lengths;
  int rows, position;
  Work& work;
  float* logits;

  void barrier() const {
#ifdef _OPENMP
#pragma omp barrier
#endif
  }

  void linear(const Matrix& m, const float* x, float* y, int thread, int threads) const {
    const Span outs = part(m.out, kOutBlock, thread, threads);
    multiply(m, outs.first, outs.end, x, rows, y);
    barrier();
  }

  // x += change, and its norm; by one thread, since it is a few kilobytes.
  void add_and_normalise(const Norm& norm, bool adds, int thread) const {
    if (thread == 0) {
      const int count = rows * decoder.width;
      if (adds)
        for (int i = 0; i < count; ++i) work.x[i] += work.change[i];
      normalise(norm, decoder.epsilon, work.x.data(), rows, decoder.width, work.normed.data());
    }
    barrier();
  }

  void self_attention(int layer, int thread, int threads) const {
    const int head = decoder.width / decoder.heads;
    const Span pairs = part(rows * decoder.heads, 1, thread, threads);
    std::vector<float> scores(position + 1);
    for (int index = pairs.first; index < pairs.end; ++index) {
      const int row = index / decoder.heads, number = index % decoder.heads;
      const float* fused = work.fused.data() + static_cast<size_t>(row) * 3 * decoder.width;
      const float* query = fused + number * head;
      store(self, self.keys[layer], index, position, query + decoder.width, head);
      store(self, self.values[layer], index, position, query + 2 * decoder.width, head);
      attend_head(self, layer, index, query, position + 1, head, scores.data(),
                  work.mixed.data() + static_cast<size_t>(index) * head);
    }
    barrier();
  }

  void cross_attention(int layer, int thread, int threads) const {
    const int head = decoder.width / decoder.heads;
    const Span pairs = part(rows * decoder.heads, 1, thread, threads);
    std::vector<float> scores(cross->positions);
    for (int index = pairs.first; index < pairs.end; ++index) {
      const int length = cross_lengths[index / decoder.heads];
      float* mixed = work.mixed.data() + static_cast<size_t>(index) * head;
      if (length == 0)
        std::fill(mixed, mixed + head, 0.0f);
      else
        attend_head(*cross, layer, index, work.fused.data() + static_cast<size_t>(index) * head,
                    length, head, scores.data(), mixed);
    }
    barrier();
  }

  void run(int thread, int threads) const {
    for (int l = 0; l < decoder.num_layers; ++l) {
      const Layer& layer = decoder.layers[l];
      add_and_normalise(layer.norms[kSelfNorm], l > 0, thread);
      linear(layer.matrices[kQkv], work.normed.data(), work.fused.data(), thread, threads);
      self_attention(l, thread, threads);
      linear(layer.matrices[kSelfOut], work.mixed.data(), work.change.data(), thread, threads);
      if (decoder.has_cross && cross != nullptr) {
        add_and_normalise(layer.norms[kCrossNorm], true, thread);
        linear(layer.matrices[kCrossQuery], work.normed.data(), work.fused.data(), thread, threads);
        cross_attention(l, thread, threads);
        linear(layer.matrices[kCrossOut], work.mixed.data(), work.change.data(), thread, threads);
      }
      add_and_normalise(layer.norms[kForwardNorm], true, thread);
      const Matrix& up = layer.matrices[kUp];
      const Span outs = part(up.out, kOutBlock, thread, threads);
      multiply(up, outs.first, outs.end, work.normed.data(), rows, work.hidden.data());
      for (int r = 0; r < rows; ++r)
        activate(work.hidden.data() + static_cast<size_t>(r) * up.out + outs.first,
                 outs.end - outs.first);
      barrier();
      linear(layer.matrices[kDown], work.hidden.data(), work.change.data(), thread, threads);
    }
    add_and_normalise(decoder.final_norm, true, thread);
    linear(decoder.output, work.normed.data(), logits, thread, threads);
  }
};

}  // namespace

extern "C" {

// `x` [rows, width] is the sum of the position's embeddings; `logits` [rows, decoder.output.out].
// The caches are written and read at `position`; cross and cross_lengths may be null.
void mgrt_decoder_step(const Decoder* decoder, const Cache* self, const Cache* cross,
                       const int* cross_lengths, int rows, int position, int threads,
                       const float* x, float* logits) {
  static thread_local Work work;
  const size_t size = static_cast<size_t>(rows) * decoder->width;
  work.x.assign(x, x + size);
  work.normed.resize(size);
  work.mixed.resize(size);
  work.change.resize(size);
  work.fused.resize(3 * size);
  work.hidden.resize(static_cast<size_t>(rows) * decoder->hidden);
  const Step step{*decoder, *self, cross, cross_lengths, rows, position, work, logits};
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    step.run(omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  step.run(0, 1);
}

// Sizes of the structures, so that a caller that lays them out otherwise is noticed.
int mgrt_decoder_sizes(int which) {
  const int sizes[] = {sizeof(Matrix), sizeof(Norm), sizeof(Layer), sizeof(Decoder), sizeof(Cache)};
  return which >= 0 && which < 5 ? sizes[which] : -1;
}
}
