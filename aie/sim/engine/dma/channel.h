// A DMA channel: a queue of tasks, each a chain of BDs.

#ifndef JAX_NPU_AIE_SIM_ENGINE_DMA_CHANNEL_H_
#define JAX_NPU_AIE_SIM_ENGINE_DMA_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "aie/sim/engine/dma/stream_port.h"
#include "aie/sim/engine/tile_memory.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/pattern.h"

namespace jax_npu::sim {

struct Bd;
struct Tile;

struct Task {
  int bd, repeats;  // the first BD, and how often the chain runs
  bool token;       // whether its end sends one
  size_t word;      // of the push in the stream, 0 for the design's own
};

struct Channel : StreamPort {
  Channel(Array& array, Tile& tile, Direction direction, int number);
  std::string Name() const override;  // "shim (0, 0) MM2S 0"
  // Continues after the running BD got its lock.
  void Granted() override;
  void Reset();
  void BeginRun();

  // Traps if the queue is full.
  void Push(const Task& task);
  // From now on nobody else may use the bytes of the running BD.
  void BeginAccess();
  // Takes the oldest token, which proves that the task which sent it is done, and all
  // tasks before it.
  void TakeToken();
  bool HasWork() const override { return !queue.empty(); }
  void Read(int64_t num_words, uint32_t* to) override;  // pads become zeros
  void Write(int64_t num_words, const uint32_t* from) override;
  Cycles BeginMove(int64_t num_words) override;
  void Moved(int64_t num_words, Cycles latency) override;
  int64_t turn_words() const override;
  // Whether only trace units send to it: then its tasks never end.
  bool IsForTraces() const;
  // Whether a queued or running task uses that BD.
  bool Uses(int bd) const;
  // Traps if nothing has written a byte of [begin, end) that the running BD reads.
  void CheckWritten(int64_t begin, int64_t end) const;

  // It is ready while a BD is running and has its lock.
  const int number;
  const char* bytes_counter;  // its key in Report::bytes
  std::deque<Task> queue;     // the front one runs
  bool was_ready = false;     // as the stream began
  bool sends_tokens = false;  // its controller id is set
  int bd = -1;                // the one that runs
  Pattern pattern;            // the running BD's position in memory

  // For the current run: the pushed tasks, the stream's words whose pushes have sent a
  // token that was not taken yet, and how many of the pushed tasks a token has proven
  // to be done.
  std::vector<Task> pushed;
  std::deque<size_t> tokens;
  size_t num_proven = 0;

 private:
  std::string BdName() const;
  std::string TaskWord() const;
  void BeginTask();
  void BeginBd(int id);
  void CheckPattern(const Bd& bd) const;
  uint32_t* Words() const;  // of the memory that the running BD addresses
  bool IsShim() const;
  // Whether an S2MM channel's senders have anything for it.
  bool IsFed() const;
  // The route of the packet that the running BD sends.
  void ChooseRoute();
  void Ready();
  void CountDdr(int argument, int64_t num_words);
  void EndBd(Cycles latency);
  void EndTask();

  bool is_cold = true;  // it has begun no task in this run
  int repeats_left = 0;
  std::optional<TileMemory::Accesses::iterator> access;
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_DMA_CHANNEL_H_
