#include "aie/sim/program/kernel_table.h"

#include <cmath>
#include <stdexcept>
#include <utility>

#include "aie/kernels/host/kernels.h"

namespace jax_npu::sim {
namespace {

using Arguments = std::vector<KernelArgument>;

// Rows and columns of a matrix, or of one in blocks: [rows/r][cols/s][r][s].
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
  const auto [b_rows, b_columns] = MatrixShape(arguments[1], "bf16");
  if (rows != m || b_rows * b_columns != k * n) {
    throw std::invalid_argument("the kernel's operands do not fit each other");
  }
  return {m, k, n};
}

AieArithmetic ArithmeticOf(const std::string& name, int generation) {
  constexpr int kAie2p = 4;
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

}  // namespace

KernelTable BuiltInKernels(const Configuration& configuration,
                           const KernelOptions& options) {
  const auto parameter = [&](const std::string& name) {
    return configuration.Parameter(name);
  };
  const AieKernels& host = *aie_kernels(nullptr);
  AieMatmul call = {};
  call.mmul_size = static_cast<int>(parameter("mmul_r"));
  call.arithmetic =
      ArithmeticOf(options.arithmetic, static_cast<int>(parameter("generation")));
  call.b_col_major = options.b_column_major;

  const bool bfp16 = call.arithmetic == kAieBfp16 || call.arithmetic == kAieBfp16Floor;
  const std::string path = bfp16 ? "time.matmul_bfp16_" : "time.matmul_exact_";
  const double per_mkn = parameter(path + "mkn"), per_mn = parameter(path + "mn");
  const double per_zero_byte = parameter("time.zero_byte");
  const double per_converted = parameter("time.convert_element");

  KernelTable table;
  for (const bool bf16_out : {false, true}) {
    Kernel& matmul = table[bf16_out ? "matmul_bf16_bf16" : "matmul_bf16_f32"];
    matmul.accesses = {Access::kRead, Access::kRead, Access::kReadWrite};
    call.bf16_out = bf16_out;
    matmul.run = [&host, call](const Arguments& arguments) {
      const Sizes sizes = MatmulSizes(arguments, call.bf16_out);
      AieMatmul sized = call;
      sized.m = sizes.m;
      sized.k = sizes.k;
      sized.n = sizes.n;
      const char* error =
          host.matmul(&sized, arguments[0].data, arguments[1].data, arguments[2].data);
      if (error != nullptr) throw std::invalid_argument(error);
    };
    matmul.cycles = [per_mkn, per_mn, bf16_out](const Arguments& arguments) {
      const auto [m, k, n] = MatmulSizes(arguments, bf16_out);
      return Rounded(per_mn * m * n + per_mkn * m * k * n);
    };
    matmul.macs = [bf16_out](const Arguments& arguments) {
      const auto [m, k, n] = MatmulSizes(arguments, bf16_out);
      return m * k * n;
    };

    Kernel& zero = table[bf16_out ? "zero_bf16" : "zero_f32"];
    zero.accesses = {Access::kWrite};
    zero.run = [&host, bf16_out](const Arguments& arguments) {
      const int64_t element_bytes = bf16_out ? 2 : 4;
      host.zero(bf16_out, arguments[0].bytes / element_bytes, arguments[0].data);
    };
    zero.cycles = [per_zero_byte](const Arguments& arguments) {
      return Rounded(per_zero_byte * arguments[0].bytes);
    };
  }
  Kernel& convert = table["convert_f32_bf16"];
  convert.accesses = {Access::kRead, Access::kWrite};
  convert.run = [&host](const Arguments& arguments) {
    const int64_t size = arguments[0].bytes / 4;
    if (arguments[1].bytes < 2 * size) {
      throw std::invalid_argument("the bf16 result is smaller than its f32 source");
    }
    host.convert(true, size, static_cast<const float*>(arguments[0].data),
                 arguments[1].data);
  };
  convert.cycles = [per_converted](const Arguments& arguments) {
    return Rounded(per_converted * arguments[0].bytes / 4);
  };
  return table;
}

}  // namespace jax_npu::sim
