#include "kernel.hpp"

#include <algorithm>
#include <cstring>

namespace himeno {
namespace {

constexpr Size all_sizes[] = {{"XS", 33, 33, 65},
                              {"S", 65, 65, 129},
                              {"M", 129, 129, 257},
                              {"L", 257, 257, 513},
                              {"XL", 513, 513, 1025}};

constexpr float omega = 0.8F;

float* row(const Size& size, Field field, int i, int j) {
  return field.data + static_cast<std::size_t>(i - field.first_plane) * size.plane() +
         static_cast<std::size_t>(j) * static_cast<std::size_t>(size.columns);
}

float constant_of(Array array) {
  switch (array) {
    case a0:
    case a1:
    case a2:
    case c0:
    case c1:
    case c2:
    case bnd:
      return 1.0F;
    case a3:
      return 1.0F / 6.0F;
    default:
      return 0.0F;
  }
}

// One row. The twelve streams, the nine rows of p around it and the target never overlap; the sum
// is declared a reduction, so the compiler may keep one double a lane: an ordinary loop would be
// bound by the latency of one addition a point.
double sweep_row(const Size& size, const Fields& f, int i, int j) {
  const auto at = [&](Array array) { return row(size, f[array], i, j); };
  const float* __restrict ca0 = at(a0);
  const float* __restrict ca1 = at(a1);
  const float* __restrict ca2 = at(a2);
  const float* __restrict ca3 = at(a3);
  const float* __restrict cb0 = at(b0);
  const float* __restrict cb1 = at(b1);
  const float* __restrict cb2 = at(b2);
  const float* __restrict cc0 = at(c0);
  const float* __restrict cc1 = at(c1);
  const float* __restrict cc2 = at(c2);
  const float* __restrict bound = at(bnd);
  const float* __restrict source = at(wrk1);
  float* __restrict target = at(wrk2);

  // p around the point: plane below, same, above (-, none, +), row before, same, after (m, 0, p).
  const float* below_m = row(size, f[p], i - 1, j - 1);
  const float* below_0 = row(size, f[p], i - 1, j);
  const float* below_p = row(size, f[p], i - 1, j + 1);
  const float* here_m = row(size, f[p], i, j - 1);
  const float* here_0 = row(size, f[p], i, j);
  const float* here_p = row(size, f[p], i, j + 1);
  const float* above_m = row(size, f[p], i + 1, j - 1);
  const float* above_0 = row(size, f[p], i + 1, j);
  const float* above_p = row(size, f[p], i + 1, j + 1);

  double gosa = 0;
  const int last = size.columns - 2;
#pragma omp simd reduction(+ : gosa)
  for (int k = 1; k < last; ++k) {
    const float s0 = ca0[k] * above_0[k] + ca1[k] * here_p[k] + ca2[k] * here_0[k + 1] +
                     cb0[k] * (above_p[k] - above_m[k] - below_p[k] + below_m[k]) +
                     cb1[k] * (here_p[k + 1] - here_m[k + 1] - here_p[k - 1] + here_m[k - 1]) +
                     cb2[k] * (above_0[k + 1] - below_0[k + 1] - above_0[k - 1] + below_0[k - 1]) +
                     cc0[k] * below_0[k] + cc1[k] * here_m[k] + cc2[k] * here_0[k - 1] + source[k];
    const float ss = (s0 * ca3[k] - here_0[k]) * bound[k];
    gosa += static_cast<double>(ss * ss);
    target[k] = here_0[k] + omega * ss;
  }
  return gosa;
}

}  // namespace

std::span<const Size> sizes() {
  return all_sizes;
}

Share share_of(const Size& size, int part, int parts) {
  const auto cut = [&](int n) {
    return 1 + static_cast<int>(static_cast<long>(size.interior_planes()) * n / parts);
  };
  Share share;
  share.interior = {cut(part), cut(part + 1)};
  share.owned = {part == 0 ? 0 : share.interior.first,
                 part == parts - 1 ? size.planes : share.interior.last};
  return share;
}

void initialise(const Size& size, Array array, Field field, Planes planes) {
  const std::size_t plane = size.plane();
  for (int i = planes.first; i < planes.last; ++i) {
    float* start = row(size, field, i, 0);
    if (array != p) {
      std::fill(start, start + plane, constant_of(array));
      continue;
    }
    // i^2 / (I-2)^2 up to the last-but-one plane, row and column, zero beyond.
    const float last = static_cast<float>(size.planes - 2);
    const float value = i < size.planes - 1 ? static_cast<float>(i * i) / (last * last) : 0.0F;
    std::fill(start, start + plane, 0.0F);
    for (int j = 0; j < size.rows - 1; ++j)
      std::fill_n(row(size, field, i, j), size.columns - 1, value);
  }
}

double sweep(const Size& size, const Fields& fields, Planes planes) {
  double gosa = 0;
  for (int i = planes.first; i < planes.last; ++i) {
    for (int j = 1; j < size.rows - 2; ++j) gosa += sweep_row(size, fields, i, j);
  }
  return gosa;
}

void copy_back(const Size& size, const Fields& fields, Planes planes) {
  const std::size_t bytes = static_cast<std::size_t>(size.columns - 3) * sizeof(float);
  for (int i = planes.first; i < planes.last; ++i) {
    for (int j = 1; j < size.rows - 2; ++j) {
      std::memcpy(row(size, fields[p], i, j) + 1, row(size, fields[wrk2], i, j) + 1, bytes);
    }
  }
}

}  // namespace himeno
