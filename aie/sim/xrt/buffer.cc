#include "aie/sim/xrt/buffer.h"

#include <sys/mman.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <x86intrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "aie/sim/xrt/context.h"
#include "aie/sim/xrt/faults.h"
#include "aie/sim/xrt/process.h"

namespace xrt {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kBlockBytes = 256;  // covered by one fingerprint

size_t NumBlocks(size_t num_bytes) {
  return (num_bytes + kBlockBytes - 1) / kBlockBytes;
}

#ifdef __x86_64__

constexpr size_t kLineBytes = 64;

bool CpuHasClflushopt() {
  unsigned int a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b >> 23 & 1) != 0;
}

__attribute__((target("clflushopt"))) void FlushWithClflushopt(const std::byte* line,
                                                               const std::byte* end) {
  for (; line < end; line += kLineBytes) {
    _mm_clflushopt(const_cast<std::byte*>(line));
  }
}

void FlushWithClflush(const std::byte* line, const std::byte* end) {
  for (; line < end; line += kLineBytes) _mm_clflush(line);
}

// Evicts the lines of a range from all caches, as XRT's shim for amdxdna does in each
// sync: clflush, line by line, between two fences (src/shim/buffer.cpp, clflush_data).
// AMD's CPUs overlap one clflush with the next, and Intel's do not, but overlap
// clflushopt.
void FlushLines(const std::byte* data, size_t num_bytes) {
  static const bool has_clflushopt = CpuHasClflushopt();
  const std::byte* line = data - reinterpret_cast<uintptr_t>(data) % kLineBytes;
  _mm_mfence();
  if (has_clflushopt) {
    FlushWithClflushopt(line, data + num_bytes);
  } else {
    FlushWithClflush(line, data + num_bytes);
  }
  _mm_mfence();
}

#else

void FlushLines(const std::byte*, size_t) {}  // no NPU is beside such a CPU

#endif

}  // namespace

Pages::Pages(size_t num_bytes, bool at_once) : num_bytes_(num_bytes), data_(nullptr) {
  if (num_bytes == 0) return;
  void* memory = mmap(
      nullptr, num_bytes, PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | (at_once ? MAP_POPULATE : MAP_NORESERVE), -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(memory);
}

Pages::~Pages() {
  if (data_ != nullptr) munmap(data_, num_bytes_);
}

bo_impl::bo_impl(std::shared_ptr<device_impl> device, void* userptr, size_t size,
                 bo::flags flags, memory_group group)
    : device_(std::move(device)),
      is_paced_(jax_npu::sim::IsPaced()),
      size_(size),
      flags_(flags),
      group_(group),
      host_pages_(userptr == nullptr ? size : 0, is_paced_),
      device_pages_(is_paced_ && flags == bo::flags::host_only ? 0 : size, false),
      host_(userptr == nullptr ? host_pages_.data() : static_cast<std::byte*>(userptr)),
      fingerprints_(is_paced_ ? 0 : NumBlocks(size), 0) {
  if (size == 0) throw std::invalid_argument("a buffer must not be empty");
  if (userptr == nullptr) {
    // As XRT's shim does, so that no line is written back over a result.
    if (is_paced_) FlushLines(host_, size);
    return;
  }
  if (reinterpret_cast<uintptr_t>(userptr) % kPageBytes != 0 ||
      size % kPageBytes != 0) {
    throw std::invalid_argument("memory of the caller must be of whole pages");
  }
}

void bo_impl::Sync(xclBOSyncDirection direction, size_t size, size_t offset) {
  CheckRange("sync", size, offset);
  if (size == 0) return;
  if (is_paced_) {
    FlushLines(host_ + offset, size);
    if (direction == XCL_BO_SYNC_BO_TO_DEVICE) holds_stand_ins_ = false;
  }
  if (device() != nullptr) Copy(direction, size, offset);
}

void bo_impl::Copy(xclBOSyncDirection direction, size_t size, size_t offset) {
  if (direction == XCL_BO_SYNC_BO_TO_DEVICE) {
    std::memcpy(device() + offset, host_ + offset, size);
  } else {
    std::memcpy(host_ + offset, device() + offset, size);
  }
  if (is_paced_) return;
  // A block that is synced in part counts as synced as a whole.
  for (size_t i = offset / kBlockBytes; i < NumBlocks(offset + size); ++i) {
    fingerprints_[i] = Fingerprint(i);
  }
}

void bo_impl::CheckRange(const char* function, size_t size, size_t offset) const {
  if (offset <= size_ && size <= size_ - offset) return;
  throw std::invalid_argument(std::string(function) + " of " + std::to_string(size) +
                              " bytes from byte " + std::to_string(offset) +
                              " of a buffer of " + std::to_string(size_));
}

void bo_impl::FillWithStandIns() {
  constexpr uint32_t kTwoNans = 0x7FC07FC0;
  // Memory of the caller may have changed without our knowledge.
  const bool is_own = host_pages_.data() != nullptr;
  if (holds_stand_ins_ && is_own) return;
  std::fill_n(reinterpret_cast<uint32_t*>(host_), size_ / sizeof kTwoNans, kTwoNans);
  holds_stand_ins_ = true;
}

bool bo_impl::HostIsAhead() const {
  for (size_t i = 0; i < fingerprints_.size(); ++i) {
    if (fingerprints_[i] != Fingerprint(i)) return true;
  }
  return false;
}

// A checksum of a block of the host's memory, at the speed of memory: in each lane the
// sum of all words, and the sum of these sums, which tells their order. Zeros, which
// both memories hold at first, have the fingerprint 0.
uint64_t bo_impl::Fingerprint(size_t block) const {
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15u;  // 2^64 over the golden ratio
  constexpr size_t kNumLanes = 4;
  typedef uint64_t Lanes __attribute__((vector_size(kNumLanes * sizeof(uint64_t))));
  const std::byte* data = host_ + block * kBlockBytes;
  const size_t num_bytes = std::min(kBlockBytes, size_ - block * kBlockBytes);
  Lanes sum = {}, sum_of_sums = {}, words;
  size_t at = 0;
  for (; at + sizeof words <= num_bytes; at += sizeof words) {
    std::memcpy(&words, data + at, sizeof words);
    sum += words;
    sum_of_sums += sum;
  }
  uint64_t fingerprint = 0;
  for (size_t i = 0; i < kNumLanes; ++i) {
    fingerprint = (fingerprint ^ sum[i]) * kFactor;
    fingerprint = (fingerprint ^ sum_of_sums[i]) * kFactor;
  }
  for (; at < num_bytes; ++at) {
    fingerprint = (fingerprint ^ static_cast<uint64_t>(data[at])) * kFactor;
  }
  return fingerprint;
}

namespace {

std::shared_ptr<bo_impl> MakeBuffer(const std::shared_ptr<device_impl>& device,
                                    void* userptr, size_t size, bo::flags flags,
                                    memory_group group) {
  jax_npu::sim::CountCall("CREATE_BO");
  jax_npu::sim::CountBuffer(flags == bo::flags::host_only, userptr, size);
  return std::make_shared<bo_impl>(device, userptr, size, flags, group);
}

}  // namespace

bo::bo(const xrt::device& device, size_t size, enum flags flags, memory_group group)
    : handle_(MakeBuffer(device.get_handle(), nullptr, size, flags, group)) {}

bo::bo(const hw_context& context, size_t size, enum flags flags, memory_group group)
    : handle_(MakeBuffer(context.get_handle()->device(), nullptr, size, flags, group)) {
}

bo::bo(const xrt::device& device, void* userptr, size_t size, enum flags flags,
       memory_group group)
    : handle_(MakeBuffer(device.get_handle(), userptr, size, flags, group)) {}

size_t bo::size() const { return handle_->size(); }

uint64_t bo::address() const { return reinterpret_cast<uint64_t>(handle_->device()); }

memory_group bo::get_memory_group() const { return handle_->group(); }

enum bo::flags bo::get_flags() const { return handle_->flags(); }

void bo::sync(xclBOSyncDirection direction, size_t size, size_t offset) {
  jax_npu::sim::CountCall("SYNC_BO");
  handle_->Sync(direction, size, offset);
}

void* bo::map() { return handle_->host(); }

const void* bo::map() const { return handle_->host(); }

void bo::write(const void* from, size_t size, size_t offset) {
  handle_->CheckRange("write", size, offset);
  std::memcpy(handle_->host() + offset, from, size);
}

void bo::read(void* to, size_t size, size_t offset) {
  handle_->CheckRange("read", size, offset);
  std::memcpy(to, handle_->host() + offset, size);
}

}  // namespace xrt

int64_t jax_npu_sim_num_buffers() { return xrt::LiveBuffer::count; }
