#include "aie/sim/xrt/process.h"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>

#include "aie/sim/xrt/faults.h"

namespace jax_npu::sim {
namespace {

constexpr int kMaxContextsOfProcess = 2;              // those that compute right
constexpr int kNpu1Contexts = 6, kNpu2Contexts = 16;  // for all processes together

std::string Environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

void WriteTraceAtExit();

struct Hold {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_on = false;
};

Hold& TheHold() {
  static Hold& hold = *new Hold;  // never destroyed, like the process
  return hold;
}

struct Process {
  Process() {
    const std::string checks = Environment("JAX_NPU_SIM_CHECKS", "on");
    if (checks != "on" && checks != "off") {
      std::fprintf(stderr, "jax-npu: JAX_NPU_SIM_CHECKS must be on or off, got %s\n",
                   checks.c_str());
    }
    checks_on = checks != "off";
    const std::string paced = Environment("JAX_NPU_SIM_PACED", "0");
    if (paced != "0" && paced != "1") {
      std::fprintf(stderr, "jax-npu: JAX_NPU_SIM_PACED must be 0 or 1, got %s\n",
                   paced.c_str());
    }
    is_paced = paced == "1";
    trace_path = Environment("JAX_NPU_SIM_TRACE", "");
    if (trace_path.empty()) return;
    is_tracing = true;
    std::atexit(WriteTraceAtExit);
  }

  std::mutex mutex;
  bool checks_on, is_paced, is_tracing = false;
  std::string trace_path;
  Report report;
  std::shared_ptr<VirtualNpu> latest_array;
  int num_contexts = 0, num_other_contexts = 0;
};

// Never destroyed: threads may still run when the process ends.
Process& TheProcess() {
  static Process& process = *new Process;
  return process;
}

void WriteTraceAtExit() {
  const char* json = jax_npu_sim_trace();
  if (json == nullptr) return;
  const std::string& path = TheProcess().trace_path;
  std::FILE* file = std::fopen(path.c_str(), "w");
  const bool written = file != nullptr && std::fputs(json, file) >= 0;
  if (file == nullptr || std::fclose(file) != 0 || !written) {
    std::fprintf(stderr, "jax-npu: the trace cannot be written to %s\n", path.c_str());
  }
}

}  // namespace

bool ChecksAreOn() {
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  return TheProcess().checks_on;
}

bool IsPaced() { return TheProcess().is_paced; }

KernelOptions KernelOptionsOfProcess() {
  KernelOptions options;
  options.arithmetic = Environment("JAX_NPU_SIM_ARITHMETIC", "exact");
  return options;
}

std::mutex& ArrayMutex() { return TheProcess().mutex; }

void AddToReport(const Report& run) { TheProcess().report.Add(run); }

void AddToTrace(const std::shared_ptr<VirtualNpu>& array) {
  TheProcess().latest_array = array;
  if (TheProcess().is_tracing) array->StartTrace();
}

void WaitWhileHeld() {
  Hold& hold = TheHold();
  std::unique_lock<std::mutex> lock(hold.mutex);
  hold.changed.wait(lock, [&hold] { return !hold.is_on; });
}

ContextSlot::ContextSlot(const Configuration& design) {
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  Process& process = TheProcess();
  const bool is_npu2 = design.device.rfind("npu2", 0) == 0;
  const int limit = is_npu2 ? kNpu2Contexts : kNpu1Contexts;
  if (process.num_contexts + process.num_other_contexts >= limit) {
    throw std::runtime_error("all " + std::to_string(limit) + " contexts of " +
                             design.device +
                             " are taken; close a program that uses the NPU");
  }
  is_one_too_many_ = process.num_contexts >= kMaxContextsOfProcess;
  if (is_one_too_many_ && process.checks_on) {
    throw std::runtime_error(
        "a third context in a process computes garbage; close one, or use one design");
  }
  ++process.num_contexts;
}

ContextSlot::~ContextSlot() {
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  --TheProcess().num_contexts;
}

}  // namespace jax_npu::sim

using jax_npu::sim::ArrayMutex;
using jax_npu::sim::TheProcess;

const char* jax_npu_sim_report() {
  static thread_local std::string json;
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  json = TheProcess().report.Json();
  return json.c_str();
}

void jax_npu_sim_clear_report() {
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  TheProcess().report = {};
}

void jax_npu_sim_start_trace() {
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  TheProcess().is_tracing = true;
  if (TheProcess().latest_array) TheProcess().latest_array->StartTrace();
}

const char* jax_npu_sim_trace() {
  static thread_local std::string json;
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  if (!TheProcess().is_tracing || !TheProcess().latest_array) return nullptr;
  json = TheProcess().latest_array->TraceJson();
  return json.c_str();
}

void jax_npu_sim_set_checks(int on) {
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  TheProcess().checks_on = on != 0;
}

void jax_npu_sim_set_other_contexts(int count) {
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  TheProcess().num_other_contexts = count;
}

void jax_npu_sim_hold(int on) {
  jax_npu::sim::Hold& hold = jax_npu::sim::TheHold();
  const std::lock_guard<std::mutex> lock(hold.mutex);
  hold.is_on = on != 0;
  hold.changed.notify_all();
}

int64_t jax_npu_sim_num_contexts() {
  const std::lock_guard<std::mutex> lock(ArrayMutex());
  return TheProcess().num_contexts;
}
