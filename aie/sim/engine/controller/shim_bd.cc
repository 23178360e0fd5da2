// A shim's BD: from the words that the stream has written to fields.
#include "aie/sim/engine/array.h"
#include "aie/sim/engine/controller/registers.h"

namespace jax_npu::sim {

void Controller::DecodeBd(Tile& tile, int id, const std::string& where) const {
  Bd& bd = tile.bds[id];
  CheckWords(bd, where);
  // A BD counts its iterations from task to task, so it is decoded only once.
  if (bd.is_defined) return;
  DecodePattern(bd, where);
  bd.iterations = static_cast<int>(kIterationWrap.Of(bd.words)) + 1;
  bd.iteration = static_cast<int>(kIterationCurrent.Of(bd.words));
  bd.iteration_stride = kIterationStep.Of(bd.words) + 1;
  const bool has_next = kUseNextBd.Of(bd.words) != 0;
  bd.next = has_next ? static_cast<int>(kNextBd.Of(bd.words)) : -1;
  DecodeLocks(tile, bd, where);
}

void Controller::CheckWords(const Bd& bd, const std::string& where) const {
  if (bd.written != kAllShimBdWords) {
    Fail(where + " is pushed, but was not written whole");
  }
  if (!bd.is_patched) Fail(where + " is pushed, but its address was never patched");
  const Limits& limits = array.limits;
  if (kValidBd.Of(bd.words) == 0) Fail(where + " is pushed, but is not valid");
  if (kEnablePacket.Of(bd.words) != 0) {
    Fail(where + " sends packets, which no route carries");
  }
  if (kAxCache.Of(bd.words) != limits.axcache) {
    Fail(where + " must have an axcache of " + std::to_string(limits.axcache) +
         ", got " + std::to_string(kAxCache.Of(bd.words)));
  }
  if (kBurstLength.Of(bd.words) > limits.burst_code) {
    Fail(where + " has a burst code of " + std::to_string(kBurstLength.Of(bd.words)) +
         ", " + array.configuration.device + " has 0 to " +
         std::to_string(limits.burst_code));
  }
}

// A wrap is the size of a dimension, and 0 leaves it out. The outermost dimension has
// no wrap: the length alone ends it.
void Controller::DecodePattern(Bd& bd, const std::string& where) const {
  const int64_t length = bd.words[kBufferLengthWord];
  const int64_t d0 = kD0Wrap.Of(bd.words), d1 = kD1Wrap.Of(bd.words);
  if (length == 0) Fail(where + " has no length");
  if (d0 == 0 && d1 != 0) Fail(where + " wraps D1, but not D0");
  const int64_t inner = d0 == 0 ? length : d1 == 0 ? d0 : d0 * d1;
  if (length % inner != 0) {
    Fail(where + " ends within a run: " + std::to_string(length) +
         " words in runs of " + std::to_string(inner));
  }
  bd.is_defined = true;
  bd.length = length;
  const int64_t d0_step = kD0Step.Of(bd.words) + 1, d1_step = kD1Step.Of(bd.words) + 1,
                d2_step = kD2Step.Of(bd.words) + 1;
  // Pairs of size and stride, outermost first.
  if (d0 != 0 && d1 != 0) {
    bd.dimensions = {{length / inner, d2_step}, {d1, d1_step}, {d0, d0_step}};
  } else if (d0 != 0) {
    bd.dimensions = {{length / d0, d1_step}, {d0, d0_step}};
  } else {
    bd.dimensions = {{length, d0_step}};
  }
}

void Controller::DecodeLocks(Tile& tile, Bd& bd, const std::string& where) const {
  bd.acquire = nullptr;
  if (kLockAcqEnable.Of(bd.words) != 0) {
    // A negative value means "greater or equal".
    const int value = kLockAcqValue.SignedOf(bd.words);
    if (value >= 0) {
      Fail(where + " acquires a lock by equality, whose effect is not settled; use " +
           "greater-or-equal");
    }
    bd.acquire = &tile.locks[kLockAcqId.Of(bd.words)];
    bd.acquire_value = -value;
  }
  bd.release_value = kLockRelValue.SignedOf(bd.words);
  bd.release = bd.release_value == 0 ? nullptr : &tile.locks[kLockRelId.Of(bd.words)];
}

}  // namespace jax_npu::sim
