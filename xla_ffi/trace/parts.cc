#include "xla_ffi/trace/parts.h"

#include "xla_ffi/trace/recorder.h"

namespace jax_npu {
namespace {

thread_local const ProductInfo* current_product = nullptr;

struct NamedPart {
  const char* name;
  Counter Counters::* time;
};

NamedPart Describe(Part part) {
  switch (part) {
    case Part::kPack:
      return {"pack", &Counters::pack_ns};
    case Part::kFlush:
      return {"flush", &Counters::flush_ns};
    case Part::kAllocate:
      return {"allocate", &Counters::allocate_ns};
    case Part::kQueue:
      return {"queue", &Counters::queue_ns};
    case Part::kUnpack:
      return {"unpack", &Counters::unpack_ns};
    case Part::kCheck:
      return {"check", &Counters::check_ns};
    case Part::kRoom:
      return {"wait for room", &Counters::room_ns};
    default:
      return {"wait", &Counters::wait_ns};
  }
}

}  // namespace

ProductScope::ProductScope(const ProductInfo* product) : outer_(current_product) {
  current_product = product;
}

ProductScope::~ProductScope() { current_product = outer_; }

const ProductInfo* CurrentProduct() { return current_product; }

PartTimer::~PartTimer() {
  const auto [name, time] = Describe(part_);
  const int64_t end_ns = NanosecondsNow();
  Count(TheCounters().*time, end_ns - start_ns_);
  if (part_ == Part::kFlush) Count(TheCounters().flushed_bytes, num_bytes_);
  if (!IsRecording()) return;
  Record(PartEvent{name, ThisThread(), start_ns_, end_ns, num_bytes_,
                   current_product == nullptr ? ProductInfo{} : *current_product});
}

}  // namespace jax_npu
