// The state of the array: what every part of the virtual NPU reads and changes.
//
// Cores, DMA channels and the controller are agents: each does something at a time,
// then has the scheduler wake it at a later one, or waits until another agent does.

#ifndef JAX_NPU_AIE_SIM_ENGINE_ARRAY_H_
#define JAX_NPU_AIE_SIM_ENGINE_ARRAY_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aie/sim/engine/device_memory.h"
#include "aie/sim/engine/scheduler.h"
#include "aie/sim/engine/virtual_npu.h"
#include "aie/sim/program/configuration.h"
#include "aie/sim/program/hardware_limits.h"
#include "aie/sim/program/kernel_table.h"
#include "aie/sim/program/pattern.h"
#include "aie/sim/report/report.h"
#include "aie/sim/report/trace.h"

namespace jax_npu::sim {

struct Array;
struct Tile;

// Why an agent does nothing.
enum class Wait {
  kNothing,   // it is at work, or an event is on its way
  kTask,      // no task is queued
  kLock,      // until `lock` holds `value`
  kStream,    // the other ends of its route are not ready
  kToken,     // the controller, for tokens
  kLatency,   // nobody: what comes next takes a while to begin
  kFinished,  // a core at its end
};

struct Agent {
  explicit Agent(Array& array) : array(array) {}
  virtual ~Agent() = default;
  // What it is, with its tile: "core (0, 2)".
  virtual std::string Name() const = 0;
  // Goes on after a lock was granted.
  virtual void Granted() = 0;

  // Begins to wait; `cause` names the stall in the report and outlives the agent.
  void StartWait(Wait wait, const char* cause);
  // Begins to work; `what` names it in the trace and outlives the agent.
  void StartWork(const char* what);
  // Counts and traces what the agent did until now.
  void Stop();
  // What was counted since the last call.
  Usage TakeUsage();

  Array& array;
  Wait waiting = Wait::kNothing;
  const char* doing = nullptr;  // the work, or the cause of the wait
  Cycles doing_since = 0;
  struct Lock* lock = nullptr;  // it waits for
  int lock_value = 0;
  Usage usage;  // but for its stalls
  std::vector<std::pair<const char*, Cycles>> stalls;
  int track = 0;  // in the trace
};

struct Lock {
  Tile* tile;
  int id, init, value;
  std::string name;
  std::deque<Agent*> queue;  // first come, first served

  std::string Name() const;
};

// A buffer descriptor. A shim's is written by the stream, others by the design.
struct Bd {
  bool is_defined = false;  // by the design, or written word by word
  Tile* memory = nullptr;   // null: DDR
  int64_t address = 0, length = 0;
  int next = -1;
  Lock *acquire = nullptr, *release = nullptr;
  int acquire_value = 0, release_value = 0;
  std::vector<Dimension> dimensions;
  int iterations = 1, iteration = 0;  // how many, and which is next
  int64_t iteration_stride = 0;       // words
  int argument = 0;                   // of the run, where the memory is DDR

  // Of a shim: the words as written, a bit for each that was, and whether the address
  // was patched since.
  std::vector<uint32_t> words;
  uint32_t written = 0;
  bool is_patched = false;
};

struct Route;

struct Task {
  int bd, repeats;
  bool token;
  size_t word;  // of the push in the stream, 0 for the design's own
};

struct Channel : Agent {
  Channel(Array& array, Tile& tile, Direction direction, int number);
  std::string Name() const override;
  void Granted() override;  // the BD's lock
  void Reset();
  void BeginRun();

  // Traps if the queue is full.
  void Push(const Task& task);
  // The route has moved words; an S2MM channel has the last of them after `latency`.
  void Moved(int64_t num_words, Cycles latency);
  // Whether a queued or running task uses that BD.
  bool Uses(int bd) const;
  // Traps if nothing has written what the running BD reads, in bytes.
  void CheckWritten(int64_t begin, int64_t end) const;

  Tile& tile;
  const Direction direction;
  const int number;
  const char* bytes_counter;  // of the report
  Route* route = nullptr;
  std::deque<Task> queue;     // the front one runs
  bool is_ready = false;      // a BD is running and has its lock
  bool sends_tokens = false;  // its controller id is set
  int bd = -1;                // that runs
  Pattern pattern;
  int64_t words_left = 0;

  // Of this run: what was pushed, the words of pushes whose tokens wait to be taken,
  // and how many of the pushed are proven done by a token.
  std::vector<Task> pushed;
  std::deque<size_t> tokens;
  size_t num_proven = 0;

 private:
  std::string BdName() const;
  std::string TaskWord() const;
  void BeginTask();
  void BeginBd(int id);
  void Ready();
  void EndBd(Cycles latency);
  void EndTask();

  bool is_cold = true;  // no task in this run yet
  int repeats_left = 0;
  std::optional<Memory::Accesses::iterator> access;
};

// From one MM2S channel to one or more S2MM channels, which advance together.
struct Route {
  struct End {
    Channel* channel;
    int hops;
  };
  Channel* source;
  std::vector<End> ends;
  bool is_moving = false;
  int links = 0;  // switches that its words cross

  // Begins to move words if every end is ready.
  void TryMove(Array& array);
  void Arrive(Array& array, int64_t num_words);
};

struct Core : Agent {
  Core(Array& array, Tile& tile, const CoreInfo& info);
  std::string Name() const override;
  void Granted() override;
  void Reset();

  Tile& tile;
  const CoreInfo& info;
  std::vector<int64_t> slots;
  size_t next = 0;  // instruction

 private:
  // Executes instructions until one takes time or waits. What others can see happens at
  // its time; the rest in one go.
  void Continue();
  static bool IsVisible(Op op);
  void Compute(const Instruction& instruction);
  bool Act(const Instruction& instruction);  // false: it waits or takes time
  void Load(const Instruction& instruction);
  void Store(const Instruction& instruction);
  void Call(const Instruction& instruction);
  int64_t Address(const Instruction& instruction) const;
  void CheckRace(const Instruction& instruction, int64_t address, bool writes) const;
  void ContinueIn(Cycles cycles);

  Cycles pending_ = 0;  // of instructions executed since the last event
  std::vector<std::pair<Memory*, Memory::Accesses::iterator>> accesses_;  // of a call
  std::vector<KernelArgument> arguments_;
};

// Executes instruction streams, operation by operation.
struct Controller : Agent {
  explicit Controller(Array& array) : Agent(array) {}
  std::string Name() const override { return "controller"; }
  void Granted() override {}

  void Start(const uint32_t* words, size_t num_words);
  // A channel has sent a token.
  void TokenSent();

  bool is_done = true;
  size_t word = 0;  // of the operation at work
  Cycles start_time = 0;
  struct Awaited {
    Direction direction;
    int column, row, num_columns, num_rows, channel;
  };
  Awaited awaited = {};  // while it waits for tokens

 private:
  void CheckHeader();
  // Begins the next operation, or ends the run.
  void Next();
  // The operation takes that long and then has its effect.
  void Finish(size_t num_words, Cycles cycles, std::function<void()> effect);
  void Sync();
  bool TakeTokens();
  void Patch();
  void Write(uint32_t address, uint32_t value, uint32_t mask);
  void WriteBd(Tile& tile, int id, int bd_word, uint32_t value, uint32_t mask);
  void WriteQueue(Channel& channel, uint32_t value);
  void DecodeBd(Tile& tile, int id, const std::string& where) const;
  void CheckIdle(const Tile& tile, int bd) const;
  Tile& TileOf(uint32_t address) const;
  uint32_t BlockAddress() const;
  Cycles WriteCycles(uint32_t address) const;
  uint32_t Word(size_t offset) const;  // of the operation
  // Traps if outputs were never awaited, or transfers are still in flight.
  void CheckEnd() const;
  [[noreturn]] void Fail(const std::string& what) const;

  const uint32_t* words_ = nullptr;
  size_t num_words_ = 0;
  uint32_t num_executed_ = 0;
  bool synced_before_ = false;
};

struct Tile {
  TileAt at;
  const TileLimits* limits;
  const char* kind;
  std::unique_ptr<Memory> memory;  // none in a shim
  std::vector<Lock> locks;
  std::vector<Bd> bds;
  std::vector<std::unique_ptr<Channel>> channels[2];  // by direction
  std::unique_ptr<Core> core;

  std::string Name() const;  // "memtile (0, 1)"
};

struct Array {
  Array(Configuration configuration, std::shared_ptr<const KernelTable> kernels);

  Tile& At(TileAt at);
  // Takes `value` from a lock, or makes the agent wait for it.
  bool Acquire(Lock& lock, int value, Agent& agent);
  void Release(Lock& lock, int value, const Agent& by);
  void SetLock(Lock& lock, int value);
  void Reset();
  void BeginRun(std::vector<DeviceBuffer> arguments);
  void EndRun();
  // Agents that wait for one another, as one line: for the message of a deadlock.
  std::string WhoWaits() const;
  // Throws a Trap that also says when.
  [[noreturn]] void Fail(const std::string& what) const;
  std::vector<Agent*> Agents() const;

  const Configuration configuration;
  const Limits limits;
  const Times times;
  const std::shared_ptr<const KernelTable> kernels;
  Scheduler scheduler;
  Trace trace;
  std::vector<Tile> tiles;
  std::vector<Lock*> locks;  // as the configuration numbers them
  std::vector<std::unique_ptr<Route>> routes;
  std::unique_ptr<Controller> controller;
  std::vector<DeviceBuffer> arguments;
  Cycles ddr_free[2] = {0, 0};  // when DDR has served all that was asked, by direction
  Cycles ddr_busy[2] = {0, 0};
  int64_t progress = 0;  // words moved, kernels called, operations executed
  Report run, total;
  std::vector<uint32_t> transit;  // words on their way

 private:
  // Of the configuration, each checked as it is taken.
  void MakeTiles();
  void LoadLocks();
  void CheckBuffers();
  void LoadBds();
  void LoadRoutes();
  void CheckStarts();
  void LoadCore(const CoreInfo& info);
  void CheckCall(const Tile& tile, const Instruction& instruction) const;
  Channel& ChannelAt(TileAt at, Direction direction, int number);
  void AddTracks();
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_ARRAY_H_
