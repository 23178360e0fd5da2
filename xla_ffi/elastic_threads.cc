#include "xla_ffi/elastic_threads.h"

#include <system_error>
#include <thread>
#include <utility>

namespace jax_npu {

void ElasticThreads::Run(std::function<void()> task) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (num_idle_ > 0) {
    --num_idle_;
  } else {
    try {
      std::thread([this] { Work(); }).detach();
    } catch (const std::system_error&) {  // no more threads: run it here
      lock.unlock();
      return task();
    }
  }
  tasks_.push_back(std::move(task));
  changed_.notify_one();
}

// Any waiting thread may take any task: num_idle_ counts only how many are free.
void ElasticThreads::Work() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return !tasks_.empty(); });
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    task = nullptr;
    const std::lock_guard<std::mutex> lock(mutex_);
    ++num_idle_;
  }
}

ElasticThreads& TheElasticThreads() {
  static ElasticThreads& threads = *new ElasticThreads;
  return threads;
}

}  // namespace jax_npu
