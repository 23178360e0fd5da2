// A core and its program.

#ifndef JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_H_
#define JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "aie/sim/engine/agent.h"
#include "aie/sim/engine/tile_memory.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/kernel_table.h"

namespace jax_npu::sim {

struct Tile;

struct Core : Agent {
  Core(Array& array, Tile& tile, const CoreInfo& info);
  std::string Name() const override;
  void Granted() override;
  void Reset();

  Tile& tile;
  const CoreInfo& info;
  std::vector<int64_t> slots;
  size_t next = 0;  // the instruction's number

 private:
  // Executes instructions until one takes time or waits. Those that other agents can
  // see act at their own time; the others are executed at once and timed together.
  void Continue();
  void ContinueIn(Cycles cycles);
  static bool IsVisible(Op op);
  // Executes an instruction that no other agent can see.
  void Compute(const Instruction& instruction);
  // Executes a visible instruction. False: it waits, takes time or ends the program.
  bool Act(const Instruction& instruction);
  void Load(const Instruction& instruction);
  void Store(const Instruction& instruction);
  // The byte in the tile's memory that a load or store accesses.
  int64_t Address(const Instruction& instruction) const;
  void CheckRace(const Instruction& instruction, int64_t address, bool writes) const;

  void Call(const Instruction& instruction);
  // Begins the kernel's access to a whole buffer; returns the argument for the kernel.
  KernelArgument PassBuffer(const KernelInfo& kernel, int buffer, Access access,
                            const TypeInfo* type);
  void EndCall();

  int64_t num_calls_ = 0;  // of kernels since the last reset
  Cycles pending_ = 0;     // for instructions executed since the last event
  // What a running call uses.
  std::vector<std::pair<TileMemory*, TileMemory::Accesses::iterator>> accesses_;
  std::vector<KernelArgument> arguments_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_H_
