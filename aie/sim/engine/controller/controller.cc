// The instruction stream: its header, one case for each operation, and its end.
#include "aie/sim/engine/controller/controller.h"

#include <cmath>

#include "aie/sim/engine/array.h"
#include "aie/sim/engine/controller/registers.h"
#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

// The header's words: version and device, columns, number of operations, size in bytes.
constexpr size_t kHeaderWords = 4, kNumOperationsWord = 2, kNumBytesWord = 3;
constexpr Field kVersion = {0, 16}, kGeneration = {16, 8}, kNumRows = {24, 8};
constexpr Field kNumColumns = {0, 8};
constexpr int kNpu1Generation = 3;
constexpr uint32_t kVersion0_1 = 0x0100;  // minor 1 in the upper byte, major 0

// An operation's first word names it in its lowest byte.
constexpr Field kOpcode = {0, 8};
enum Opcode : uint32_t {
  kWrite = 0x00,
  kBlockWrite = 0x01,
  kMaskWrite = 0x03,
  kPreempt = 0x06,
  kLoadPdi = 0x08,
  kSync = 0x80,
  kDdrPatch = 0x81,
};
constexpr size_t kWriteWords = 6, kMaskWriteWords = 7, kBlockWriteHeaderWords = 4;
constexpr size_t kPreemptWords = 1, kSyncWords = 4, kDdrPatchWords = 12;
constexpr size_t kLoadPdiWords = 4;
constexpr Field kPdiId = {16, 16};  // of word 0
// A whole reconfiguration of npu1, as published; taken for npu2 too.
constexpr double kReconfigurationSeconds = 3.4e-3;

// SYNC's words 2 and 3.
constexpr Field kSyncDirection = {0, 8}, kSyncRow = {8, 8}, kSyncColumn = {16, 8};
constexpr Field kSyncNumRows = {8, 8}, kSyncNumColumns = {16, 8};
constexpr Field kSyncChannel = {24, 8};

const char* NameOf(uint32_t opcode) {
  switch (opcode) {
    case kWrite:
      return "WRITE";
    case kMaskWrite:
      return "MASKWRITE";
    case kBlockWrite:
      return "BLOCKWRITE";
    case kDdrPatch:
      return "DDR_PATCH";
    case kSync:
      return "SYNC";
    default:
      return "PREEMPT";
  }
}

}  // namespace

void Controller::Fail(const std::string& what) const {
  array.Fail((by_.empty() ? "word " + std::to_string(word) : by_) + ": " + what);
}

uint32_t Controller::Word(size_t offset) const {
  if (word + offset >= num_words_) {
    Fail("the stream of " + std::to_string(num_words_) +
         " words ends within an operation");
  }
  return words_[word + offset];
}

void Controller::Start(const uint32_t* words, size_t num_words, bool chained) {
  by_.clear();
  wanted_design = -1;
  is_chained = chained;
  words_ = words;
  num_words_ = num_words;
  word = 0;
  num_executed_ = 0;
  is_done = synced_before_ = false;
  num_observer_writes_ = 0;
  inner_task_.clear();
  Stop();
  start_time = array.scheduler.now();
  CheckHeader();
  array.run.instruction_words = num_words;
  StartWait(Wait::kLatency, "launch");
  const Times& times = array.times;
  array.scheduler.In(is_chained ? times.chained_launch : times.launch, [this] {
    word = kHeaderWords;
    array.RememberBegin();
    Next();
  });
}

void Controller::CheckHeader() {
  const uint32_t version = Word(0), size = Word(1);
  const auto generation = static_cast<int>(kGeneration.Of(version));
  if (kVersion.Of(version) != kVersion0_1) {
    Fail("version must be 0.1, got " + Hex(kVersion.Of(version)));
  }
  if (generation != array.limits.generation ||
      static_cast<int>(kNumRows.Of(version)) != array.limits.num_rows ||
      static_cast<int>(kNumColumns.Of(size)) != array.limits.num_columns) {
    Fail("the stream is for a device of generation " + std::to_string(generation) +
         " with " + std::to_string(kNumColumns.Of(size)) + " columns and " +
         std::to_string(kNumRows.Of(version)) + " rows, not for " +
         array.configuration.device);
  }
  if (Word(kNumBytesWord) != 4 * num_words_) {
    word = kNumBytesWord;
    Fail("the header counts " + std::to_string(words_[kNumBytesWord]) +
         " bytes, the stream has " + std::to_string(4 * num_words_));
  }
}

void Controller::Next() {
  ++array.progress;
  if (word == num_words_) return End();
  ++num_executed_;
  const Times& times = array.times;
  // The last word is read first, so that a stream which ends too early is reported now.
  switch (const uint32_t opcode = kOpcode.Of(Word(0))) {
    case kWrite:
      Word(kWriteWords - 1);
      Finish(kWriteWords, WriteCycles(Word(2)),
             [this] { Write(Word(2), Word(4), kAllBits); });
      break;
    case kMaskWrite:
      Word(kMaskWriteWords - 1);
      Finish(kMaskWriteWords, times.maskwrite,
             [this] { Write(Word(2), Word(4), Word(5)); });
      break;
    case kBlockWrite:
      BlockWrite();
      break;
    case kDdrPatch:
      Word(kDdrPatchWords - 1);
      Finish(kDdrPatchWords, times.patch, [this] { Patch(); });
      break;
    case kSync:
      Sync();
      break;
    case kPreempt:
      Finish(kPreemptWords, times.sync, [] {});
      break;
    case kLoadPdi:
      LoadPdi();
      break;
    default:
      Fail("opcode " + Hex(opcode) + " is not known");
  }
}

void Controller::End() {
  if (num_executed_ != words_[kNumOperationsWord]) {
    Fail("the header counts " + std::to_string(words_[kNumOperationsWord]) +
         " operations, the stream has " + std::to_string(num_executed_));
  }
  CheckEnd();
  if (num_observer_writes_ > 0) {
    array.Notice(std::to_string(num_observer_writes_) +
                 " writes to registers of events, timers, traces or performance "
                 "counters have no effect here");
  }
  if (!inner_task_.empty() && array.limits.generation == kNpu1Generation) {
    array.Notice("the stream starts " + inner_task_ +
                 ": a chip of npu1 was seen to hang on such tasks of memtiles and "
                 "cores, which those of npu2 run");
  }
  Stop();
  is_done = true;
}

void Controller::BlockWrite() {
  constexpr size_t kHeader = kBlockWriteHeaderWords;
  const uint32_t bytes = Word(3);  // includes the header
  if (bytes % 4 != 0 || bytes <= 4 * kHeader) {
    Fail("BLOCKWRITE counts " + std::to_string(bytes) + " bytes");
  }
  const size_t count = bytes / kWordBytes - kHeader;
  Word(kHeader + count - 1);
  const Times& times = array.times;
  const double cycles = times.blockwrite + times.blockwrite_word * count;
  Finish(kHeader + count, std::llround(cycles), [this, count] {
    for (size_t i = 0; i < count; ++i) {
      Write(BlockAddress() + 4 * i, Word(kHeader + i), kAllBits);
    }
  });
}

void Controller::LoadPdi() {
  Word(kLoadPdiWords - 1);
  const int id = static_cast<int>(kPdiId.Of(Word(0)));
  const std::string what = "LOADPDI of PDI " + std::to_string(id);
  if (array.loadable.count(id) == 0) {
    Fail(what + ": no design was given for it; give VirtualNpu designs={" +
         std::to_string(id) + ": its configuration}");
  }
  if (array.trace.is_on()) Fail(what + ": a trace cannot go on in another design");
  for (const Tile& tile : array.tiles) {
    for (const auto& channels : tile.channels) {
      for (const auto& channel : channels) {
        if (tile.limits != &array.limits.shim || channel->queue.empty() ||
            channel->IsForTraces()) {
          continue;
        }
        Fail(what + ", but " + channel->Name() + " BD " +
             std::to_string(channel->queue.front().bd) + " is still in flight");
      }
    }
  }
  StartWork("LOADPDI");
  array.scheduler.In(std::llround(kReconfigurationSeconds * array.times.clock_hz),
                     [this, id] {
                       word += kLoadPdiWords;
                       wanted_design = id;
                     });
}

void Controller::ContinueFrom(const Controller& other) {
  words_ = other.words_;
  num_words_ = other.num_words_;
  word = other.word;
  num_executed_ = other.num_executed_;
  synced_before_ = other.synced_before_;
  num_observer_writes_ = other.num_observer_writes_;
  inner_task_ = other.inner_task_;
  is_chained = other.is_chained;
  start_time = other.start_time;
  is_done = false;
  Next();
}

void Controller::Finish(size_t num_words, Cycles cycles, std::function<void()> effect) {
  StartWork(NameOf(kOpcode.Of(words_[word])));
  details.word = static_cast<int64_t>(word);
  array.scheduler.In(cycles, [this, num_words, effect = std::move(effect)] {
    effect();
    word += num_words;
    Next();
  });
}

void Controller::Sync() {
  const uint32_t tile = Word(2), range = Word(3);
  awaited.direction = kSyncDirection.Of(tile) == 0 ? kS2mm : kMm2s;
  awaited.column = static_cast<int>(kSyncColumn.Of(tile));
  awaited.row = static_cast<int>(kSyncRow.Of(tile));
  awaited.num_columns = static_cast<int>(kSyncNumColumns.Of(range));
  awaited.num_rows = static_cast<int>(kSyncNumRows.Of(range));
  awaited.channel = static_cast<int>(kSyncChannel.Of(range));
  const Awaited& a = awaited;
  if (a.num_columns < 1 || a.num_rows < 1 ||
      a.column + a.num_columns > array.limits.num_columns ||
      a.row + a.num_rows > array.limits.num_rows || AwaitedChannels().empty()) {
    Fail("SYNC awaits tokens of channels that " + array.configuration.device +
         " does not have");
  }
  Cycles cycles = array.times.sync;
  if (!synced_before_) cycles += array.times.first_sync;
  synced_before_ = true;
  StartWork("SYNC");
  array.scheduler.In(cycles, [this] {
    StartWait(Wait::kToken, "token");
    details.word = static_cast<int64_t>(word);
    TokenSent();
  });
}

void Controller::TokenSent() {
  if (waiting != Wait::kToken || !TakeTokens()) return;
  word += kSyncWords;
  Next();
}

std::vector<Channel*> Controller::AwaitedChannels() const {
  const Awaited& a = awaited;
  std::vector<Channel*> channels;
  for (int i = 0; i < a.num_columns; ++i) {
    for (int j = 0; j < a.num_rows; ++j) {
      auto& of_tile = array.At({a.column + i, a.row + j}).channels[a.direction];
      if (a.channel >= static_cast<int>(of_tile.size())) return {};
      channels.push_back(of_tile[a.channel].get());
    }
  }
  return channels;
}

bool Controller::TakeTokens() {
  const std::vector<Channel*> channels = AwaitedChannels();
  for (const Channel* channel : channels) {
    if (channel->tokens.empty()) return false;
  }
  for (Channel* channel : channels) channel->TakeToken();
  return true;
}

void Controller::CheckEnd() const {
  for (const Tile& tile : array.tiles) {
    if (tile.limits != &array.limits.shim) continue;
    for (const Direction direction : {kS2mm, kMm2s}) {
      for (const auto& channel : tile.channels[direction]) CheckEnd(*channel);
    }
  }
}

void Controller::CheckEnd(const Channel& channel) const {
  if (channel.IsForTraces()) {
    if (channel.queue.empty()) return;
    array.Notice(
        channel.Name() + " BD " + std::to_string(channel.queue.front().bd) +
        " waits for traces, which are not recorded: its buffer stays as it was");
    return;
  }
  const auto where = [&](const Task& task) {
    return channel.Name() + " BD " + std::to_string(task.bd) + ", pushed at word " +
           std::to_string(task.word) + ", ";
  };
  const bool is_unproven =
      channel.direction == kS2mm && channel.num_proven < channel.pushed.size();
  if (!channel.queue.empty() && is_unproven) {
    Fail("the stream ends, but the output of " +
         where(channel.pushed[channel.num_proven]) + "was never synced");
  }
  if (!channel.queue.empty()) {
    Fail("the stream ends, but " + where(channel.queue.front()) + "is still in flight");
  }
  if (!channel.tokens.empty()) {
    array.Notice("a token of " + channel.Name() + ", pushed at word " +
                 std::to_string(channel.tokens.front()) + ", was never awaited");
  } else if (is_unproven) {
    array.Notice("the output of " + where(channel.pushed[channel.num_proven]) +
                 "was never synced, and ended in time by chance");
  }
}

}  // namespace jax_npu::sim
