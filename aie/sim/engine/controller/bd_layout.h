// Where the fields of a BD lie in its words, for each kind of tile.
//
// Names and bits are those of aie-rt (driver/src/global/xaiemlgbl_params.h) and of
// AMD's register reference AM025: DMA_BDx_<word> of the NoC module, which is the shim,
// of the memtile module, and of the memory module, which is a core's.

#ifndef JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_BD_LAYOUT_H_
#define JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_BD_LAYOUT_H_

#include <cstdint>
#include <vector>

namespace jax_npu::sim {

// `count` bits of a word, the lowest of which is bit `low`.
struct Field {
  int low, count;

  constexpr uint32_t Of(uint32_t word) const {
    return word >> low & ((uint32_t{1} << count) - 1);
  }
  constexpr int SignedOf(uint32_t word) const {
    return static_cast<int32_t>(word << (32 - low - count)) >> (32 - count);
  }
  constexpr uint32_t Mask() const { return ((uint32_t{1} << count) - 1) << low; }
};

// A field of a BD. One without bits is a field that the BDs of the kind lack: it is 0.
struct BdField {
  uint32_t word = 0;
  Field bits = {0, 0};

  uint32_t Of(const std::vector<uint32_t>& words) const { return bits.Of(words[word]); }
  int SignedOf(const std::vector<uint32_t>& words) const {
    return bits.SignedOf(words[word]);
  }
};

// Lengths, addresses and steps are in words. Steps and the iteration's wrap are stored
// less 1. The outermost dimension has no wrap: the length ends it.
struct BdLayout {
  BdField length_low = {};  // a shim's has 32 bits, which `Field` cannot hold
  BdField address = {};     // none in a shim: DDR_PATCH sets it
  BdField enable_packet = {}, packet_id = {}, packet_type = {}, enable_compression = {};
  // From D0 outwards.
  BdField wrap[3] = {}, step[4] = {}, zeros_before[3] = {}, zeros_after[3] = {};
  BdField iteration_current = {}, iteration_wrap = {}, iteration_step = {};
  BdField next_bd = {}, use_next_bd = {}, valid = {}, suppress_tlast = {};
  BdField release_value = {}, release_id = {};
  BdField acquire_enable = {}, acquire_value = {}, acquire_id = {};
  BdField burst_length = {};
  int num_wraps = 0;
};

constexpr uint32_t kBufferLengthWord = 0;  // of every kind
// A shim's address, which DDR_PATCH writes.
constexpr uint32_t kAddressLowWord = 1, kAddressHighWord = 2;

constexpr BdLayout kShimBd = {
    .enable_packet = {2, {30, 1}},
    .packet_id = {2, {19, 5}},
    .packet_type = {2, {16, 3}},
    .wrap = {{3, {20, 10}}, {4, {20, 10}}},
    .step = {{3, {0, 20}}, {4, {0, 20}}, {5, {0, 20}}},
    .iteration_current = {6, {26, 6}},
    .iteration_wrap = {6, {20, 6}},
    .iteration_step = {6, {0, 20}},
    .next_bd = {7, {27, 4}},
    .use_next_bd = {7, {26, 1}},
    .valid = {7, {25, 1}},
    .suppress_tlast = {7, {31, 1}},
    .release_value = {7, {18, 7}},
    .release_id = {7, {13, 4}},
    .acquire_enable = {7, {12, 1}},
    .acquire_value = {7, {5, 7}},
    .acquire_id = {7, {0, 4}},
    .burst_length = {4, {30, 2}},
    .num_wraps = 2,
};

constexpr BdLayout kMemtileBd = {
    .length_low = {0, {0, 17}},
    .address = {1, {0, 19}},
    .enable_packet = {0, {31, 1}},
    .packet_id = {0, {23, 5}},
    .packet_type = {0, {28, 3}},
    .enable_compression = {4, {31, 1}},
    .wrap = {{2, {17, 10}}, {3, {17, 10}}, {4, {17, 10}}},
    .step = {{2, {0, 17}}, {3, {0, 17}}, {4, {0, 17}}, {5, {0, 17}}},
    .zeros_before = {{1, {26, 6}}, {3, {27, 5}}, {4, {27, 4}}},
    .zeros_after = {{5, {17, 6}}, {5, {23, 5}}, {5, {28, 4}}},
    .iteration_current = {6, {23, 6}},
    .iteration_wrap = {6, {17, 6}},
    .iteration_step = {6, {0, 17}},
    .next_bd = {1, {20, 6}},
    .use_next_bd = {1, {19, 1}},
    .valid = {7, {31, 1}},
    .suppress_tlast = {2, {31, 1}},
    .release_value = {7, {24, 7}},
    .release_id = {7, {16, 8}},
    .acquire_enable = {7, {15, 1}},
    .acquire_value = {7, {8, 7}},
    .acquire_id = {7, {0, 8}},
    .num_wraps = 3,
};

constexpr BdLayout kCoreBd = {
    .length_low = {0, {0, 14}},
    .address = {0, {14, 14}},
    .enable_packet = {1, {30, 1}},
    .packet_id = {1, {19, 5}},
    .packet_type = {1, {16, 3}},
    .enable_compression = {1, {31, 1}},
    .wrap = {{3, {13, 8}}, {3, {21, 8}}},
    .step = {{2, {0, 13}}, {2, {13, 13}}, {3, {0, 13}}},
    .iteration_current = {4, {19, 6}},
    .iteration_wrap = {4, {13, 6}},
    .iteration_step = {4, {0, 13}},
    .next_bd = {5, {27, 4}},
    .use_next_bd = {5, {26, 1}},
    .valid = {5, {25, 1}},
    .suppress_tlast = {5, {31, 1}},
    .release_value = {5, {18, 7}},
    .release_id = {5, {13, 4}},
    .acquire_enable = {5, {12, 1}},
    .acquire_value = {5, {5, 7}},
    .acquire_id = {5, {0, 4}},
    .num_wraps = 2,
};

}  // namespace jax_npu::sim

#endif  // JAX_NPU_AIE_SIM_ENGINE_CONTROLLER_BD_LAYOUT_H_
