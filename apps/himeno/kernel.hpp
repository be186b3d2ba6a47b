// The Himeno benchmark's arithmetic: a 19-point Jacobi sweep for the pressure p of a
// three-dimensional Poisson equation, on fourteen float arrays. One object file, compiled once, is
// linked into every version of the program (sequential, OpenMP, MPI and shared memory across
// nodes), so that they differ only in who holds which planes and in how they meet.
//
// Arrays are I x J x K (planes, rows, columns), the last index contiguous, rows without padding.
// Only the interior points 1..I-3, 1..J-3, 1..K-3 are computed. What a point of p becomes depends
// on the old p alone, so p has the same bits however the planes are divided; the residual's last
// bits depend on the order of addition.
//
// Threads: functions touch only the planes they are given (and read p one plane further); disjoint
// planes are independent.
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace himeno {

struct Size {
  const char* name;
  int planes;   // I
  int rows;     // J
  int columns;  // K

  std::size_t plane() const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  }
  std::size_t points() const { return static_cast<std::size_t>(planes) * plane(); }
  int interior_planes() const { return planes - 3; }
  double interior_points() const {
    return double(planes - 3) * double(rows - 3) * double(columns - 3);
  }
};

// XS, S, M, L, XL.
std::span<const Size> sizes();

inline constexpr double operations_per_point = 34;

// Planes [first, last).
struct Planes {
  int first = 0;
  int last = 0;

  int count() const { return last - first; }
};

// Part `part` of `parts` equal ones: `interior` is what it computes, `owned` what it initialises
// and holds: the same and, at the two ends, the boundary. REQUIRES: parts <=
// size.interior_planes().
struct Share {
  Planes interior;
  Planes owned;
};
Share share_of(const Size& size, int part, int parts);

enum Array { a0, a1, a2, a3, b0, b1, b2, c0, c1, c2, p, bnd, wrk1, wrk2, arrays };

// The planes of one array that a process can reach, from `first_plane` on. Does not own them.
struct Field {
  float* data = nullptr;
  int first_plane = 0;
};
using Fields = std::array<Field, arrays>;

// Gives the planes of one array their values of iteration 0. Also their first touch, so the one who
// computes them calls it.
void initialise(const Size& size, Array array, Field field, Planes planes);

// One sweep: wrk2 from p and the coefficients on the interior of `planes`, which reads p from
// planes.first - 1 to planes.last. Returns gosa, the sum of the squared residuals, added up in
// double.
double sweep(const Size& size, const Fields& fields, Planes planes);

// p from wrk2 on the interior of `planes`.
void copy_back(const Size& size, const Fields& fields, Planes planes);

}  // namespace himeno
