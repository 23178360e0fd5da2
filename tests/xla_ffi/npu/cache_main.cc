// The cache of images with threads that ask for the same ones at once:
// `cache_main asks keys max_images chance seed`. One in `chance` images fails to be
// made, and so often all are dropped; with 0 never. Prints counts as JSON; a broken
// rule is a message on stderr and exit status 1.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "xla_ffi/npu/images/image_cache.h"

namespace {

constexpr int kNumThreads = 8;
constexpr size_t kImageBytes = 1000;

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

// Holds its key, as an image holds its value.
class Image : public jax_npu::NpuBuffer {
 public:
  explicit Image(int64_t key) : key(key) { ++num_alive; }
  ~Image() override { --num_alive; }
  std::byte* data() override { return nullptr; }
  void SyncToDevice(size_t, size_t) override {}
  void SyncFromDevice(size_t, size_t) override {}
  const int64_t key;
  static inline std::atomic<int> num_alive{0};
};

struct Counts {
  std::atomic<int> made{0}, failed{0}, found{0};
};

void Ask(jax_npu::ImageCache& cache, int num_asks, int num_keys, size_t max_bytes,
         int chance, int seed, Counts& counts) {
  std::minstd_rand random(seed);
  const auto below = [&](int end) {
    return std::uniform_int_distribution<>(0, end - 1)(random);
  };
  for (int i = 0; i < num_asks; ++i) {
    const int64_t key = below(num_keys);
    const bool fails = chance > 0 && below(chance) == 0;
    if (chance > 0 && below(chance) == 0) cache.Drop();
    // With failures, threads are of different executions, too.
    const int64_t execution = chance > 0 ? below(3) : 0;
    try {
      const auto image = cache.Find({key}, execution, kImageBytes, max_bytes, [&] {
        std::this_thread::sleep_for(std::chrono::microseconds(below(200)));
        if (fails) throw std::runtime_error("no memory");
        ++counts.made;
        return std::make_shared<Image>(key);
      });
      Require(static_cast<Image&>(*image).key == key, "the image of another value");
      ++counts.found;
    } catch (const std::runtime_error&) {
      Require(fails, "another thread's failure");
      ++counts.failed;
    }
  }
}

}  // namespace

int main(int, char** arguments) {
  int numbers[5];
  for (int i = 0; i < 5; ++i) numbers[i] = std::atoi(arguments[i + 1]);
  const int num_asks = numbers[0], max_images = numbers[2];
  jax_npu::ImageCache cache;
  Counts counts;
  std::vector<std::thread> threads;
  for (int i = 0; i < kNumThreads; ++i) {
    threads.emplace_back([&, i] {
      Ask(cache, num_asks, numbers[1], max_images * kImageBytes, numbers[3],
          numbers[4] * kNumThreads + i, counts);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Require(counts.found + counts.failed == kNumThreads * num_asks, "an ask was lost");
  Require(Image::num_alive <= max_images, "more images are kept than fit");
  const int kept = Image::num_alive;
  cache.DropIdle();
  Require(Image::num_alive == 0, "an image outlives the cache's interest in it");
  std::printf("{\"made\": %d, \"failed\": %d, \"kept\": %d}\n", counts.made.load(),
              counts.failed.load(), kept);
  return 0;
}
