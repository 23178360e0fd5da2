// A driver that computes nothing. Its design is a folder: run i writes the device's
// memory of argument j to the file i.j, and reads the device's C from the file i.c.

#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "xla_ffi/driver/driver.h"

namespace {

constexpr int kNumArguments = 3, kC = 2;
constexpr std::byte kPoison{0xA5};

class RecordingBuffer : public jax_npu::NpuBuffer {
 public:
  explicit RecordingBuffer(size_t num_bytes)
      : host(num_bytes, kPoison), device(num_bytes, kPoison) {}

  std::byte* data() override { return host.data(); }

  void SyncToDevice(size_t first, size_t num_bytes) override {
    std::memcpy(device.data() + first, host.data() + first, num_bytes);
  }

  void SyncFromDevice(size_t first, size_t num_bytes) override {
    std::memcpy(host.data() + first, device.data() + first, num_bytes);
  }

  std::vector<std::byte> host, device;
};

class RecordingDriver : public jax_npu::Driver {
 public:
  explicit RecordingDriver(std::string folder) : folder_(std::move(folder)) {}

  std::shared_ptr<jax_npu::NpuBuffer> Allocate(int, size_t num_bytes) override {
    return std::make_shared<RecordingBuffer>(num_bytes);
  }

  int64_t Start(const std::vector<jax_npu::Invocation>& runs) override {
    for (const jax_npu::Invocation& run : runs) Record(run);
    return 0;
  }

  void Wait(int64_t) override {}
  void Reset() override {}
  bool is_lost() const override { return false; }

 private:
  void Record(const jax_npu::Invocation& run) {
    if (run.arguments.size() != kNumArguments) throw std::runtime_error("arguments");
    Write("words", run.words, run.num_words * sizeof(uint32_t));
    for (int i = 0; i < kC; ++i) {
      const auto& device = Device(run, i);
      Write(std::to_string(i), device.data(), device.size());
    }
    auto& c = Device(run, kC);
    std::ifstream(Path("c"), std::ios::binary)
        .read(reinterpret_cast<char*>(c.data()),
              static_cast<std::streamsize>(c.size()));
    ++num_runs_;
  }

  static std::vector<std::byte>& Device(const jax_npu::Invocation& run, int argument) {
    return static_cast<RecordingBuffer&>(*run.arguments[argument]).device;
  }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + std::to_string(num_runs_) + "." + name;
  }

  void Write(const std::string& name, const void* data, size_t num_bytes) {
    std::ofstream(Path(name), std::ios::binary)
        .write(static_cast<const char*>(data), static_cast<std::streamsize>(num_bytes));
  }

  const std::string folder_;
  int num_runs_ = 0;
};

}  // namespace

jax_npu::Driver* jax_npu_open_driver(const char* folder) {
  return new RecordingDriver(folder);  // never destroyed
}

const char* jax_npu_device_error() { return nullptr; }
