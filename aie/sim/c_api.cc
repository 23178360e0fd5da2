#include "aie/sim/c_api.h"

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "aie/sim/engine/virtual_npu.h"

using jax_npu::sim::Access;
using jax_npu::sim::Kernel;
using jax_npu::sim::KernelArgument;

struct NpuSim {
  std::unique_ptr<jax_npu::sim::VirtualNpu> npu;
  std::string text;
};

namespace {

thread_local std::string error_text;

// Returns the result of `call`, or keeps its error and returns `failed`.
template <typename Result>
Result Guarded(Result failed, const std::function<Result()>& call) {
  try {
    return call();
  } catch (const std::exception& error) {
    error_text = error.what();
    return failed;
  }
}

Access AccessOf(char letter) {
  switch (letter) {
    case '-':
      return Access::kNone;
    case 'r':
      return Access::kRead;
    case 'w':
      return Access::kWrite;
    case 'b':
      return Access::kReadWrite;
  }
  throw std::invalid_argument("an access must be -, r, w or b");
}

Kernel KernelOf(const NpuSimKernelInfo& info) {
  Kernel kernel;
  for (int i = 0; i < info.num_arguments; ++i) {
    kernel.accesses.push_back(AccessOf(info.accesses[i]));
  }
  kernel.run = [run = info.run](const std::vector<KernelArgument>& arguments) {
    std::vector<void*> data;
    std::vector<int64_t> bytes, scalars;
    for (const KernelArgument& argument : arguments) {
      data.push_back(argument.data);
      bytes.push_back(argument.bytes);
      scalars.push_back(argument.scalar);
    }
    if (run(data.data(), bytes.data(), scalars.data()) != 0) {
      throw std::invalid_argument("the kernel failed");
    }
  };
  kernel.cascade_in_bytes = info.cascade_in_bytes;
  kernel.cascade_out_bytes = info.cascade_out_bytes;
  kernel.cycles = [cycles = info.cycles](const auto&) { return cycles; };
  kernel.macs = [macs = info.macs](const auto&) { return macs; };
  return kernel;
}

void Replace(jax_npu::sim::KernelTable& table, const NpuSimKernelInfo& info) {
  Kernel kernel = KernelOf(info);
  const auto known = table.find(info.name);
  if (info.cycles >= 0) {
    table[info.name] = std::move(kernel);
  } else if (known != table.end() &&
             known->second.accesses.size() == kernel.accesses.size()) {
    known->second.run = std::move(kernel.run);
  } else {
    throw std::invalid_argument(std::string("no built-in kernel is like ") + info.name +
                                ": give its cycles");
  }
}

}  // namespace

const char* npu_sim_error() { return error_text.c_str(); }

NpuSim* npu_sim_open(const char* configuration, const char* arithmetic,
                     int b_column_major, int only_timed,
                     const NpuSimKernelInfo* kernels, int num_kernels) {
  return Guarded<NpuSim*>(nullptr, [&] {
    auto parsed = jax_npu::sim::ParseConfiguration(configuration);
    auto table = std::make_shared<jax_npu::sim::KernelTable>(
        jax_npu::sim::BuiltInKernels(parsed, {arithmetic, b_column_major != 0}));
    for (int i = 0; i < num_kernels; ++i) {
      Replace(*table, kernels[i]);
    }
    auto sim = std::make_unique<NpuSim>();
    using jax_npu::sim::Effect;
    sim->npu = std::make_unique<jax_npu::sim::VirtualNpu>(
        std::move(parsed), table, arithmetic,
        only_timed ? Effect::kOnlyTimed : Effect::kComputes);
    return sim.release();
  });
}

int npu_sim_add_design(NpuSim* sim, int pdi, const char* configuration) {
  return Guarded<int>(-1, [&] {
    sim->npu->AddDesign(pdi, jax_npu::sim::ParseConfiguration(configuration));
    return 0;
  });
}

void npu_sim_close(NpuSim* sim) { delete sim; }

int npu_sim_run(NpuSim* sim, const uint32_t* words, int64_t num_words,
                void* const* data, const int64_t* bytes, int num_arguments,
                int is_chained, int64_t stop_after) {
  return Guarded<int>(-1, [&] {
    sim->npu->StopAfter(stop_after);
    std::vector<jax_npu::sim::DeviceBuffer> arguments;
    for (int i = 0; i < num_arguments; ++i) {
      arguments.push_back(
          {static_cast<std::byte*>(data[i]), static_cast<size_t>(bytes[i])});
    }
    try {
      sim->npu->Run(words, num_words, arguments, is_chained != 0);
    } catch (const jax_npu::sim::Stopped& stopped) {
      error_text = stopped.what();
      return 1;
    }
    return 0;
  });
}

void npu_sim_reset(NpuSim* sim) { sim->npu->Reset(); }

const char* npu_sim_report(NpuSim* sim, int of_all_runs) {
  sim->text = (of_all_runs ? sim->npu->total() : sim->npu->last_run()).Json();
  return sim->text.c_str();
}

const char* npu_sim_state(NpuSim* sim) {
  sim->text = sim->npu->StateJson();
  return sim->text.c_str();
}

const void* npu_sim_memory(NpuSim* sim, int column, int row, int64_t* bytes) {
  return Guarded<const void*>(nullptr, [&]() -> const void* {
    const jax_npu::sim::DeviceBuffer memory = sim->npu->Memory(column, row);
    if (memory.data == nullptr) {
      throw std::invalid_argument("a shim has no data memory");
    }
    *bytes = static_cast<int64_t>(memory.bytes);
    return memory.data;
  });
}

void npu_sim_start_trace(NpuSim* sim) { sim->npu->StartTrace(); }

const char* npu_sim_trace(NpuSim* sim) {
  sim->text = sim->npu->TraceJson();
  return sim->text.c_str();
}
