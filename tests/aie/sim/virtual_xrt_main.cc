// A program that uses XRT in right and wrong ways:
//
//   virtual_xrt_main CASE FOLDER
//
// FOLDER holds the files design, words, hang (a stream that never ends), a, b and c.
// The case writes the host's memory of C to c, with as many bytes as c had, and the
// counts of the virtual XRT to counts. It prints one line for each run: its state, or
// what was thrown. The program compiles against the real XRT, too.

#include <xrt/experimental/xrt_kernel.h>
#include <xrt/experimental/xrt_xclbin.h>
#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_hw_context.h>
#include <xrt/xrt_kernel.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

// Functions of the virtual XRT only.
extern "C" {
__attribute__((weak)) const char* jax_npu_sim_faults_json();
__attribute__((weak)) const char* jax_npu_sim_set_faults(const char* spec);
__attribute__((weak)) int64_t jax_npu_sim_num_buffers();
__attribute__((weak)) int64_t jax_npu_sim_num_contexts();
__attribute__((weak)) int64_t jax_npu_sim_device_ns();
__attribute__((weak)) void jax_npu_sim_start_timeline();
__attribute__((weak)) const char* jax_npu_sim_stop_timeline();
__attribute__((weak)) const char* jax_npu_sim_report();
}

namespace {

using Bytes = std::vector<char>;
constexpr unsigned kRunInstructions = 3;

Bytes Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A context with a product, set up correctly.
struct Product {
  explicit Product(const std::string& folder)
      : device(0),
        context(device, device.register_xclbin(xrt::xclbin(folder + "/design"))),
        kernel(context, "MLIR_AIE"),
        words(Buffer(Read(folder + "/words"), 1)),
        hang(Buffer(Read(folder + "/hang"), 1)),
        a(Buffer(Read(folder + "/a"), 3)),
        b(Buffer(Read(folder + "/b"), 4)),
        c(Buffer(Read(folder + "/c"), 5)) {}

  xrt::bo Buffer(const Bytes& content, int argument) {
    return Buffer(content, argument, kernel.group_id(argument));
  }

  xrt::bo Buffer(const Bytes& content, int argument, int group) {
    const auto flags =
        argument == 1 ? xrt::bo::flags::cacheable : xrt::bo::flags::host_only;
    xrt::bo bo(device, content.size(), flags, group);
    bo.write(content.data());
    bo.sync(XCL_BO_SYNC_BO_TO_DEVICE);
    return bo;
  }

  xrt::run Start(xrt::bo& stream) {
    return kernel(kRunInstructions, stream, stream.size() / 4, a, b, c);
  }
  xrt::run Start() { return Start(words); }

  xrt::run Prepared(xrt::bo& stream) {
    xrt::run run(kernel);
    run.set_arg(0, kRunInstructions);
    run.set_arg(1, stream);
    run.set_arg(2, stream.size() / 4);
    run.set_arg(3, a);
    run.set_arg(4, b);
    run.set_arg(5, c);
    return run;
  }

  xrt::device device;
  xrt::hw_context context;
  xrt::kernel kernel;
  xrt::bo words, hang, a, b, c;
};

void Print(const std::function<ert_cmd_state()>& run) {
  try {
    std::cout << run() << std::endl;
  } catch (const std::system_error& error) {
    std::cout << "errno " << error.code().value() << " " << error.what() << std::endl;
  } catch (const std::exception& error) {
    std::cout << error.what() << std::endl;
  }
}

void Invert(xrt::bo& bo) {
  bo.map<char*>()[0] = static_cast<char>(~bo.map<char*>()[0]);
}

using Case = std::function<void(Product&, const std::string& folder)>;

const std::map<std::string, Case> kCases = {
    {"right", [](Product& p, auto&) { Print([&] { return p.Start().wait(); }); }},
    {"twice",
     [](Product& p, auto&) {
       xrt::run run = p.Prepared(p.words);
       for (int i = 0; i < 2; ++i) {
         run.start();
         Print([&] { return run.wait(); });
       }
     }},
    {"list",
     [](Product& p, auto&) {
       xrt::runlist list(p.context);
       for (int i = 0; i < 3; ++i) list.add(p.Prepared(p.words));
       list.execute();
       list.wait();
       Print([&] { return list.state(); });
     }},
    {"list_with_a_hang",
     [](Product& p, auto&) {
       xrt::runlist list(p.context);
       list.add(p.Prepared(p.words));
       list.add(p.Prepared(p.hang));
       list.add(p.Prepared(p.words));
       list.execute();
       try {
         list.wait();
       } catch (const xrt::runlist::command_error& error) {
         std::cout << error.get_command_state() << " " << error.what() << std::endl;
       }
     }},
    {"list_of_another_context",
     [](Product& p, auto& folder) {
       Product other(folder);
       xrt::runlist list(p.context);
       Print([&] { return list.add(other.Prepared(p.words)), list.state(); });
     }},
    {"long_list",
     [](Product& p, auto&) {
       xrt::runlist list(p.context);
       for (int i = 0; i < 25; ++i) list.add(p.Prepared(p.words));
       Print([&] { return list.execute(), list.wait(), list.state(); });
     }},
    {"wrong_group",
     [](Product& p, auto& folder) {
       p.a = p.Buffer(Read(folder + "/a"), 3, p.kernel.group_id(1));
       Print([&] { return p.Start().wait(); });
     }},
    {"wrong_flags",
     [](Product& p, auto& folder) {
       const Bytes words = Read(folder + "/words");
       p.words = xrt::bo(p.device, words.size(), xrt::bo::flags::host_only,
                         p.kernel.group_id(1));
       p.words.write(words.data());
       p.words.sync(XCL_BO_SYNC_BO_TO_DEVICE);
       Print([&] { return p.Start().wait(); });
     }},
    {"a_changed_after_its_sync",
     [](Product& p, auto&) {
       Invert(p.a);
       Print([&] { return p.Start().wait(); });
     }},
    {"instructions_never_synced",
     [](Product& p, auto& folder) {
       const Bytes words = Read(folder + "/words");
       xrt::bo bo(p.device, words.size(), xrt::bo::flags::cacheable,
                  p.kernel.group_id(1));
       bo.write(words.data());
       Print([&] { return p.Start(bo).wait(); });
     }},
    {"b_synced_in_part",
     [](Product& p, auto& folder) {
       const Bytes content = Read(folder + "/b");
       p.b = xrt::bo(p.device, content.size(), xrt::bo::flags::host_only,
                     p.kernel.group_id(4));
       p.b.write(content.data());
       p.b.sync(XCL_BO_SYNC_BO_TO_DEVICE, content.size() / 2, 0);
       Print([&] { return p.Start().wait(); });
     }},
    {"c_before_its_sync",
     [](Product& p, auto& folder) {
       Print([&] { return p.Start().wait(); });
       const Bytes before = Read(folder + "/c");
       const bool same = std::memcmp(before.data(), p.c.map(), before.size()) == 0;
       std::cout << (same ? "untouched" : "changed") << std::endl;
     }},
    {"five_commands",
     [](Product& p, auto&) {
       std::vector<xrt::runlist> lists;
       for (int i = 0; i < 5; ++i) {
         lists.emplace_back(p.context);
         const int num_runs = i == 0 ? 24 : 1;  // the first takes its time
         for (int j = 0; j < num_runs; ++j) lists.back().add(p.Prepared(p.words));
       }
       Print([&] {
         for (auto& list : lists) list.execute();
         return lists.back().wait(), lists.back().state();
       });
       for (auto& list : lists) list.wait();
     }},
    {"five_commands_not_waited_for",
     [](Product& p, auto&) {
       std::vector<xrt::run> runs;
       Print([&] {
         for (int i = 0; i < 5; ++i) runs.push_back(p.Start());
         return runs.back().state();
       });
     }},
    {"hang", [](Product& p, auto&) { Print([&] { return p.Start(p.hang).wait(); }); }},
    {"hang_waited_for_with_wait2",
     [](Product& p, auto&) {
       try {
         p.Start(p.hang).wait2();
       } catch (const xrt::run::command_error& error) {
         std::cout << error.get_command_state() << " " << error.what() << std::endl;
       }
     }},
    {"after_a_hang",
     [](Product& p, auto& folder) {
       Print([&] { return p.Start(p.hang).wait(); });
       Print([&] { return p.Start().wait(); });
       Product fresh(folder);
       Print([&] { return fresh.Start().wait(); });
       p.c = fresh.c;
     }},
    {"three_contexts",
     [](Product& p, auto& folder) {
       Product second(folder);
       Print([&] { return second.Start().wait(); });
       Print([&] {
         Product third(folder);
         p.c = third.c;
         return third.Start().wait();
       });
     }},
    {"seven_contexts",
     [](Product&, auto& folder) {
       std::vector<Product> contexts;
       Print([&] {
         for (int i = 0; i < 6; ++i) contexts.emplace_back(folder);
         return ERT_CMD_STATE_COMPLETED;
       });
     }},
    {"contexts_one_after_the_other",
     [](Product& p, auto& folder) {
       for (int i = 0; i < 8; ++i) {
         Product next(folder);
         Print([&] { return next.Start().wait(); });
         p.c = next.c;
       }
     }},
    {"wrong_opcode",
     [](Product& p, auto&) {
       Print([&] {
         return p.kernel(1u, p.words, p.words.size() / 4, p.a, p.b, p.c).wait();
       });
     }},
    {"no_device",
     [](Product&, auto&) {
       Print([] { return xrt::device(1), ERT_CMD_STATE_COMPLETED; });
     }},
    {"no_design",
     [](Product&, auto& folder) {
       Print([&] { return xrt::xclbin(folder + "/words"), ERT_CMD_STATE_COMPLETED; });
     }},
    {"no_kernel",
     [](Product& p, auto&) {
       Print([&] { return xrt::kernel(p.context, "GEMM"), ERT_CMD_STATE_COMPLETED; });
     }},
    {"sync_beyond_the_buffer",
     [](Product& p, auto&) {
       Print([&] {
         p.a.sync(XCL_BO_SYNC_BO_TO_DEVICE, p.a.size(), 4);
         return ERT_CMD_STATE_COMPLETED;
       });
     }},
    {"alive",
     [](Product& p, auto&) {
       if (jax_npu_sim_num_buffers == nullptr) return;
       std::cout << jax_npu_sim_num_buffers() << std::endl;
       p.hang = {};
       std::cout << jax_npu_sim_num_buffers() << std::endl;
       std::cout << jax_npu_sim_num_contexts() << std::endl;
     }},
    {"three_runs_and_one_in_a_new_context",
     [](Product& p, auto& folder) {
       for (int i = 0; i < 3; ++i) Print([&] { return p.Start().wait(); });
       Product fresh(folder);
       Print([&] { return fresh.Start().wait(); });
       p.c = fresh.c;
     }},
    {"waited_for_with_wait2",
     [](Product& p, auto&) {
       xrt::run run = p.Start();
       try {
         run.wait2();
       } catch (const xrt::run::command_error& error) {
         std::cout << error.get_command_state() << std::endl;
       }
     }},
    {"list_with_a_fault",
     [](Product& p, auto&) {
       xrt::runlist list(p.context);
       for (int i = 0; i < 3; ++i) list.add(p.Prepared(p.words));
       list.execute();
       try {
         list.wait();
       } catch (const xrt::runlist::command_error& error) {
         std::cout << error.get_command_state() << std::endl;
       }
     }},
    {"list_that_is_not_taken",
     [](Product& p, auto&) {
       xrt::runlist list(p.context);
       for (int i = 0; i < 3; ++i) list.add(p.Prepared(p.words));
       Print([&] { return list.execute(), list.state(); });
     }},
    {"waits_of_20_ms",
     [](Product& p, auto&) {
       constexpr std::chrono::milliseconds kTime{20};
       xrt::run run = p.Start();
       for (int i = 0; i < 3; ++i) Print([&] { return run.wait(kTime); });
       const bool timeout = run.wait2(kTime) == std::cv_status::timeout;
       std::cout << (timeout ? "timeout" : "no timeout") << std::endl;
       Print([&] { return run.state(); });
     }},
    {"waits_of_20_ms_for_a_list",
     [](Product& p, auto&) {
       constexpr std::chrono::milliseconds kTime{20};
       xrt::runlist list(p.context);
       for (int i = 0; i < 3; ++i) list.add(p.Prepared(p.words));
       list.execute();
       for (int i = 0; i < 2; ++i) {
         const bool timeout = list.wait(kTime) == std::cv_status::timeout;
         std::cout << (timeout ? "timeout" : "no timeout") << std::endl;
       }
     }},
    {"sixty_runs",
     [](Product& p, auto&) {
       for (int i = 0; i < 60; ++i) Print([&] { return p.Start().wait(); });
     }},
    {"forty_buffers",
     [](Product& p, auto&) {
       alignas(4096) static char pages[4096];
       const int group = p.kernel.group_id(3);
       for (int i = 0; i < 40; ++i) {
         Print([&] {
           if (i % 2 == 0) xrt::bo(p.device, 4096, xrt::bo::flags::host_only, group);
           if (i % 2 == 1) {
             xrt::bo(p.device, pages, 4096, xrt::bo::flags::host_only, group);
           }
           return ERT_CMD_STATE_COMPLETED;
         });
       }
     }},
    {"eight_contexts",
     [](Product&, auto& folder) {
       for (int i = 0; i < 8; ++i) {
         Print([&] { return Product(folder), ERT_CMD_STATE_COMPLETED; });
       }
     }},
    {"two_runs_of_a_c_with_room",
     [](Product& p, auto& folder) {
       Bytes content = Read(folder + "/c");
       content.resize(8 * content.size());
       p.c = p.Buffer(content, 5);
       for (int i = 0; i < 2; ++i) Print([&] { return p.Start().wait(); });
     }},
    {"sums_of_c",
     [](Product& p, auto&) {
       for (int i = 0; i < 3; ++i) {
         p.Start().wait();
         p.c.sync(XCL_BO_SYNC_BO_FROM_DEVICE);
         const auto* words = p.c.map<uint32_t*>();
         uint32_t sum = 0;
         for (size_t j = 0; j < p.c.size() / 4; ++j) sum = 31 * sum + words[j];
         std::cout << sum << std::endl;
       }
     }},
    {"every_call",
     [](Product& p, auto& folder) {
       const auto completed = ERT_CMD_STATE_COMPLETED;
       const xrt::xclbin design(folder + "/design");
       xrt::run run = p.Start();
       xrt::runlist list(p.context);
       list.add(p.Prepared(p.words));
       run.wait();
       list.execute();
       list.wait();
       if (jax_npu_sim_set_faults != nullptr) jax_npu_sim_set_faults("gone@1");
       Print([&] { return xrt::device(0), completed; });
       Print([&] { return p.device.register_xclbin(design), completed; });
       Print([&] { return xrt::hw_context(p.device, design.get_uuid()), completed; });
       Print([&] { return p.Buffer(Bytes(4096), 3), completed; });
       Print([&] { return p.a.sync(XCL_BO_SYNC_BO_TO_DEVICE), completed; });
       Print([&] { return run.start(), completed; });
       Print([&] { return run.wait(); });
       Print([&] { return run.wait2(), completed; });
       Print([&] { return list.execute(), completed; });
       Print([&] { return list.wait(), completed; });
       if (jax_npu_sim_set_faults != nullptr) jax_npu_sim_set_faults("");
       Print([&] { return run.start(), run.wait(); });
     }},
    {"timeline",  // of two runs that wait for each other, two that do not, and a list
     [](Product& p, auto&) {
       if (jax_npu_sim_start_timeline == nullptr) return;
       const auto now = [] {
         return std::chrono::steady_clock::now().time_since_epoch() /
                std::chrono::nanoseconds(1);
       };
       jax_npu_sim_start_timeline();
       std::vector<int64_t> submitted, answered;
       const auto start = [&](auto& command, const auto& submit) {
         submitted.push_back(now());
         submit(command);
       };
       const auto wait = [&](auto& command) {
         command.wait();
         answered.push_back(now());
       };
       xrt::runlist list(p.context);
       for (int i = 0; i < 3; ++i) list.add(p.Prepared(p.words));
       std::vector<xrt::run> runs;
       for (int i = 0; i < 4; ++i) runs.push_back(p.Prepared(p.words));
       const auto run = [](xrt::run& one) { one.start(); };
       for (int i = 0; i < 2; ++i) start(runs[i], run), wait(runs[i]);
       for (int i = 2; i < 4; ++i) start(runs[i], run);
       start(list, [](xrt::runlist& all) { all.execute(); });
       for (int i = 2; i < 4; ++i) wait(runs[i]);
       wait(list);
       const auto print = [](const std::vector<int64_t>& times) {
         for (size_t i = 0; i < times.size(); ++i) {
           std::cout << (i == 0 ? "[" : ", ") << times[i];
         }
         std::cout << "], ";
       };
       std::cout << "[";
       print(submitted);
       print(answered);
       std::string timeline = jax_npu_sim_stop_timeline();
       std::string report = jax_npu_sim_report();
       for (auto* text : {&timeline, &report}) {
         for (char& c : *text) c = c == '\n' ? ' ' : c;
       }
       std::cout << timeline << ", " << report << ", " << jax_npu_sim_device_ns() << "]"
                 << std::endl;
     }},
    {"threads",
     [](Product& p, auto& folder) {
       std::map<int, std::atomic<int>> counts;
       for (int state = 0; state < 9; ++state) counts[state] = 0;
       const auto work = [&] {
         xrt::bo c = p.Buffer(Read(folder + "/c"), 5);
         for (int i = 0; i < 20; ++i) {
           int state = 0;
           try {
             state =
                 p.kernel(kRunInstructions, p.words, p.words.size() / 4, p.a, p.b, c)
                     .wait();
           } catch (const std::system_error&) {
           }
           ++counts.at(state);
           if (jax_npu_sim_faults_json != nullptr) jax_npu_sim_faults_json();
         }
       };
       std::vector<std::thread> threads;
       for (int i = 0; i < 4; ++i) threads.emplace_back(work);
       for (auto& thread : threads) thread.join();
       for (const auto& [state, count] : counts) {
         if (count != 0) std::cout << state << " " << count << std::endl;
       }
     }},
};

void WriteCounts(const std::string& folder) {
  if (jax_npu_sim_faults_json == nullptr) return;
  std::ofstream(folder + "/counts")
      << "[" << jax_npu_sim_faults_json() << ", " << jax_npu_sim_num_buffers() << ", "
      << jax_npu_sim_num_contexts() << "]";
}

}  // namespace

int main(int, char** arguments) {
  const std::string folder = arguments[2];
  try {
    Product product(folder);
    kCases.at(arguments[1])(product, folder);
    product.c.sync(XCL_BO_SYNC_BO_FROM_DEVICE);
    std::ofstream(folder + "/c", std::ios::binary)
        .write(product.c.map<char*>(), static_cast<std::streamsize>(product.c.size()));
  } catch (const std::exception& error) {
    std::cout << "unexpected: " << error.what() << std::endl;
    WriteCounts(folder);
    return 1;
  }
  WriteCounts(folder);
  return 0;
}
