// A core and its program.

#ifndef JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_H_
#define JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "aie/sim/engine/agent.h"
#include "aie/sim/engine/tile_memory.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/kernel_table.h"

namespace jax_npu::sim {

struct StreamPort;
struct Tile;

struct Core : Agent {
  Core(Array& array, Tile& tile, const CoreInfo& info);
  std::string Name() const override;
  void Granted() override;
  void Reset();
  // Continues if it waits for a stream or for the cascade.
  void StreamReady();

  Tile& tile;
  const CoreInfo& info;
  std::vector<int64_t> slots;
  size_t next = 0;                      // the instruction's number
  const StreamPort* awaited = nullptr;  // the stream port that it waits for
  // The cascade: what it was sent and has not taken yet, and who sends and takes. Null:
  // nobody.
  std::deque<std::byte> cascade;
  Core *cascade_from = nullptr, *cascade_to = nullptr;
  const Core* awaited_core = nullptr;  // the one at whose end of a cascade it waits
  size_t first_wait = 0;               // number of the first acquire that had to wait

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
  // A buffer, and a byte in it from which indices count.
  struct Place {
    const BufferInfo* buffer;
    int64_t offset;
  };
  // The place of an instruction's or argument's buffer, or the one that a slot holds.
  Place PlaceOf(int buffer, int place_slot) const;
  // The byte in the tile's memory that a load or store accesses.
  int64_t Address(const Instruction& instruction, const Place& place) const;
  void CheckRace(const Instruction& instruction, const BufferInfo& buffer,
                 int64_t address, bool writes) const;

  void Call(const Instruction& instruction);
  // Begins the kernel's access to a memref of that type; returns the argument for it.
  KernelArgument PassBuffer(const KernelInfo& kernel, const Place& place, Access access,
                            const TypeInfo* type);
  void EndCall();
  bool Put(const Instruction& instruction);
  bool Get(const Instruction& instruction);
  bool PutCascade(const Instruction& instruction);
  bool GetCascade(const Instruction& instruction);
  // Whether the cascade holds what a call takes, and has room for what it gives.
  bool CascadeIsReady(const Kernel& kernel);
  // The arguments that a call takes from the cascade, and those that it gives.
  void TakeCascade(const Kernel& kernel);
  void GiveCascade();

  bool has_waited_ = false;  // for a lock, since the last reset
  int64_t num_calls_ = 0;    // of kernels since the last reset
  Cycles pending_ = 0;       // for instructions executed since the last event
  // What a running call uses.
  std::vector<std::pair<TileMemory*, TileMemory::Accesses::iterator>> accesses_;
  std::vector<KernelArgument> arguments_;
  std::vector<std::byte> cascade_in_, cascade_out_;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CORE_CORE_H_
