// The controller, which executes instruction streams operation by operation.

#ifndef JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_CONTROLLER_H_
#define JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_CONTROLLER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "aie/sim/engine/agent.h"
#include "aie/sim/program/configuration.h"

namespace jax_npu::sim {

struct Bd;
struct BdLayout;
struct Channel;
struct Tile;

struct Controller : Agent {
  explicit Controller(Array& array) : Agent(array) {}
  std::string Name() const override { return "controller"; }
  void Granted() override {}  // it never waits for a lock

  // A chained run follows another of one list.
  void Start(const uint32_t* words, size_t num_words, bool is_chained);
  // Writes and reads registers in a row for a control port, which messages name.
  void WriteFor(const std::string& by, uint32_t address,
                const std::vector<uint32_t>& words);
  std::vector<uint32_t> ReadFor(const std::string& by, uint32_t address, int count);
  // Continues the stream of another array's controller, which has met a LOADPDI.
  void ContinueFrom(const Controller& other);
  // Called when a channel has sent a token.
  void TokenSent();

  bool is_done = true, is_chained = false;
  size_t word = 0;         // the first of the current operation
  int wanted_design = -1;  // the PDI to load next, or -1
  Cycles start_time = 0;
  // The channels whose tokens a SYNC waits for: one number in a rectangle of tiles.
  struct Awaited {
    Direction direction;
    int column, row, num_columns, num_rows, channel;
  };
  Awaited awaited = {};  // valid while it waits for tokens
  // None if a tile lacks such a channel.
  std::vector<Channel*> AwaitedChannels() const;

 private:
  // In controller.cc: the stream.
  void CheckHeader();
  // Begins the next operation, or ends the run.
  void Next();
  void End();
  void BlockWrite();
  void LoadPdi();
  // Lets the operation take `cycles`, then have its effect.
  void Finish(size_t num_words, Cycles cycles, std::function<void()> effect);
  void Sync();
  bool TakeTokens();
  uint32_t Word(size_t offset) const;  // of the current operation
  // Trap if outputs were never awaited, or transfers are still in flight.
  void CheckEnd() const;
  void CheckEnd(const Channel& channel) const;
  [[noreturn]] void Fail(const std::string& what) const;

  // In writes.cc: the effects of an operation on registers.
  void Write(uint32_t address, uint32_t value, uint32_t mask);
  void WriteData(Tile& tile, uint32_t offset, uint32_t value, uint32_t mask);
  void WriteLock(Lock& lock, uint32_t value, uint32_t mask);
  void WriteBd(Tile& tile, int id, uint32_t bd_word, uint32_t value, uint32_t mask);
  void WriteControl(Channel& channel, uint32_t value, uint32_t mask);
  void WriteTaskQueue(Channel& channel, uint32_t value, uint32_t mask);
  void Patch();
  void CheckIdle(const Tile& tile, int bd) const;
  bool CanUse(const Channel& channel, int bd) const;
  Tile& TileOf(uint32_t address) const;
  uint32_t BlockAddress() const;
  Cycles WriteCycles(uint32_t address) const;

  // In decode_bd.cc: a BD's words, once a task uses them.
  void DecodeBd(Tile& tile, int id, const std::string& where) const;
  void CheckWords(const Tile& tile, const Bd& bd, const std::string& where) const;
  void DecodePattern(const BdLayout& fields, Bd& bd, const std::string& where) const;
  void DecodeAddress(const BdLayout& fields, Tile& tile, Bd& bd,
                     const std::string& where) const;
  void DecodeLocks(const BdLayout& fields, Tile& tile, Bd& bd,
                   const std::string& where) const;
  Lock& LockOf(Tile& tile, uint32_t id, const std::string& where) const;

  uint32_t ReadWord(uint32_t address) const;

  std::string by_;  // the control port that it acts for, or empty
  const uint32_t* words_ = nullptr;
  size_t num_words_ = 0;
  uint32_t num_executed_ = 0;  // operations
  bool synced_before_ = false;
  int64_t num_observer_writes_ = 0;  // in this run
  std::string inner_task_;           // the first of a memtile or core in it, or empty
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_CONTROLLER_H_
