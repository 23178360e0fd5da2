// What a program sees of XRT, right and wrong:
//
//   virtual_xrt_main CASE FOLDER
//
// FOLDER holds design, words, hang (a stream that never ends), a and b; after the case
// the host's memory of C is in c, with as many bytes as c had. Prints a line a run: its
// state, or what was thrown. Compiles against the real XRT too.

#include <xrt/experimental/xrt_kernel.h>
#include <xrt/experimental/xrt_xclbin.h>
#include <xrt/xrt_bo.h>
#include <xrt/xrt_device.h>
#include <xrt/xrt_hw_context.h>
#include <xrt/xrt_kernel.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<char>;
constexpr unsigned kRunInstructions = 3;

Bytes Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A context with a product, all as it should be.
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
       p.a = p.Buffer(Read(folder + "/a"), 3, p.kernel.group_id(4));
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
};

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
    return 1;
  }
  return 0;
}
