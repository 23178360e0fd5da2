#include "aie/sim/program/kernel_table.h"

#include <cmath>
#include <stdexcept>
#include <utility>

#include "aie/kernels/host/kernels.h"
#include "aie/sim/program/element_sizes.h"
#include "aie/sim/program/zero_product.h"

namespace jax_npu::sim {
namespace {

using Arguments = std::vector<KernelArgument>;

constexpr int kAie2p = 4;  // npu2's generation

// Rows and columns of a matrix, plain or in blocks: [rows/r][cols/s][r][s].
std::pair<int64_t, int64_t> MatrixShape(const KernelArgument& argument,
                                        const std::string& element) {
  if (argument.type == nullptr || argument.type->element != element) {
    throw std::invalid_argument("the kernel takes a buffer of " + element + " here");
  }
  const auto& shape = argument.type->shape;
  if (shape.size() == 2) return {shape[0], shape[1]};
  if (shape.size() == 4) return {shape[0] * shape[2], shape[1] * shape[3]};
  throw std::invalid_argument(
      "the kernel takes matrices, of two dimensions or of four in blocks");
}

struct Sizes {
  int64_t m, k, n;
};

Sizes MatmulSizes(const Arguments& arguments, bool bf16_out) {
  const auto [m, k] = MatrixShape(arguments[0], "bf16");
  const auto [rows, n] = MatrixShape(arguments[2], bf16_out ? "bf16" : "f32");
  // B may be column-major, so only its number of elements is compared.
  const auto [b_rows, b_columns] = MatrixShape(arguments[1], "bf16");
  if (rows != m || b_rows * b_columns != k * n) {
    throw std::invalid_argument("the kernel's operands do not fit each other");
  }
  return {m, k, n};
}

// The integer that the kernel takes here, in [0, end).
int64_t Scalar(const KernelArgument& argument, const std::string& name, int64_t end) {
  if (argument.type != nullptr) {
    throw std::invalid_argument("the kernel takes an integer, " + name +
                                ", and got a buffer");
  }
  if (argument.scalar < 0 || argument.scalar >= end) {
    throw std::invalid_argument(name + " must be in 0 to " + std::to_string(end - 1) +
                                ", got " + std::to_string(argument.scalar));
  }
  return argument.scalar;
}

AieArithmetic ArithmeticOf(const std::string& name, int generation) {
  if (name == "exact") return generation == kAie2p ? kAieSequential : kAieExact;
  if (name == "fast") return kAieFast;
  if (name != "bfp16" && name != "bfp16_floor") {
    throw std::invalid_argument(
        "arithmetic must be exact, bfp16, bfp16_floor or fast, got '" + name + "'");
  }
  if (generation != kAie2p) {
    throw std::invalid_argument("arithmetic " + name +
                                " is npu2's; npu1 has exact and fast");
  }
  return name == "bfp16" ? kAieBfp16 : kAieBfp16Floor;
}

int64_t Rounded(double cycles) { return std::llround(cycles); }

// Cycles of the kernels, from the configuration.
struct KernelTimes {
  KernelTimes(const Configuration& configuration, int arithmetic) {
    const bool is_bfp16 = arithmetic == kAieBfp16 || arithmetic == kAieBfp16Floor;
    const std::string path = is_bfp16 ? "time.matmul_bfp16_" : "time.matmul_exact_";
    matmul_mkn = configuration.Parameter(path + "mkn");
    matmul_mn = configuration.Parameter(path + "mn");
    zero_byte = configuration.Parameter("time.zero_byte");
    convert_element = configuration.Parameter("time.convert_element");
  }

  double matmul_mkn;       // for each multiply-accumulate
  double matmul_mn;        // for each element of C in f32; in bf16 it takes half
  double zero_byte;        // for each byte
  double convert_element;  // for each element
};

using SizesOf = std::function<Sizes(const Arguments&)>;

// A kernel that multiplies, without its `run`.
Kernel Product(const KernelTimes& times, const SizesOf& sizes_of,
               bool bf16_out = false) {
  Kernel kernel;
  kernel.accesses = {Access::kRead, Access::kRead, Access::kReadWrite};
  const double mn = bf16_out ? times.matmul_mn / 2 : times.matmul_mn;
  kernel.cycles = [mn, mkn = times.matmul_mkn, sizes_of](const Arguments& arguments) {
    const auto [m, k, n] = sizes_of(arguments);
    return Rounded(mn * m * n + mkn * m * k * n);
  };
  kernel.macs = [sizes_of](const Arguments& arguments) {
    const auto [m, k, n] = sizes_of(arguments);
    return m * k * n;
  };
  return kernel;
}

void Multiply(const AieKernels& host, AieMatmul call, const Sizes& sizes,
              const Arguments& arguments, void* c) {
  call.m = sizes.m;
  call.k = sizes.k;
  call.n = sizes.n;
  const int64_t c_words = call.m * call.n / (call.bf16_out ? 2 : 1);
  if (call.is_first) host.zero(false, c_words, c);
  if (AddsNothing(arguments[0].data, sizes.m * sizes.k, arguments[1].data,
                  sizes.k * sizes.n, c, c_words)) {
    return;
  }
  if (call.in_tiles) {
    call.k =
        KWithoutZeroTail(arguments[0].data, call.m, arguments[1].data, call.n, call.k);
  }
  const char* error = host.matmul(&call, arguments[0].data, arguments[1].data, c);
  if (error != nullptr) throw std::invalid_argument(error);
}

// C += A B; arguments A, B and C.
Kernel Matmul(const AieKernels& host, AieMatmul call, const KernelTimes& times,
              bool bf16_out) {
  call.bf16_out = bf16_out;
  const SizesOf sizes_of = [bf16_out](const Arguments& arguments) {
    return MatmulSizes(arguments, bf16_out);
  };
  Kernel kernel = Product(times, sizes_of, bf16_out);
  kernel.run = [&host, call, sizes_of](const Arguments& arguments) {
    Multiply(host, call, sizes_of(arguments), arguments, arguments[2].data);
  };
  return kernel;
}

// The flags of matmul_tiles_bf16_f32.
constexpr int64_t kATransposed = 1, kBTransposed = 2, kBeginsC = 4;

// C += A B with A and B in tiles, or C = A B; arguments A, B, C and the flags.
Kernel MatmulTiles(const AieKernels& host, AieMatmul call, const KernelTimes& times) {
  call.in_tiles = true;
  const SizesOf sizes_of = [](const Arguments& arguments) {
    return MatmulSizes(arguments, false);
  };
  Kernel kernel = Product(times, sizes_of);
  kernel.accesses.push_back(Access::kNone);
  kernel.overwrites = [](const Arguments& arguments) {
    return (arguments[3].scalar & kBeginsC) != 0;
  };
  kernel.run = [&host, call, sizes_of](const Arguments& arguments) {
    constexpr int64_t kAll = kATransposed | kBTransposed | kBeginsC;
    const int64_t flags = Scalar(arguments[3], "the flags", kAll + 1);
    AieMatmul flagged = call;
    flagged.a_transposed = (flags & kATransposed) != 0;
    flagged.b_transposed = (flags & kBTransposed) != 0;
    flagged.is_first = (flags & kBeginsC) != 0;
    Multiply(host, flagged, sizes_of(arguments), arguments, arguments[2].data);
  };
  return kernel;
}

// C = 0; argument C.
Kernel Zero(const AieKernels& host, const KernelTimes& times, bool is_bf16) {
  Kernel kernel;
  kernel.accesses = {Access::kWrite};
  kernel.run = [&host, is_bf16](const Arguments& arguments) {
    const int64_t element_bytes = is_bf16 ? kBf16Bytes : kF32Bytes;
    host.zero(is_bf16, arguments[0].bytes / element_bytes, arguments[0].data);
  };
  kernel.cycles = [times](const Arguments& arguments) {
    return Rounded(times.zero_byte * arguments[0].bytes);
  };
  return kernel;
}

// C = bf16(sums); arguments sums and C.
Kernel Convert(const AieKernels& host, const KernelTimes& times) {
  Kernel kernel;
  kernel.accesses = {Access::kRead, Access::kWrite};
  kernel.run = [&host](const Arguments& arguments) {
    const int64_t size = arguments[0].bytes / kF32Bytes;
    if (arguments[1].bytes < kBf16Bytes * size) {
      throw std::invalid_argument("the bf16 result is smaller than its f32 source");
    }
    host.convert(true, size, static_cast<const float*>(arguments[0].data),
                 arguments[1].data);
  };
  kernel.cycles = [times](const Arguments& arguments) {
    return Rounded(times.convert_element * arguments[0].bytes / kF32Bytes);
  };
  return kernel;
}

}  // namespace

KernelTable BuiltInKernels(const Configuration& configuration,
                           const KernelOptions& options) {
  const AieKernels& host = *aie_kernels(nullptr);
  const int generation = static_cast<int>(configuration.Parameter("generation"));
  AieMatmul call = {};
  call.mmul_size = static_cast<int>(configuration.Parameter("mmul_r"));
  call.arithmetic = ArithmeticOf(options.arithmetic, generation);
  call.b_col_major = options.b_column_major;
  const KernelTimes times(configuration, call.arithmetic);
  return {
      {"matmul_bf16_f32", Matmul(host, call, times, false)},
      {"matmul_bf16_bf16", Matmul(host, call, times, true)},
      {"matmul_tiles_bf16_f32", MatmulTiles(host, call, times)},
      {"zero_f32", Zero(host, times, false)},
      {"zero_bf16", Zero(host, times, true)},
      {"convert_f32_bf16", Convert(host, times)},
  };
}

}  // namespace jax_npu::sim
