// Instruction streams that are on the device, kept for runs with the same words.

#ifndef JAX_NPU_XLA_FFI_DRIVER_LOADED_STREAMS_H_
#define JAX_NPU_XLA_FFI_DRIVER_LOADED_STREAMS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <list>
#include <utility>

namespace jax_npu {

// The streams that were used last. `Buffer` has a map(), the host's view of its memory.
// Used by one thread.
template <typename Buffer>
class LoadedStreams {
 public:
  // The buffer of a stream: one with the same words, or else what
  // load(words, num_bytes) returns. Valid until the next call.
  template <typename Load>
  const Buffer& Find(const uint32_t* words, size_t num_words, const Load& load) {
    const size_t num_bytes = num_words * sizeof(uint32_t);
    const auto known =
        std::find_if(streams_.begin(), streams_.end(), [&](auto& stream) {
          return stream.num_bytes == num_bytes &&
                 std::memcmp(stream.buffer.map(), words, num_bytes) == 0;
        });
    if (known != streams_.end()) {
      streams_.splice(streams_.begin(), streams_, known);
      return streams_.front().buffer;
    }
    streams_.push_front({load(words, num_bytes), num_bytes});
    num_bytes_ += num_bytes;
    while (num_bytes_ > kMaxBytes && streams_.size() > 1) {
      num_bytes_ -= streams_.back().num_bytes;
      streams_.pop_back();
    }
    return streams_.front().buffer;
  }

 private:
  static constexpr size_t kMaxBytes = size_t{32} << 20;

  struct Stream {
    Buffer buffer;
    size_t num_bytes;
  };

  std::list<Stream> streams_;  // latest first
  size_t num_bytes_ = 0;
};

}  // namespace jax_npu

#endif  // JAX_NPU_XLA_FFI_DRIVER_LOADED_STREAMS_H_
