// A GEMM through packing, driver and virtual NPU, without JAX:
//
//   npu_gemm_main DESIGN PLAN THREADS REPEATS
//
// PLAN holds m, k and n, the numbers of an NpuPlan and of its runs, the words of all
// runs, and the same for the self-test. Every thread repeatedly multiplies matrices of
// small whole numbers, whose products are exact. If a result is wrong, the program
// prints one line and exits with 1; else it prints "right" and the counts of events.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <future>
#include <istream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "xla_ffi/base/contraction.h"
#include "xla_ffi/base/npu_events.h"
#include "xla_ffi/driver/driver.h"
#include "xla_ffi/npu/gemm.h"

namespace {

using jax_npu::Axis;
using jax_npu::DType;

struct Problem {
  int64_t m, k, n;
  jax_npu::NpuPlan plan;
  std::vector<uint32_t> words;
  std::shared_ptr<const jax_npu::SelfTest> self_test;
};

jax_npu::NpuPlan ReadPlan(std::istream& file, std::vector<uint32_t>& words) {
  jax_npu::NpuPlan plan;
  size_t num_runs, num_words = 0;
  int64_t image_tile;
  file >> plan.block_m >> plan.block_n >> plan.padded_k >> plan.m_multiple >>
      plan.n_multiple >> image_tile >> plan.a.k_is_rows >> plan.b.k_is_rows >>
      plan.swapped >> num_runs;
  plan.a.is_tiled = plan.b.is_tiled = image_tile != 0;
  for (size_t i = 0; i < num_runs; ++i) {
    jax_npu::NpuRun run;
    for (int64_t& x : run.start) file >> x;
    for (int64_t& x : run.grid) file >> x;
    file >> run.num_words;
    num_words += run.num_words;
    plan.runs.push_back(run);
  }
  words.resize(num_words);
  for (uint32_t& word : words) file >> word;
  return plan;
}

Problem ReadProblem(const char* path) {
  std::ifstream file(path);
  Problem p;
  file >> p.m >> p.k >> p.n;
  p.plan = ReadPlan(file, p.words);
  std::vector<uint32_t> words;
  const jax_npu::NpuPlan plan = ReadPlan(file, words);
  if (!file) throw std::runtime_error("the plan is not complete");
  const int64_t* grid = plan.runs.at(0).grid;
  p.self_test = std::make_shared<const jax_npu::SelfTest>(jax_npu::SelfTest{
      {grid[1] * plan.block_m, plan.padded_k, grid[2] * plan.block_n, plan.a, plan.b},
      words,
      jax_npu::NpuArithmetic::kF32});
  return p;
}

std::vector<float> RandomMatrix(int64_t size, std::mt19937& random) {
  std::uniform_int_distribution<int> digits(-4, 4);
  std::vector<float> matrix(size);
  for (float& x : matrix) x = static_cast<float>(digits(random));
  return matrix;
}

std::atomic<int64_t> latest_value{0};

std::string Multiply(jax_npu::Driver& driver, const Problem& p, std::mt19937& random) {
  const auto a = RandomMatrix(p.m * p.k, random), b = RandomMatrix(p.k * p.n, random);
  std::vector<float> c(p.m * p.n, NAN);
  const Axis m = {p.m, p.k, 0, p.n}, k = {p.k, 1, p.n, 0}, n = {p.n, 0, 1, 1};
  const jax_npu::Contraction contraction =
      jax_npu::Expand(jax_npu::Axes{{}, {m}, {k}, {n}});
  std::promise<void> result;
  jax_npu::NpuGemm(
      driver,
      {p.plan,
       p.words,
       contraction,
       {{0, 0}},
       {a.data(), DType::kF32},
       {b.data(), DType::kF32},
       ++latest_value,
       ++latest_value,
       0,  // the execution
       {c.data(), DType::kF32},
       {jax_npu::CheckMode::kAlways, true, jax_npu::NpuArithmetic::kF32, p.self_test},
       0,
       "sim"},
      jax_npu::kSerialLoop, [&](std::exception_ptr error) {
        if (error) return result.set_exception(error);
        result.set_value();
      });
  result.get_future().get();
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      float sum = 0;
      for (int64_t l = 0; l < p.k; ++l) sum += a[i * p.k + l] * b[l * p.n + j];
      if (c[i * p.n + j] != sum) {
        return "element (" + std::to_string(i) + ", " + std::to_string(j) + ") is " +
               std::to_string(c[i * p.n + j]) + ", not " + std::to_string(sum);
      }
    }
  }
  return "";
}

std::string Run(const Problem& problem, const char* design, int seed, int repeats) {
  try {
    std::mt19937 random(seed);
    for (int i = 0; i < repeats; ++i) {
      const std::string wrong = Multiply(*jax_npu_open_driver(design), problem, random);
      if (!wrong.empty()) return wrong;
    }
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

int main(int, char** arguments) {
  const Problem problem = ReadProblem(arguments[2]);
  const int num_threads = std::atoi(arguments[3]), repeats = std::atoi(arguments[4]);
  std::vector<std::string> wrong(num_threads);
  std::vector<std::thread> threads;
  for (int i = 0; i < num_threads; ++i) {
    threads.emplace_back([&, i] { wrong[i] = Run(problem, arguments[1], i, repeats); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : wrong) {
    if (text.empty()) continue;
    std::printf("%s\n", text.c_str());
    return 1;
  }
  std::printf("right\n%s\n", jax_npu_events());
  return 0;
}
