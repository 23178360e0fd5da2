// BDs that the stream writes: from their words to fields.
#include "aie/sim/engine/array.h"
#include "aie/sim/engine/controller/bd_layout.h"
#include "aie/sim/engine/controller/registers.h"
#include "aie/sim/program/element_sizes.h"

namespace jax_npu::sim {
namespace {

// The field that holds the AxCache attributes of a shim's accesses to DDR is not looked
// at: caching changes no result.
const BdLayout& LayoutOf(const Limits& limits, const Tile& tile) {
  return tile.limits == &limits.shim      ? kShimBd
         : tile.limits == &limits.memtile ? kMemtileBd
                                          : kCoreBd;
}

}  // namespace

void Controller::DecodeBd(Tile& tile, int id, const std::string& where) const {
  Bd& bd = tile.bds[id];
  // The design's own, as it was loaded.
  if (bd.is_defined && bd.written == 0) return;
  CheckWords(tile, bd, where);
  // A BD counts its iterations from task to task, so it is decoded only once.
  if (bd.is_defined) return;
  const BdLayout& fields = LayoutOf(array.limits, tile);
  DecodePattern(fields, bd, where);
  if (tile.limits != &array.limits.shim) DecodeAddress(fields, tile, bd, where);
  bd.iterations = static_cast<int>(fields.iteration_wrap.Of(bd.words)) + 1;
  bd.iteration = static_cast<int>(fields.iteration_current.Of(bd.words));
  bd.iteration_stride = fields.iteration_step.Of(bd.words) + 1;
  bd.sends_packets = fields.enable_packet.Of(bd.words) != 0;
  bd.packet_id = static_cast<int>(fields.packet_id.Of(bd.words));
  bd.packet_type = static_cast<int>(fields.packet_type.Of(bd.words));
  const bool has_next = fields.use_next_bd.Of(bd.words) != 0;
  bd.next = has_next ? static_cast<int>(fields.next_bd.Of(bd.words)) : -1;
  if (bd.next >= tile.limits->num_bds) {
    Fail(where + " leads to BD " + std::to_string(bd.next) + ", which " + tile.Name() +
         " does not have");
  }
  DecodeLocks(fields, tile, bd, where);
}

void Controller::CheckWords(const Tile& tile, const Bd& bd,
                            const std::string& where) const {
  const BdLayout& fields = LayoutOf(array.limits, tile);
  const Limits& limits = array.limits;
  if (bd.written != (1u << tile.limits->bd_words) - 1) {
    Fail(where + " is pushed, but was not written whole");
  }
  if (tile.limits == &limits.shim && !bd.is_patched) {
    Fail(where + " is pushed, but its address was never patched");
  }
  if (fields.valid.Of(bd.words) == 0) Fail(where + " is pushed, but is not valid");
  if (fields.enable_packet.Of(bd.words) != 0 &&
      fields.suppress_tlast.Of(bd.words) != 0) {
    Fail(where +
         " leaves its packet open for the next BD, which the virtual NPU does " +
         "not do");
  }
  if (fields.enable_compression.Of(bd.words) != 0) {
    Fail(where + " compresses what it sends, which the virtual NPU does not do");
  }
  const uint32_t burst = fields.burst_length.Of(bd.words);
  if (burst > limits.burst_code) {
    Fail(where + " has a burst code of " + std::to_string(burst) + ", " +
         array.configuration.device + " has 0 to " + std::to_string(limits.burst_code));
  }
}

// A wrap is the size of a dimension. The first that is 0 belongs to the outermost
// dimension, which the length alone ends.
void Controller::DecodePattern(const BdLayout& fields, Bd& bd,
                               const std::string& where) const {
  const bool in_shim = fields.length_low.bits.count == 0;
  const int64_t length =
      in_shim ? int64_t{bd.words[kBufferLengthWord]} : fields.length_low.Of(bd.words);
  if (length == 0) Fail(where + " has no length");
  std::vector<Dimension> inside_out;
  int64_t inner = 1;
  for (int d = 0; d <= fields.num_wraps; ++d) {
    const int64_t wrap = d < fields.num_wraps ? fields.wrap[d].Of(bd.words) : 0;
    const int64_t step = fields.step[d].Of(bd.words) + 1;
    Dimension dimension = {wrap, step};
    if (d < fields.num_wraps) {
      dimension.before = fields.zeros_before[d].Of(bd.words);
      dimension.after = fields.zeros_after[d].Of(bd.words);
    }
    if (wrap == 0) {
      // mlir-aie writes a wrap of D2 into a memtile's linear BD, where it has no
      // effect.
      if (in_shim && d == 0 && fields.wrap[1].Of(bd.words) != 0) {
        Fail(where + " wraps D1, but not D0");
      }
      if (length % inner != 0) {
        Fail(where + " ends within a run: " + std::to_string(length) +
             " words in runs of " + std::to_string(inner));
      }
      if (dimension.before != 0 || dimension.after != 0) {
        Fail(where + " pads D" + std::to_string(d) + ", which has no wrap");
      }
      dimension.size = length / inner;
      if (dimension.size > 1 || d == 0) inside_out.push_back(dimension);
      break;
    }
    inner *= dimension.before + wrap + dimension.after;
    inside_out.push_back(dimension);
  }
  bd.is_defined = true;
  bd.length = length;
  bd.dimensions.assign(inside_out.rbegin(), inside_out.rend());
}

// A memtile sees its western neighbour's memory first, then its own, then the eastern
// one's: getMemLocalBaseAddress of mlir-aie's target model. A core's DMA sees its own.
void Controller::DecodeAddress(const BdLayout& fields, Tile& tile, Bd& bd,
                               const std::string& where) const {
  const int64_t address = int64_t{fields.address.Of(bd.words)} * kWordBytes;
  bd.memory_tile = &tile;
  bd.address = address;
  if (tile.limits != &array.limits.memtile) return;
  const int64_t bytes = tile.limits->memory_bytes;
  bd.memory_tile = array.MemtileBeside(tile, static_cast<int>(address / bytes) - 1);
  bd.address = address % bytes;
  if (bd.memory_tile == nullptr) {
    Fail(where + " begins at byte " + Hex(static_cast<uint32_t>(address)) +
         ", in the memory of a neighbour of " + tile.Name() + " that " +
         array.configuration.device + " does not have; its own memory begins at " +
         Hex(static_cast<uint32_t>(bytes)));
  }
}

// A memtile's BDs number the locks of its western neighbour first, as they do memory.
Lock& Controller::LockOf(Tile& tile, uint32_t id, const std::string& where) const {
  const auto num_locks = static_cast<uint32_t>(tile.limits->num_locks);
  if (tile.limits != &array.limits.memtile) return tile.locks[id];
  Tile* owner = array.MemtileBeside(tile, static_cast<int>(id / num_locks) - 1);
  if (owner == nullptr) {
    Fail(where + " uses lock " + std::to_string(id) + ", of a neighbour of " +
         tile.Name() + " that " + array.configuration.device +
         " does not have; its own locks begin at " + std::to_string(num_locks));
  }
  return owner->locks[id % num_locks];
}

void Controller::DecodeLocks(const BdLayout& fields, Tile& tile, Bd& bd,
                             const std::string& where) const {
  bd.acquire = nullptr;
  if (fields.acquire_enable.Of(bd.words) != 0) {
    // A negative value means "greater or equal".
    const int value = fields.acquire_value.SignedOf(bd.words);
    bd.acquire = &LockOf(tile, fields.acquire_id.Of(bd.words), where);
    bd.acquire_value = value < 0 ? LockDemand{-value, false} : LockDemand{value, true};
  }
  bd.release_value = fields.release_value.SignedOf(bd.words);
  bd.release = bd.release_value == 0
                   ? nullptr
                   : &LockOf(tile, fields.release_id.Of(bd.words), where);
}

}  // namespace jax_npu::sim
