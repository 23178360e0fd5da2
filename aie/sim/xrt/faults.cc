#include "aie/sim/xrt/faults.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "aie/json.h"

namespace jax_npu::sim {
namespace {

enum Kind { kRun, kBuffer, kContext, kCall, kNumKinds };
constexpr const char* kKindNames[] = {"run", "buffer", "context", "call"};

struct FaultInfo {
  const char* name;
  Kind kind;
};

// Indexed by Fault, in its order.
constexpr FaultInfo kFaults[] = {
    {"timeout", kRun},        {"abort", kRun}, {"error", kRun},
    {"garbage", kRun},        {"wrong", kRun}, {"untouched", kRun},
    {"evicted", kRun},        {"stuck", kRun}, {"no-memory", kBuffer},
    {"no-context", kContext}, {"gone", kCall}, {"away", kCall},
    {"replaced", kCall},      {"kill", kCall},
};
constexpr size_t kNumFaults = std::size(kFaults);
static_assert(kNumFaults == static_cast<size_t>(Fault::kNone));

// After so many calls that failed, a device that was away answers again.
constexpr int kMissedCalls = 3;

// The faults among which `run` chooses.
constexpr Fault kAnyOfRun[] = {Fault::kTimeout, Fault::kAbort, Fault::kGarbage,
                               Fault::kUntouched, Fault::kEvicted};

struct Entry {
  Kind kind = kRun;
  Fault fault = Fault::kNone;  // kNone: `run`, any of kAnyOfRun
  enum class Place { kAt, kFrom, kOneIn } place = Place::kAt;
  uint64_t number = 0;
};

struct Spec {
  std::vector<Entry> entries;
  uint64_t seed = 0;
};

// SplitMix64, Steele, Lea and Flood 2014: 64 bits in, 64 random bits out.
uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::string Known() {
  std::string names;
  for (const FaultInfo& fault : kFaults) names += std::string(fault.name) + ", ";
  return names + "run";
}

bool ParseNumber(std::string_view text, uint64_t& number) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && at == end;
}

Entry ParseEntry(std::string_view text) {
  const auto fail = [&text](const std::string& why) {
    throw std::invalid_argument("'" + std::string(text) + "' " + why);
  };
  const size_t at = text.find_first_of("@/");
  const std::string_view name = text.substr(0, at);
  Entry entry;
  bool is_known = name == "run";
  for (size_t i = 0; i < kNumFaults; ++i) {
    if (name != kFaults[i].name) continue;
    is_known = true;
    entry.kind = kFaults[i].kind;
    entry.fault = static_cast<Fault>(i);
  }
  if (!is_known) fail("names no fault; known are " + Known() + ", and seed=S");
  const std::string example(name);
  const std::string wanted = "must say when, with a number from 1 on: " + example +
                             "@3, " + example + "@3+ or " + example + "/3";
  if (at == std::string_view::npos) fail(wanted);
  std::string_view number = text.substr(at + 1);
  if (text[at] == '/') {
    entry.place = Entry::Place::kOneIn;
  } else if (!number.empty() && number.back() == '+') {
    entry.place = Entry::Place::kFrom;
    number.remove_suffix(1);
  }
  if (!ParseNumber(number, entry.number) || entry.number == 0) fail(wanted);
  return entry;
}

// Parses entries separated by commas. Throws std::invalid_argument.
Spec Parse(std::string_view text) {
  constexpr std::string_view kSeed = "seed=";
  Spec spec;
  if (text.empty()) return spec;
  for (;;) {
    const size_t comma = text.find(',');
    const std::string_view entry = text.substr(0, comma);
    if (entry.substr(0, kSeed.size()) != kSeed) {
      spec.entries.push_back(ParseEntry(entry));
    } else if (!ParseNumber(entry.substr(kSeed.size()), spec.seed)) {
      throw std::invalid_argument("'" + std::string(entry) +
                                  "' must be a number from 0 on: seed=3");
    }
    if (comma == std::string_view::npos) return spec;
    text.remove_prefix(comma + 1);
  }
}

class Faults {
 public:
  Faults() {
    const char* text = std::getenv("JAX_NPU_SIM_FAULTS");
    if (text == nullptr) return;
    try {
      spec_ = Parse(text);
    } catch (const std::invalid_argument& error) {
      bad_variable_ = std::string("JAX_NPU_SIM_FAULTS: ") + error.what();
      std::fprintf(stderr, "jax-npu: %s\n", bad_variable_.c_str());
    }
  }

  void Set(const Spec& spec) {
    const std::lock_guard<std::mutex> lock(mutex_);
    spec_ = spec;
    bad_variable_.clear();
    num_calls_ = {};
    num_happened_ = {};
    absence_ = Fault::kNone;
  }

  // Counts a call of that kind and returns its fate. Where several faults are due, the
  // first one of the spec counts.
  Fate Next(Kind kind) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const uint64_t call = num_calls_[kind]++;
    for (size_t i = 0; i < spec_.entries.size(); ++i) {
      const Entry& entry = spec_.entries[i];
      const uint64_t stream = Mix(spec_.seed ^ Mix(i));
      if (entry.kind != kind || !IsDue(entry, stream, call)) continue;
      const uint64_t random = Mix(stream + Mix(~call));
      if (entry.fault != Fault::kNone) return {entry.fault, random};
      return {kAnyOfRun[random % std::size(kAnyOfRun)], Mix(random)};
    }
    return {};
  }

  void Happened(Fault fault) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++num_happened_[static_cast<size_t>(fault)];
  }

  // Counts a call that needs the device. Returns whether the device is there.
  // `is_anew`: the call opens it, and nothing in the process holds it.
  bool DeviceAnswers(bool is_anew = false) {
    const Fault fault = Next(kCall).fault;
    if (fault == Fault::kKill) kill(getpid(), SIGKILL);
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool leaves =
        fault == Fault::kGone || fault == Fault::kAway || fault == Fault::kReplaced;
    if (leaves && absence_ == Fault::kNone) {
      absence_ = fault;
      missed_calls_ = 0;
      ++num_happened_[static_cast<size_t>(fault)];
    } else if ((absence_ == Fault::kAway && missed_calls_ >= kMissedCalls) ||
               (absence_ == Fault::kReplaced && is_anew)) {
      absence_ = Fault::kNone;
    }
    missed_calls_ += absence_ != Fault::kNone;
    return absence_ == Fault::kNone;
  }

  std::string bad_variable() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bad_variable_;
  }

  std::string Json() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::pair<const char*, uint64_t>> calls, faults;
    for (size_t i = 0; i < kNumKinds; ++i) {
      calls.emplace_back(kKindNames[i], num_calls_[i]);
    }
    for (size_t i = 0; i < kNumFaults; ++i) {
      faults.emplace_back(kFaults[i].name, num_happened_[i]);
    }
    JsonWriter json;
    json.BeginObject();
    json.NumbersMember("calls", calls);
    json.NumbersMember("faults", faults);
    json.EndObject();
    return json.Text();
  }

 private:
  static bool IsDue(const Entry& entry, uint64_t stream, uint64_t call) {
    switch (entry.place) {
      case Entry::Place::kAt:
        return call + 1 == entry.number;
      case Entry::Place::kFrom:
        return call + 1 >= entry.number;
      case Entry::Place::kOneIn:
        return call % entry.number == Mix(stream + call / entry.number) % entry.number;
    }
    return false;
  }

  std::mutex mutex_;
  Spec spec_;
  std::string bad_variable_;
  std::array<uint64_t, kNumKinds> num_calls_ = {};
  std::array<uint64_t, kNumFaults> num_happened_ = {};
  Fault absence_ = Fault::kNone;  // why the device does not answer
  int missed_calls_ = 0;          // since then
};

// Never destroyed: threads may still run when the process ends.
Faults& TheFaults() {
  static Faults& faults = *new Faults;
  return faults;
}

// XRT's shim puts the errno into the text too, negative as in the kernel.
[[noreturn]] void ThrowSystemError(const std::string& what, int error) {
  throw std::system_error(error, std::system_category(),
                          what + " failed (err=-" + std::to_string(error) + ")");
}

}  // namespace

void ThrowIoctlError(const char* ioctl, int error) {
  ThrowSystemError(std::string("DRM_IOCTL_AMDXDNA_") + ioctl + " IOCTL", error);
}

void CountCall(const char* ioctl) {
  if (!TheFaults().DeviceAnswers()) ThrowIoctlError(ioctl, ENODEV);
}

void CountOpening(bool is_anew) {
  const bool answers = TheFaults().DeviceAnswers(is_anew);
  const std::string bad_variable = TheFaults().bad_variable();
  if (!bad_variable.empty()) throw std::runtime_error(bad_variable);
  if (!answers) throw std::runtime_error("No such device with index '0'");
}

// The driver maps and locks its own host memory, which fails in another way than
// pinning the caller's pages does.
void CountBuffer(bool is_of_host_memory, const void* userptr, size_t num_bytes) {
  if (TheFaults().Next(kBuffer).fault != Fault::kNoMemory) return;
  TheFaults().Happened(Fault::kNoMemory);
  if (userptr != nullptr || !is_of_host_memory) ThrowIoctlError("CREATE_BO", ENOMEM);
  ThrowSystemError("mmap(addr=0x7f0000000000, len=" + std::to_string(num_bytes) +
                       ", prot=3, flags=8209, offset=4294967296)",
                   EAGAIN);
}

void CountContext() {
  if (TheFaults().Next(kContext).fault != Fault::kNoContext) return;
  TheFaults().Happened(Fault::kNoContext);
  ThrowIoctlError("CREATE_HWCTX", EINVAL);
}

Fate NextRun() { return TheFaults().Next(kRun); }

void Happened(Fault fault) { TheFaults().Happened(fault); }

}  // namespace jax_npu::sim

const char* jax_npu_sim_set_faults(const char* spec) {
  static thread_local std::string error;
  try {
    const auto parsed = jax_npu::sim::Parse(spec == nullptr ? "" : spec);
    jax_npu::sim::TheFaults().Set(parsed);
    return nullptr;
  } catch (const std::invalid_argument& bad) {
    error = bad.what();
    return error.c_str();
  }
}

const char* jax_npu_sim_faults_json() {
  static thread_local std::string json;
  json = jax_npu::sim::TheFaults().Json();
  return json.c_str();
}
